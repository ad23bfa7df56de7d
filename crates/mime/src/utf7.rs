//! UTF-7 (RFC 2152), read only.

/// Decodes UTF-7; what is no UTF-7 becomes U+FFFD. The output is never longer than three bytes
/// for each byte of input.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'+' {
            text.push(if byte < 0x80 { char::from(byte) } else { char::REPLACEMENT_CHARACTER });
            continue;
        }
        if let Some(tail) = rest.strip_prefix(b"-") {
            text.push('+');
            rest = tail;
            continue;
        }
        let end = rest.iter().position(|b| sextet(*b).is_none()).unwrap_or(rest.len());
        let (shifted, tail) = rest.split_at(end);
        // Only the minus sign is swallowed; any other byte ends the run and stays.
        rest = tail.strip_prefix(b"-").unwrap_or(tail);
        push_shifted(shifted, &mut text);
    }
    text
}

fn push_shifted(shifted: &[u8], text: &mut String) {
    let mut units = Vec::with_capacity(shifted.len() / 2);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for value in shifted.iter().filter_map(|b| sextet(*b)) {
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(((bits >> count) & 0xFFFF) as u16);
            bits &= (1 << count) - 1;
        }
    }
    text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn shifts_and_plain_text_mix() {
        for (encoded, text) in [
            ("Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            ("1 +- 1 = 2", "1 + 1 = 2"),
            ("+ZeVnLIqe", "日本語"),
            ("+AOk.", "é."),
            ("a+2D3eAA-b", "a😀b"),
        ] {
            assert_eq!(super::decode(encoded.as_bytes()), text, "{encoded}");
        }
    }
}
