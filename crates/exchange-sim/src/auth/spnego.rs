//! SPNEGO (RFC 4178) with NTLM as its one mechanism, as a server. Clients may also send NTLM as it is.

/// A value with its tag and length.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ ..0x80 => out.push(u8::try_from(length).unwrap_or(0)),
        length => {
            out.push(0x84);
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// A challenge, wrapped: not done yet, this mechanism, this message.
pub fn wrap(message: &[u8]) -> Vec<u8> {
    let ntlm = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
    let state = tagged(0xa0, &tagged(0x0a, &[1]));
    let mechanism = tagged(0xa1, &tagged(0x06, &ntlm));
    let token = tagged(0xa2, &tagged(0x04, message));
    tagged(0xa1, &tagged(0x30, &[state, mechanism, token].concat()))
}

fn split(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let count = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    let (digits, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
    let length = if count == 0 { usize::from(length) } else { digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)) };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The message in a client's token, and whether it was wrapped.
pub fn unwrap(token: &[u8]) -> Option<(&[u8], bool)> {
    if token.starts_with(b"NTLMSSP\0") {
        return Some((token, false));
    }
    let negotiation = match split(token)? {
        // The first token says which mechanism it is of.
        (0x60, content, _) => {
            let (_, _, rest) = split(content)?;
            split(rest).filter(|(tag, ..)| *tag == 0xa0)?.1
        }
        (0xa1, content, _) => content,
        _ => return None,
    };
    let (_, mut fields, _) = split(negotiation)?;
    loop {
        let (tag, content, rest) = split(fields)?;
        if tag == 0xa2 {
            return split(content).map(|(_, message, _)| (message, true));
        }
        fields = rest;
    }
}
