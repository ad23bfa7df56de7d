//! The one sanitising constructor for text from outside: what passes here may go into SQL, JSON and a page.

/// Text with line breaks kept: no NUL, no control characters other than tab and line feed, at most `max_bytes` bytes
/// of UTF-8, cut at a character boundary. CR LF and lone CR become LF.
pub fn block(outside: &str, max_bytes: usize) -> String {
    let mut kept = String::with_capacity(outside.len().min(max_bytes));
    let mut previous_was_cr = false;
    for c in outside.chars() {
        let c = match c {
            '\n' if previous_was_cr => {
                previous_was_cr = false;
                continue;
            }
            '\r' => {
                previous_was_cr = true;
                '\n'
            }
            c => {
                previous_was_cr = false;
                c
            }
        };
        if c.is_control() && c != '\n' && c != '\t' {
            continue;
        }
        if kept.len() + c.len_utf8() > max_bytes {
            break;
        }
        kept.push(c);
    }
    kept
}

/// One line of text: like [`block`], with every run of white space folded into one space and the ends trimmed.
pub fn line(outside: &str, max_bytes: usize) -> String {
    let mut kept = String::with_capacity(outside.len().min(max_bytes));
    for c in outside.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c.is_control() || (c == ' ' && (kept.is_empty() || kept.ends_with(' '))) {
            continue;
        }
        if kept.len() + c.len_utf8() > max_bytes {
            break;
        }
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Whether a character has no place in text of one line that somebody types: control characters, the separators of lines
/// and paragraphs (U+2028, U+2029), and what turns the direction of writing (`Bidi_Control` of Unicode, UAX #9), by which
/// one text looks like another.
pub fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Whether text is of one line, without anything that [`is_odd`]. Ask before white space is trimmed: what is odd may be
/// white space too.
pub fn is_line(text: &str) -> bool {
    !text.chars().any(is_odd)
}

/// Bytes from outside as one line; what is not UTF-8 becomes U+FFFD.
pub fn line_from_bytes(outside: &[u8], max_bytes: usize) -> String {
    line(&String::from_utf8_lossy(outside), max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_lines_and_lose_what_sql_refuses() {
        assert_eq!(block("a\r\nb\rc\0d\u{7}\te", 100), "a\nb\ncd\te");
        assert_eq!(block("ééé", 5), "éé", "cut at a character boundary");
    }

    #[test]
    fn lines_fold_white_space() {
        assert_eq!(line("  a\r\n\t b\0 ", 100), "a b");
        assert_eq!(line_from_bytes(b"a\xffb", 100), "a\u{fffd}b");
    }

    #[test]
    fn what_breaks_or_turns_a_line_is_odd() {
        for odd in ['\0', '\n', '\u{85}', '\u{61c}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2069}'] {
            assert!(!is_line(&format!("a{odd}b")) && !is_line(&format!("a{odd}")), "{odd:?}");
        }
        // A joiner makes one emoji of two, and letters of some scripts; a soft hyphen and other spaces are text as well.
        for text in ["", "Ann", "שלום", "👩\u{200d}🚀", "a\u{ad}b", "a\u{a0}b"] {
            assert!(is_line(text), "{text:?}");
        }
    }
}
