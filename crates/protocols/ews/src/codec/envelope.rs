//! The SOAP envelope: its header as requests need it, and the operation inside.

use crate::xml::Writer;

/// The namespace of SOAP 1.1.
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// The namespace of the types.
const TYPES: &str = "http://schemas.microsoft.com/exchange/services/2006/types";
/// The namespace of the operations.
const MESSAGES: &str = "http://schemas.microsoft.com/exchange/services/2006/messages";

/// The schema asked for: that of Exchange Server 2013, which every newer one has too.
pub const VERSION: &str = "Exchange2013";

/// What stands in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whose mailbox is meant, by its primary SMTP address, where the account is not its owner
    /// (`ExchangeImpersonation`).
    pub as_whom: Option<String>,
}

/// What comes before the operation, and what comes after it.
pub fn around(header: &Header) -> (String, &'static str) {
    let mut w = Writer::default();
    w.raw(r#"<?xml version="1.0" encoding="utf-8"?>"#);
    w.open("s:Envelope", &[("xmlns:s", SOAP), ("xmlns:t", TYPES), ("xmlns:m", MESSAGES)]);
    w.element("s:Header", &[], |w| {
        w.empty("t:RequestServerVersion", &[("Version", VERSION)]);
        if let Some(address) = &header.as_whom {
            w.element("t:ExchangeImpersonation", &[], |w| {
                w.element("t:ConnectingSID", &[], |w| w.leaf("t:PrimarySmtpAddress", address));
            });
        }
    });
    w.open("s:Body", &[]);
    (w.finish(), "</s:Body></s:Envelope>")
}

/// A whole request.
pub fn envelope(header: &Header, operation: &str) -> String {
    let (before, after) = around(header);
    [before.as_str(), operation, after].concat()
}
