//! What is asked and answered in both dialects of Autodiscover.

use crate::xml::{Element, Writer};

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Where the endpoint is, and the mailbox's primary address.
    Settings {
        /// The URL.
        ews: String,
        /// The address, where it is told.
        address: Option<String>,
    },
    /// Another place knows.
    GoTo(String),
    /// The mailbox has another address.
    AskFor(String),
    /// There is no such mailbox, in the server's words.
    Unknown(String),
}

const PLAIN_REQUEST: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const PLAIN_RESPONSE: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
const OWN: &str = "http://schemas.microsoft.com/exchange/2010/Autodiscover";
const ACTION: &str = "http://schemas.microsoft.com/exchange/2010/Autodiscover/Autodiscover/GetUserSettings";

/// A request in plain XML.
pub(super) fn plain_request(address: &str) -> String {
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    w.element("Autodiscover", &[("xmlns", PLAIN_REQUEST)], |w| {
        w.element("Request", &[], |w| {
            w.leaf("EMailAddress", address);
            w.leaf("AcceptableResponseSchema", PLAIN_RESPONSE);
        });
    });
    w.finish()
}

/// A request in SOAP.
pub(super) fn soap_request(url: &str, address: &str) -> String {
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    w.element("s:Envelope", &[("xmlns:s", SOAP), ("xmlns:w", ADDRESSING), ("xmlns:a", OWN)], |w| {
        w.element("s:Header", &[], |w| {
            w.leaf("a:RequestedServerVersion", crate::codec::envelope::VERSION);
            w.leaf("w:Action", ACTION);
            w.leaf("w:To", url);
        });
        w.element("s:Body", &[], |w| {
            w.element("a:GetUserSettingsRequestMessage", &[], |w| {
                w.element("a:Request", &[], |w| {
                    w.element("a:Users", &[], |w| w.element("a:User", &[], |w| w.leaf("a:Mailbox", address)));
                    w.element("a:RequestedSettings", &[], |w| {
                        for name in ["ExternalEwsUrl", "InternalEwsUrl", "AutoDiscoverSMTPAddress"] {
                            w.leaf("a:Setting", name);
                        }
                    });
                });
            });
        });
    });
    w.finish()
}

/// Reads an answer in plain XML; `None` where it is none.
pub(super) fn read_plain(document: &Element) -> Option<Said> {
    let response = document.child("Response")?;
    if let Some(error) = response.child("Error") {
        let words = error.text_of("Message").unwrap_or("Autodiscover does not know the mailbox");
        return Some(Said::Unknown(words.to_owned()));
    }
    let account = response.child("Account")?;
    let text = |name| account.text_of(name).map(str::to_owned);
    match account.text_of("Action").unwrap_or("settings").to_ascii_lowercase().as_str() {
        "redirecturl" => text("RedirectUrl").map(Said::GoTo),
        "redirectaddr" => text("RedirectAddr").map(Said::AskFor),
        _ => {
            // From outside first; what is inside may not be reachable.
            let of_kind = |kind: &str| {
                let mut all = account.all("Protocol").filter(|one| one.text_of("Type") == Some(kind));
                all.find_map(|one| one.text_of("EwsUrl").or_else(|| one.text_of("ASUrl")))
            };
            let ews = ["EXPR", "EXHTTP", "EXCH"].into_iter().find_map(of_kind)?.to_owned();
            let address = response.path(&["User"]).and_then(|user| user.text_of("AutoDiscoverSMTPAddress"));
            Some(Said::Settings { ews, address: address.map(str::to_owned) })
        }
    }
}

/// Reads an answer in SOAP; `None` where it is none.
pub(super) fn read_soap(document: &Element) -> Option<Said> {
    let response = document.path(&["Body", "GetUserSettingsResponseMessage", "Response"])?;
    let user = response.list("UserResponses").first()?;
    let target = || user.text_of("RedirectTarget").map(str::to_owned);
    match user.text_of("ErrorCode").unwrap_or("NoError") {
        "RedirectUrl" => target().map(Said::GoTo),
        "RedirectAddress" => target().map(Said::AskFor),
        "NoError" => {
            let setting = |name: &str| {
                let found = user.list("UserSettings").iter().find(|one| one.text_of("Name") == Some(name))?;
                found.text_of("Value")
            };
            let ews = setting("ExternalEwsUrl").or_else(|| setting("InternalEwsUrl"))?.to_owned();
            Some(Said::Settings { ews, address: setting("AutoDiscoverSMTPAddress").map(str::to_owned) })
        }
        code => {
            let words = user.text_of("ErrorMessage").unwrap_or_default();
            Some(Said::Unknown(format!("{code}: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plain(inside: &str) -> Option<Said> {
        let document = format!(r#"<Autodiscover xmlns="a"><Response xmlns="b">{inside}</Response></Autodiscover>"#);
        read_plain(&Element::read(document.as_bytes()).unwrap())
    }

    #[test]
    fn answers_in_plain_xml() {
        let protocol =
            |kind: &str, url: &str| format!("<Protocol><Type>{kind}</Type><EwsUrl>{url}</EwsUrl></Protocol>");
        let both = format!(
            "<User><AutoDiscoverSMTPAddress>ann@x</AutoDiscoverSMTPAddress></User><Account><Action>settings</Action>{}{}</Account>",
            protocol("EXCH", "https://inside"),
            protocol("EXPR", "https://outside")
        );
        let settings = |ews: &str, address: Option<&str>| {
            Some(Said::Settings { ews: ews.into(), address: address.map(str::to_owned) })
        };
        assert_eq!(plain(&both), settings("https://outside", Some("ann@x")));
        let inside = format!("<Account>{}</Account>", protocol("EXCH", "https://inside"));
        assert_eq!(plain(&inside), settings("https://inside", None));
        let redirect = "<Account><Action>redirectAddr</Action><RedirectAddr>b@y</RedirectAddr></Account>";
        assert_eq!(plain(redirect), Some(Said::AskFor("b@y".into())));
        let redirect = "<Account><Action>redirectUrl</Action><RedirectUrl>https://z</RedirectUrl></Account>";
        assert_eq!(plain(redirect), Some(Said::GoTo("https://z".into())));
        assert_eq!(plain("<Error><Message>no</Message></Error>"), Some(Said::Unknown("no".into())));
        assert_eq!(plain("<Account><Action>settings</Action></Account>"), None);
        assert_eq!(plain(""), None);
    }

    #[test]
    fn requests_are_documents() {
        let request = Element::read(soap_request("https://x/autodiscover.svc", "a&b@x").as_bytes()).unwrap();
        let path = ["Body", "GetUserSettingsRequestMessage", "Request", "Users", "User"];
        assert_eq!(request.path(&path).and_then(|user| user.text_of("Mailbox")), Some("a&b@x"));
        let request = Element::read(plain_request("a<b@x").as_bytes()).unwrap();
        assert_eq!(request.child("Request").and_then(|request| request.text_of("EMailAddress")), Some("a<b@x"));
    }
}
