//! Attachments of a pair: files as wholes, each its name and its content. What is added on one side is added on the other,
//! what is removed on one side is removed on the other, and of two changes at once both results stay: nothing is lost.

use std::collections::BTreeSet;

use lockstep_model::text;

use super::rules::Flow;

/// Longest name, in bytes and thereby also in characters.
pub const MAX_NAME: usize = 255;
/// Longest extension that survives the shortening of a name, in bytes, with its dot.
const MAX_EXTENSION: usize = 32;
/// What a file is called whose name says nothing.
const NAMELESS: &str = "attachment";

/// A file. Another content under the same name is another file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File {
    /// Its name, as [`name`] makes it.
    pub name: String,
    /// The SHA-256 digest of its content.
    pub digest: [u8; 32],
}

/// What brings both sides together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be added to the record.
    pub to_crm: Vec<File>,
    /// To be added to the item.
    pub to_server: Vec<File>,
    /// To be taken from the record: they were removed from the item.
    pub from_crm: Vec<File>,
    /// To be taken from the item: they were removed from the record.
    pub from_server: Vec<File>,
    /// What is agreed on without any of this: both sides have it, or what one side did with it may not flow.
    pub agreed: BTreeSet<File>,
}

impl Plan {
    /// Whether nothing has to be written on either side.
    pub const fn is_empty(&self) -> bool {
        self.to_crm.is_empty() && self.to_server.is_empty() && self.from_crm.is_empty() && self.from_server.is_empty()
    }
}

/// Compares both sides with what they last agreed on. A change that may not flow stays where it was made; unlike fields,
/// attachments are never put back or taken away to undo it.
pub fn plan(base: &BTreeSet<File>, crm: &BTreeSet<File>, server: &BTreeSet<File>, flow: Flow) -> Plan {
    let mut plan = Plan::default();
    let all: BTreeSet<_> = base.iter().chain(crm).chain(server).collect();
    for file in all {
        let list = match (base.contains(file), crm.contains(file), server.contains(file)) {
            (_, true, true) => None,
            (_, false, false) => continue,
            (false, true, false) if flow.to_server => Some(&mut plan.to_server),
            (false, false, true) if flow.to_crm => Some(&mut plan.to_crm),
            (true, true, false) if flow.to_crm => Some(&mut plan.from_crm),
            (true, false, true) if flow.to_server => Some(&mut plan.from_server),
            (false, ..) => continue,
            (true, ..) => None,
        };
        match list {
            Some(list) => list.push(file.clone()),
            None => drop(plan.agreed.insert(file.clone())),
        }
    }
    plan
}

/// The name of a file as both sides can keep it: one line without separators of paths, of at most [`MAX_NAME`] bytes. A
/// long one loses its middle, so that its extension stays.
pub fn name(outside: &str) -> String {
    // Names of any length come from outside; what follows so many characters is not looked at, but for the end.
    let clean = |part: &str| {
        let part: String = part.chars().filter(|c| *c == ' ' || !text::is_odd(*c)).collect();
        part.replace(['/', '\\'], "_")
    };
    let whole = text::line(&clean(outside), usize::MAX);
    let kept = if whole.len() <= MAX_NAME {
        whole
    } else {
        let extension = whole.rfind('.').map(|dot| &whole[dot..]).filter(|end| end.len() <= MAX_EXTENSION);
        let extension = extension.unwrap_or_default();
        text::line(&whole, MAX_NAME - extension.len()) + extension
    };
    if kept.is_empty() || kept.chars().all(|c| c == '.') { NAMELESS.to_owned() } else { kept }
}

/// Whether files with the extension of this name are left out. `blocked` are extensions in lower case, without a dot.
pub fn is_blocked(name: &str, blocked: &[String]) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.trim());
    extension.is_some_and(|extension| blocked.iter().any(|blocked| blocked.eq_ignore_ascii_case(extension)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Flow = Flow { to_crm: true, to_server: true, put_back: false };
    const TO_CRM: Flow = Flow { to_server: false, ..BOTH };
    const TO_SERVER: Flow = Flow { to_crm: false, ..BOTH };
    const NEITHER: Flow = Flow { to_crm: false, ..TO_CRM };

    fn file(name: &str, content: u8) -> File {
        File { name: name.to_owned(), digest: [content; 32] }
    }

    fn set(files: &[File]) -> BTreeSet<File> {
        files.iter().cloned().collect()
    }

    /// J11: the whole table, for one file: who has it, who had it, which way it may flow, and what follows.
    #[test]
    fn j11_one_file() {
        let one = file("agenda.txt", 1);
        let of = |there: bool| if there { set(std::slice::from_ref(&one)) } else { BTreeSet::new() };
        // In the base, the CRM, the server; for both ways, to the CRM, to the server, neither.
        let table = [
            ((false, true, false), ["add there", "leave", "add there", "leave"]),
            ((false, false, true), ["add here", "add here", "leave", "leave"]),
            ((true, true, false), ["remove here", "remove here", "agreed", "agreed"]),
            ((true, false, true), ["remove there", "agreed", "remove there", "agreed"]),
            ((true, true, true), ["agreed"; 4]),
            ((false, true, true), ["agreed"; 4]),
            ((true, false, false), ["leave"; 4]),
        ];
        for ((base, crm, server), expected) in table {
            for (flow, expected) in [BOTH, TO_CRM, TO_SERVER, NEITHER].into_iter().zip(expected) {
                let plan = plan(&of(base), &of(crm), &of(server), flow);
                let done = match &plan {
                    Plan { to_server, .. } if !to_server.is_empty() => "add there",
                    Plan { to_crm, .. } if !to_crm.is_empty() => "add here",
                    Plan { from_crm, .. } if !from_crm.is_empty() => "remove here",
                    Plan { from_server, .. } if !from_server.is_empty() => "remove there",
                    Plan { agreed, .. } if !agreed.is_empty() => "agreed",
                    _ => "leave",
                };
                assert_eq!(done, expected, "{base} {crm} {server} {flow:?}");
            }
        }
    }

    /// J11: both sides have changed the same file: both results stay, on both sides.
    #[test]
    fn j11_two_changes_at_once_are_both_kept() {
        let (old, here, there) = (file("plan.doc", 1), file("plan.doc", 2), file("plan.doc", 3));
        let plan = plan(&set(&[old]), &set(std::slice::from_ref(&here)), &set(std::slice::from_ref(&there)), BOTH);
        let expected = Plan { to_server: vec![here], to_crm: vec![there], ..Plan::default() };
        assert_eq!(plan, expected);
    }

    #[test]
    fn names_are_made_harmless() {
        for (outside, expected) in [
            ("agenda.txt", "agenda.txt"),
            ("Ärger & Söhne.pdf", "Ärger & Söhne.pdf"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            (r"C:\Users\a.txt", "C:_Users_a.txt"),
            ("a\0b\r\nc.txt", "abc.txt"),
            ("gpj.\u{202e}exe", "gpj.exe"),
            ("  ", "attachment"),
            ("..", "attachment"),
            ("", "attachment"),
            ("\0", "attachment"),
        ] {
            assert_eq!(name(outside), expected, "{outside:?}");
        }
        let long = format!("{}.docx", "ü".repeat(10_000));
        let kept = name(&long);
        assert!(kept.len() <= MAX_NAME && kept.ends_with("ü.docx"), "{kept}");
        assert_eq!(name(&"x".repeat(10_000)).len(), MAX_NAME);
        assert_eq!(name(&format!("x.{}", "y".repeat(10_000))).len(), MAX_NAME, "no extension is that long");
    }

    #[test]
    fn blocked_extensions_ignore_case() {
        let blocked = ["exe".to_owned()];
        for (name, is) in
            [("setup.EXE", true), ("setup.exe ", true), ("exe", false), ("a.exe.txt", false), ("a.", false)]
        {
            assert_eq!(is_blocked(name, &blocked), is, "{name}");
        }
    }
}
