//! Autodiscover: where somebody's mailbox is. The older dialect (plain XML) and the newer one (SOAP).

use crate::{
    ews::xml::{self, Element, Writer},
    world::World,
};

/// The largest request's number of users.
const USERS: usize = 100;

/// Where things are.
#[derive(Debug)]
pub struct Place<'a> {
    /// Scheme, host and port.
    pub origin: &'a str,
    /// Whether everybody is sent round in a circle.
    pub circle: bool,
}

impl Place<'_> {
    fn ews(&self) -> String {
        format!("{}/EWS/Exchange.asmx", self.origin)
    }
}

fn trouble(code: &str, text: &str) -> String {
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    let outer = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
    w.element("Autodiscover", &[("xmlns", outer)], |w| {
        w.element("Response", &[], |w| {
            w.element("Error", &[("Time", "00:00:00.0000000"), ("Id", "1")], |w| {
                w.leaf("ErrorCode", code);
                w.leaf("Message", text);
                w.empty("DebugData", &[]);
            });
        });
    });
    w.finish()
}

/// Answers a request in plain XML.
pub fn plain(world: &World, place: &Place<'_>, request: &str) -> String {
    let Ok(request) = xml::read(request.trim_start_matches('\u{feff}')) else {
        return trouble("600", "Invalid Request");
    };
    let Some(address) = request.child("Request").and_then(|inner| inner.text_of("EMailAddress")) else {
        return trouble("600", "Invalid Request");
    };
    let person = world.people().find(|person| person.is(address));
    let Some(person) = person else { return trouble("500", "The e-mail address cannot be found.") };
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    let outer = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
    let inner = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
    w.element("Autodiscover", &[("xmlns", outer)], |w| {
        w.element("Response", &[("xmlns", inner)], |w| {
            if !place.circle {
                w.element("User", &[], |w| {
                    w.leaf("DisplayName", &person.name);
                    w.leaf("AutoDiscoverSMTPAddress", &person.address);
                });
            }
            w.element("Account", &[], |w| {
                w.leaf("AccountType", "email");
                if place.circle {
                    w.leaf("Action", "redirectUrl");
                    w.leaf("RedirectUrl", &format!("{}/autodiscover/autodiscover.xml", place.origin));
                    return;
                }
                w.leaf("Action", "settings");
                for kind in ["EXCH", "EXPR"] {
                    w.element("Protocol", &[], |w| {
                        w.leaf("Type", kind);
                        w.leaf("Server", "sim.example.test");
                        w.leaf("ASUrl", &place.ews());
                        w.leaf("EwsUrl", &place.ews());
                    });
                }
            });
        });
    });
    w.finish()
}

fn user(w: &mut Writer, world: &World, place: &Place<'_>, address: &str, settings: &[String]) {
    let person = world.people().find(|person| person.is(address));
    w.element("UserResponse", &[], |w| {
        let (code, text) = match (&person, place.circle) {
            (None, _) => ("InvalidUser", "Invalid user."),
            (Some(_), true) => ("RedirectUrl", "Redirection url."),
            (Some(_), false) => ("NoError", "No error."),
        };
        w.leaf("ErrorCode", code);
        w.leaf("ErrorMessage", text);
        if place.circle && person.is_some() {
            w.leaf("RedirectTarget", &format!("{}/autodiscover/autodiscover.svc", place.origin));
        }
        w.empty("UserSettingErrors", &[]);
        let Some(person) = person.filter(|_| !place.circle) else { return };
        w.element("UserSettings", &[], |w| {
            for name in settings {
                let value = match name.as_str() {
                    "UserDisplayName" => person.name.clone(),
                    "AutoDiscoverSMTPAddress" => person.address.clone(),
                    "ExternalEwsUrl" | "InternalEwsUrl" => place.ews(),
                    "ExternalEwsVersion" | "CasVersion" => "15.01.2507.006".to_owned(),
                    "EwsSupportedSchemas" => "Exchange2007, Exchange2010, Exchange2013, Exchange2016".to_owned(),
                    _ => continue,
                };
                let kind = [("i:type", "StringSetting"), ("xmlns:i", "http://www.w3.org/2001/XMLSchema-instance")];
                w.element("UserSetting", &kind, |w| {
                    w.leaf("Name", name);
                    w.leaf("Value", &value);
                });
            }
        });
    });
}

/// Answers a SOAP request; none when it is not one this knows.
pub fn soap(world: &World, place: &Place<'_>, request: &str) -> Option<String> {
    let envelope = xml::read(request.trim_start_matches('\u{feff}')).ok()?;
    let operation = envelope.child("Body")?.child("GetUserSettingsRequestMessage")?.child("Request")?;
    let settings: Vec<String> =
        operation.list("RequestedSettings").iter().map(|one| one.text.trim().to_owned()).collect();
    let address = |one: &Element| one.text_of("Mailbox").unwrap_or_default().to_owned();
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    let names = [
        ("xmlns:s", "http://schemas.xmlsoap.org/soap/envelope/"),
        ("xmlns:h", "http://schemas.microsoft.com/exchange/2010/Autodiscover"),
    ];
    let own = "http://schemas.microsoft.com/exchange/2010/Autodiscover";
    w.element("s:Envelope", &names, |w| {
        w.element("s:Header", &[], |w| {
            w.element("h:ServerVersionInfo", &[], |w| {
                for (name, value) in [
                    ("MajorVersion", "15"),
                    ("MinorVersion", "1"),
                    ("MajorBuildNumber", "2507"),
                    ("MinorBuildNumber", "6"),
                ] {
                    w.leaf(&format!("h:{name}"), value);
                }
                w.leaf("h:Version", "Exchange2016");
            });
        });
        w.element("s:Body", &[], |w| {
            w.element("GetUserSettingsResponseMessage", &[("xmlns", own)], |w| {
                w.element("Response", &[], |w| {
                    w.leaf("ErrorCode", "NoError");
                    w.empty("ErrorMessage", &[]);
                    w.element("UserResponses", &[], |w| {
                        for one in operation.list("Users").iter().take(USERS) {
                            user(w, world, place, &address(one), &settings);
                        }
                    });
                });
            });
        });
    });
    Some(w.finish())
}
