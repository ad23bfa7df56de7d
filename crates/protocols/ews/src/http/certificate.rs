//! The hash of a server's certificate that binds a login to its channel (RFC 5929 §4.1).

use sha2::{Digest, Sha256, Sha384, Sha512};

/// The content of the DER value at the beginning, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (length, at) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let bytes = der.get(2..2 + count)?;
            (bytes.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte)), 2 + count)
        }
        _ => return None,
    };
    let end = at.checked_add(length)?;
    Some((tag, der.get(at..end)?, der.get(end..)?))
}

/// The algorithm that signed the certificate, as the bytes of its name (RFC 5280 §4.1.1.2).
fn algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (_, inside, _) = value(certificate)?;
    let (_, _, after_contents) = value(inside)?;
    let (_, algorithm, _) = value(after_contents)?;
    let (tag, name, _) = value(algorithm)?;
    (tag == 6).then_some(name)
}

const SHA384: &[&[u8]] = &[
    // sha384WithRSAEncryption, ecdsa-with-SHA384
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
];
const SHA512: &[&[u8]] = &[
    // sha512WithRSAEncryption, ecdsa-with-SHA512
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
];

/// The hash: that of the signature's own algorithm, SHA-256 where that is weaker or cannot be told.
pub(super) fn hash(certificate: &[u8]) -> Vec<u8> {
    let signed = algorithm(certificate).unwrap_or_default();
    if SHA384.contains(&signed) {
        Sha384::digest(certificate).to_vec()
    } else if SHA512.contains(&signed) {
        Sha512::digest(certificate).to_vec()
    } else {
        Sha256::digest(certificate).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(inside: &[u8]) -> Vec<u8> {
        [&[0x30, 0x82, (inside.len() >> 8) as u8, inside.len() as u8], inside].concat()
    }

    #[test]
    fn the_algorithm_of_the_signature_decides() {
        let certificate = |name: &[u8]| {
            let oid = [&[6, name.len() as u8], name].concat();
            sequence(&[sequence(&[0; 300]), sequence(&oid), vec![3, 1, 0]].concat())
        };
        assert_eq!(hash(&certificate(SHA384[1])).len(), 48);
        assert_eq!(hash(&certificate(SHA512[0])).len(), 64);
        assert_eq!(hash(&certificate(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b])).len(), 32);
        let whole = certificate(SHA384[0]);
        for length in 0..whole.len() {
            let _ = hash(&whole[..length]);
        }
    }
}
