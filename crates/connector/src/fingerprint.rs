//! Recognising a message by its header, where the server's own identity is missing, doubled or was reset.

use lockstep_model::remote::Fingerprint;
use sha2::{Digest, Sha256};

/// Header fields that servers add or change in place; they are not part of a message's identity.
const VOLATILE: &[&str] =
    &["status", "x-status", "x-uid", "x-uidl", "x-keywords", "x-mozilla-status", "x-mozilla-status2"];

/// Hash of a header block: field names in lower case, values with white space folded, volatile fields left out, order
/// kept. The empty line that ends the block, and what follows it, do not count; nor does the kind of line break.
pub fn of_header(block: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut keep = false;
    for raw in block.split(|b| *b == b'\n') {
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        if line.is_empty() {
            break;
        }
        let continued = matches!(line.first(), Some(b' ' | b'\t'));
        if !continued {
            let name = line.split(|b| *b == b':').next().unwrap_or_default().to_ascii_lowercase();
            keep = !VOLATILE.iter().any(|v| v.as_bytes() == name.trim_ascii());
            if keep {
                hash.update(b"\n");
                hash.update(name.trim_ascii());
                hash.update(b":");
            }
        }
        if keep {
            let value = if continued {
                line
            } else {
                &line[line.iter().position(|b| *b == b':').map_or(line.len(), |at| at + 1)..]
            };
            for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                hash.update(b" ");
                hash.update(word);
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_line_breaks_case_and_volatile_fields_do_not_count() {
        let first = of_header(b"Message-ID: <a@b>\r\nSubject: one\r\n two\r\nStatus: O\r\n\r\nbody");
        let again = of_header(b"message-id:  <a@b>\nSUBJECT: one two\nX-UID: 7\n\nother body");
        assert_eq!(first, again);
    }

    #[test]
    fn values_and_order_count() {
        let first = of_header(b"A: 1\nB: 2\n\n");
        assert_ne!(first, of_header(b"B: 2\nA: 1\n\n"));
        assert_ne!(first, of_header(b"A: 1\nB: 3\n\n"));
        assert_ne!(of_header(b"A: 1 B: 2\n\n"), first);
    }

    #[test]
    fn any_bytes_have_one() {
        for bytes in [&b""[..], b"\n", b"\xff\xfe:\0", b" leading\n", b":::"] {
            let _ = of_header(bytes);
        }
    }
}
