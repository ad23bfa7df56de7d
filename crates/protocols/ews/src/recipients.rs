//! To whom a message goes: its header names people, the envelope decides.

use std::collections::BTreeSet;

use crate::xml::Writer;

/// Most addresses looked for in one header.
const MAX_ADDRESSES: usize = 20_000;

/// The addresses in a message's header, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipients {
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
}

/// Addresses in the text of a field (RFC 5322 §3.4): quoted strings and comments are passed over. Whatever is no address
/// is left out.
fn addresses(field: &str) -> Vec<String> {
    let (mut found, mut word, mut quoted, mut comment, mut escaped) = (Vec::new(), String::new(), false, 0_u32, false);
    let mut take = |word: &mut String| {
        // A quoted string may be the local part, and never the domain: then it is a name.
        let plausible = word.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains(['"', '>', ' '])
        });
        if plausible && found.len() < MAX_ADDRESSES {
            found.push(word.to_lowercase());
        }
        word.clear();
    };
    for c in field.chars() {
        if escaped {
            escaped = false;
            if quoted {
                word.push(c);
            }
            continue;
        }
        match c {
            '\\' if quoted || comment > 0 => {
                escaped = true;
                if quoted {
                    word.push(c);
                }
            }
            '"' if comment == 0 => {
                quoted = !quoted;
                word.push(c);
            }
            _ if quoted => word.push(c),
            '(' => comment += 1,
            ')' if comment > 0 => comment -= 1,
            _ if comment > 0 => {}
            '<' | '>' | ',' | ';' => take(&mut word),
            // `Group: member;`
            ':' if !word.contains('@') => word.clear(),
            c if c.is_whitespace() => {
                if word.contains('@') {
                    take(&mut word);
                } else {
                    word.clear();
                }
            }
            c => word.push(c),
        }
    }
    take(&mut word);
    found
}

impl Recipients {
    /// Reads them from a header block.
    pub(crate) fn of(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut recipients = Self::default();
        let mut field: Option<(String, String)> = None;
        let mut take = |field: Option<(String, String)>| {
            let Some((name, value)) = field else { return };
            let list = match name.as_str() {
                "to" => &mut recipients.to,
                "cc" => &mut recipients.cc,
                "bcc" => &mut recipients.bcc,
                _ => return,
            };
            list.extend(addresses(&value));
        };
        for line in text.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = &mut field {
                    value.push_str(line);
                }
            } else {
                take(field.take());
                field = line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.to_owned()));
            }
        }
        take(field);
        recipients
    }

    /// Writes lists where the header alone would not lead to exactly those wanted. A list that is written takes the place
    /// of the header's own.
    pub(crate) fn write(&self, w: &mut Writer, wanted: &BTreeSet<String>) {
        let lower: BTreeSet<String> = wanted.iter().map(|address| address.to_lowercase()).collect();
        let named: BTreeSet<&String> = self.to.iter().chain(&self.cc).chain(&self.bcc).collect();
        let too_many = named.iter().any(|address| !lower.contains(*address));
        let kept =
            |list: &[String]| list.iter().filter(|address| lower.contains(*address)).cloned().collect::<Vec<_>>();
        if too_many {
            for (name, own) in [("t:ToRecipients", &self.to), ("t:CcRecipients", &self.cc)] {
                if !own.is_empty() {
                    list(w, name, &kept(own));
                }
            }
        }
        let hidden: Vec<String> =
            wanted.iter().filter(|address| !self.is_shown(&address.to_lowercase())).cloned().collect();
        let more = hidden.iter().any(|address| !self.bcc.contains(&address.to_lowercase()));
        if more || (too_many && !self.bcc.is_empty()) {
            list(w, "t:BccRecipients", &hidden);
        }
    }

    fn is_shown(&self, address: &str) -> bool {
        self.to.iter().chain(&self.cc).any(|shown| shown == address)
    }
}

/// An empty list takes the header's own away.
fn list(w: &mut Writer, name: &str, addresses: &[String]) {
    w.element(name, &[], |w| {
        for address in addresses {
            w.element("t:Mailbox", &[], |w| w.leaf("t:EmailAddress", address));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_among_names_comments_and_groups() {
        let field = "\"Doe, Ann <x@y>\" <Ann@Example.test>, bob@example.test (Bob, c@d), Team: cid@example.test;,\r\n \
                     =?utf-8?q?D=40x?= <dan@example.test>, undisclosed-recipients:;";
        let expected = ["ann@example.test", "bob@example.test", "cid@example.test", "dan@example.test"];
        assert_eq!(addresses(field), expected);
    }

    fn written(head: &str, wanted: &[&str]) -> String {
        let mut w = Writer::default();
        let wanted = wanted.iter().map(|address| (*address).to_owned()).collect();
        Recipients::of(head.as_bytes()).write(&mut w, &wanted);
        w.finish()
    }

    #[test]
    fn the_envelope_decides() {
        let head = "To: A <a@x>,\r\n b@x\r\nCC: c@x\r\nSubject: to: d@x\r\n\r\n";
        assert_eq!(written(head, &["a@x", "B@x", "c@x"]), "", "the header says it all");
        let mailbox = |address: &str| format!("<t:Mailbox><t:EmailAddress>{address}</t:EmailAddress></t:Mailbox>");
        let hidden = format!("<t:BccRecipients>{}</t:BccRecipients>", mailbox("Z@x"));
        assert_eq!(written(head, &["a@x", "b@x", "c@x", "Z@x"]), hidden);
        let fewer = format!("<t:ToRecipients>{}</t:ToRecipients><t:CcRecipients></t:CcRecipients>", mailbox("b@x"));
        assert_eq!(written(head, &["b@x"]), fewer);
        let none = format!("<t:BccRecipients>{}</t:BccRecipients>", mailbox("a@x"));
        assert_eq!(written("Subject: x\r\n\r\n", &["a@x"]), none);
    }

    #[test]
    fn any_bytes_are_a_header_of_sorts() {
        for head in [&b""[..], b"\xff:\xfe", b"To: ((((\"", b"to", b": @@,@", b"To: \\"] {
            let _ = Recipients::of(head);
        }
    }
}
