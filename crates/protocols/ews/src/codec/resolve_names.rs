//! `ResolveNames` (MS-OXWSRSLNM 3.1.4.1).

use crate::xml::{Element, Writer};

/// Somebody the server found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Name.
    pub name: String,
    /// SMTP address; empty where the routing is another.
    pub address: String,
    /// `Mailbox`, `Contact`, `PublicDL`, …; empty where not told.
    pub kind: String,
}

/// Looks a name or address up in the directory.
pub fn request(entry: &str) -> String {
    let mut w = Writer::default();
    let attributes = [("ReturnFullContactData", "false"), ("SearchScope", "ActiveDirectory")];
    w.element("m:ResolveNames", &attributes, |w| w.leaf("m:UnresolvedEntry", entry));
    w.finish()
}

/// Who was found.
pub fn read(message: &Element) -> Vec<Resolved> {
    let one = |resolution: &Element| {
        let mailbox = resolution.child("Mailbox")?;
        let text = |name| mailbox.text_of(name).unwrap_or_default().to_owned();
        let smtp = mailbox.text_of("RoutingType").is_none_or(|kind| kind.eq_ignore_ascii_case("SMTP"));
        let address = if smtp { text("EmailAddress") } else { String::new() };
        Some(Resolved { name: text("Name"), address, kind: text("MailboxType") })
    };
    message.list("ResolutionSet").iter().filter_map(one).collect()
}
