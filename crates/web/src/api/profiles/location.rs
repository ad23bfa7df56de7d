//! Where a profile's servers are: named by host or URL, or asked of Autodiscover.

use lockstep_connector::Descriptor;
use lockstep_model::protocol::Capabilities;
use lockstep_store::profiles::ProfileRecord;
use url::Url;

use super::view::{Endpoint, ProfileFields};
use crate::{
    host,
    state::AppState,
    validate::Check,
    words::{AuthMethod, TlsMode},
};

/// Longest location, in characters.
pub(super) const MAX_LOCATION: usize = 2_084;
/// Longest path of an endpoint, in characters.
const MAX_PATH: usize = 1_024;

/// Takes locations apart, empties what Autodiscover is asked for, and notes what cannot be.
pub(super) fn settle(check: &mut Check, state: &AppState, fields: &mut ProfileFields, before: Option<&ProfileRecord>) {
    let was = before.map(ProfileFields::from);
    let was = |side: fn(&ProfileFields) -> &Endpoint| was.as_ref().map(side);
    let discover = fields.use_autodiscover;
    let sides: [(&str, &mut Endpoint, Option<&Endpoint>); 2] = [
        ("incoming", &mut fields.incoming, was(|fields| &fields.incoming)),
        ("outgoing", &mut fields.outgoing, was(|fields| &fields.outgoing)),
    ];
    for (side, endpoint, was) in sides {
        let able = capabilities(state, &endpoint.protocol);
        methods(check, side, endpoint, able);
        if discover {
            asked_for(check, side, endpoint, was, able);
        } else {
            named(check, side, endpoint, was, able);
        }
    }
    begins(check, fields, before);
}

/// What a protocol can do; `None` of one that is not known, which is complained of elsewhere.
pub(super) fn capabilities(state: &AppState, protocol: &str) -> Option<Capabilities> {
    let known = |descriptor: &&Descriptor| descriptor.name.as_str() == protocol;
    state.descriptors.iter().find(known).map(|descriptor| descriptor.capabilities)
}

/// Each kind of server has its own ways to log in.
fn methods(check: &mut Check, side: &str, endpoint: &Endpoint, able: Option<Capabilities>) {
    let over_http = match endpoint.auth {
        AuthMethod::Auto | AuthMethod::XOAuth2 => return,
        AuthMethod::Negotiate | AuthMethod::Ntlm | AuthMethod::Basic => true,
        AuthMethod::Login | AuthMethod::Plain => false,
    };
    let remedy = match able {
        Some(able) if able.over_http != over_http => match able.over_http {
            true => "one of: auto, negotiate, ntlm, basic, xoauth2. This server is logged in at over HTTP",
            false => "one of: auto, login, plain, xoauth2. negotiate, ntlm and basic are ways of Exchange servers",
        },
        _ => return,
    };
    check.refuse(&format!("{side}.auth"), "protocol", remedy);
}

/// With Autodiscover nothing is named. What stands there from before goes; what is sent along does not belong here.
fn asked_for(
    check: &mut Check,
    side: &str,
    endpoint: &mut Endpoint,
    was: Option<&Endpoint>,
    able: Option<Capabilities>,
) {
    if able.is_some_and(|able| !able.discovery) {
        let remedy = format!("false, and a host in {side}.host: servers of this protocol have no Autodiscover");
        check.refuse("use_autodiscover", "protocol", remedy);
        return;
    }
    const REMEDY: &str = "nothing: the server of each mailbox is asked of Autodiscover; or use_autodiscover false";
    if !endpoint.host.is_empty() && was.is_none_or(|was| was.host != endpoint.host) {
        check.refuse(&format!("{side}.host"), "not-used", REMEDY);
    }
    if endpoint.path.is_some() && was.is_none_or(|was| was.path != endpoint.path) {
        check.refuse(&format!("{side}.path"), "not-used", REMEDY);
    }
    if endpoint.tls != TlsMode::Implicit {
        let remedy = "implicit: Autodiscover leads to protected servers only";
        check.refuse(&format!("{side}.tls"), "autodiscover", remedy);
    }
    (endpoint.host, endpoint.path, endpoint.port) = (String::new(), None, None);
}

/// A host, or for what speaks HTTP a URL.
fn named(check: &mut Check, side: &str, endpoint: &mut Endpoint, was: Option<&Endpoint>, able: Option<Capabilities>) {
    let over_http = able.is_some_and(|able| able.over_http);
    let field = format!("{side}.host");
    if endpoint.host.is_empty() {
        let or = if over_http { ", the https URL of the endpoint, or use_autodiscover true" } else { "" };
        check.refuse(&field, "required", format!("a host name or address{or}"));
        return;
    }
    if over_http && endpoint.host.contains("://") {
        match url(&endpoint.host) {
            Ok(url) => take_apart(check, side, endpoint, &url),
            Err(remedy) => return check.refuse(&field, "host", remedy),
        }
    }
    if let Some(remedy) = host::refuse(&endpoint.host) {
        check.refuse(&field, "host", remedy);
    }
    let Some(path) = &endpoint.path else { return };
    let field = format!("{side}.path");
    if !over_http {
        if was.is_some_and(|was| was.path == endpoint.path) {
            endpoint.path = None;
        } else {
            check.refuse(&field, "protocol", "nothing: servers of this protocol have no paths");
        }
        return;
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?' | b'"' | b'<' | b'>' | b'\\' | b'`');
    if path.len() > MAX_PATH || !path.starts_with('/') || !path.bytes().all(fits) {
        let remedy = format!("a path such as /EWS/Exchange.asmx, at most {MAX_PATH} characters");
        check.refuse(&field, "path", remedy);
    }
}

fn take_apart(check: &mut Check, side: &str, endpoint: &mut Endpoint, url: &Url) {
    if endpoint.tls != TlsMode::Implicit {
        check.refuse(
            &format!("{side}.tls"),
            "url",
            "implicit: the URL is one of https. For other ways, give a host and a path",
        );
    }
    let host = url.host_str().unwrap_or_default();
    endpoint.host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    endpoint.port = url.port().or(endpoint.port);
    endpoint.path = Some(url.path().to_owned()).filter(|path| path.len() > 1);
}

/// An `https` URL without secrets that may be connected to.
///
/// # Errors
/// What would be accepted.
pub(super) fn url(written: &str) -> Result<Url, &'static str> {
    const FORM: &str =
        "an https URL with a host, without user name, password, query and fragment, at most 2084 characters";
    let fits = written.chars().count() <= MAX_LOCATION && lockstep_model::text::is_line(written);
    let url = Url::parse(written).ok().filter(|_| fits).ok_or(FORM)?;
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let host = url.host_str().filter(|_| bare && url.scheme() == "https").ok_or(FORM)?;
    host::refuse(host).map_or(Ok(url.clone()), Err)
}

/// Where Autodiscover begins.
fn begins(check: &mut Check, fields: &mut ProfileFields, before: Option<&ProfileRecord>) {
    let Some(written) = &fields.autodiscover_location else { return };
    if !fields.use_autodiscover {
        if before.is_none_or(|before| before.autodiscover_location != fields.autodiscover_location) {
            check.refuse("autodiscover_location", "not-used", "nothing; or use_autodiscover true");
        }
        fields.autodiscover_location = None;
        return;
    }
    let remedy = if written.contains("://") { url(written).err() } else { host::refuse(written) };
    if let Some(remedy) = remedy {
        check.refuse("autodiscover_location", "host", format!("{remedy}; or a host name alone, or nothing"));
    }
}
