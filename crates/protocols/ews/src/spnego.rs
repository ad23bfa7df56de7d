//! SPNEGO (RFC 4178) as far as it carries NTLM: the tokens of `Negotiate`, with NTLM as the one mechanism on offer. There
//! is no Kerberos here, and so nothing to choose from and no list whose integrity would have to be proven.

/// 1.3.6.1.5.5.2, with its tag and length.
const SPNEGO: &[u8] = &[0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.3.6.1.4.1.311.2.2.10, with its tag and length.
const NTLM: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// What every NTLM message begins with.
const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// A value with its tag and length (DER).
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = &length[zeros..];
            // A length has at most eight bytes.
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The token that begins: `NegTokenInit` with NTLM's first message.
pub(crate) fn first(message: &[u8]) -> Vec<u8> {
    let mechanisms = tagged(0xa0, &tagged(0x30, NTLM));
    let token = tagged(0xa2, &tagged(0x04, message));
    let init = tagged(0xa0, &tagged(0x30, &[mechanisms, token].concat()));
    tagged(0x60, &[SPNEGO, &init].concat())
}

/// A token that goes on: `NegTokenResp` with a message of NTLM's.
pub(crate) fn next(message: &[u8]) -> Vec<u8> {
    tagged(0xa1, &tagged(0x30, &tagged(0xa2, &tagged(0x04, message))))
}

/// The value at the beginning of some bytes: its tag, its content, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let count = usize::from(length & 0x7f);
        let (digits, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The message of NTLM's inside a server's token. Servers may answer without any wrapping; then it is the token itself.
pub(crate) fn inside(token: &[u8]) -> &[u8] {
    if token.starts_with(SIGNATURE) { token } else { wrapped(token).unwrap_or_default() }
}

fn wrapped(token: &[u8]) -> Option<&[u8]> {
    let (0xa1, response, _) = split(token)? else { return None };
    let (0x30, mut fields, _) = split(response)? else { return None };
    loop {
        let (tag, content, rest) = split(fields)?;
        if tag == 0xa2 {
            let (0x04, message, _) = split(content)? else { return None };
            return Some(message);
        }
        fields = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_wrapped_and_unwrapped() {
        for length in [8, 100, 127, 128, 300, 70_000] {
            let message = [SIGNATURE, &vec![7; length]].concat();
            assert_eq!(inside(&next(&message)), message);
            assert_eq!(inside(&message), message);
            assert!(first(&message).ends_with(&message));
        }
        // A server's own: accept-incomplete, the mechanism, its message.
        let state = tagged(0xa0, &tagged(0x0a, &[1]));
        let mechanism = tagged(0xa1, NTLM);
        let message = tagged(0xa2, &tagged(0x04, b"NTLMSSP\0x"));
        let token = tagged(0xa1, &tagged(0x30, &[state, mechanism, message].concat()));
        assert_eq!(inside(&token), b"NTLMSSP\0x");
        assert_eq!(first(b"NTLMSSP\0")[..2], [0x60, 0x28], "the whole of it is one value");
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let token = next(&[1; 200]);
        for length in 0..token.len() {
            assert_eq!(inside(&token[..length]), b"");
        }
        for bytes in [&b""[..], &[0xa1], &[0xa1, 0x84, 0xff, 0xff, 0xff, 0xff], &[0xa1, 0x89], &[0x30, 0]] {
            assert_eq!(inside(bytes), b"");
        }
    }
}
