//! NTLM as a server: NTLMv2 only, with the integrity code over all three messages (MS-NLMP 3.2.5).

mod message;
mod rc4;

use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;

use super::{Account, Accounts, same};
use message::{AuthenticateMessage, CHALLENGE_FLAGS, FLAG_KEY_EXCHANGE, FLAG_UNICODE};

/// What a server remembers between the first message and the last: both belong to one connection.
#[derive(Debug, Clone)]
pub struct Exchange {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
}

fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // A key of any length is allowed.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The key made of a password, a user's name and a domain's (NTOWFv2).
fn key(password: &str, user: &str, domain: &str) -> [u8; 16] {
    let hash: [u8; 16] = Md4::digest(utf16(password)).into();
    hmac_md5(&hash, &[&utf16(&format!("{}{domain}", user.to_uppercase()))])
}

/// Answers a client's first message with a challenge. `time` is in units of 100 ns since 1601.
pub fn challenge(negotiate: &[u8], nonce: [u8; 8], time: u64) -> Option<(Vec<u8>, Exchange)> {
    let flags = message::read_negotiate(negotiate)?;
    if flags & FLAG_UNICODE == 0 {
        return None;
    }
    let challenge = message::write_challenge(flags & CHALLENGE_FLAGS, nonce, time);
    let exchange = Exchange { negotiate: negotiate.to_vec(), challenge: challenge.clone(), nonce };
    Some((challenge, exchange))
}

/// Checks a client's last message. `binding` is the hash of the channel, where the connection has one and the client says
/// it too.
pub fn check<'a>(
    accounts: &'a Accounts,
    exchange: &Exchange,
    octets: &[u8],
    binding: Option<&[u8; 16]>,
) -> Option<&'a Account> {
    let message = AuthenticateMessage::read(octets)?;
    let account = accounts.find(&message.user)?;
    let key = key(&account.password, &message.user, &message.domain);
    let (proof, blob) = message.response.split_at_checked(16)?;
    if !same(proof, &hmac_md5(&key, &[&exchange.nonce, blob])) {
        return None;
    }
    let values = message::values(blob.get(28..)?);
    let said = values.iter().find(|(id, _)| *id == message::CHANNEL_BINDINGS).map(|(_, value)| value.as_slice());
    let said = said.filter(|said| said.iter().any(|octet| *octet != 0));
    if let (Some(said), Some(binding)) = (said, binding)
        && !same(said, binding)
    {
        return None;
    }
    let flags = values.iter().find(|(id, _)| *id == message::FLAGS).and_then(|(_, value)| value.first());
    if flags.is_some_and(|flags| flags & 2 != 0) {
        let base = hmac_md5(&key, &[proof]);
        let session = if message.flags & FLAG_KEY_EXCHANGE == 0 {
            base.to_vec()
        } else {
            rc4::apply(&base, &message.session_key)
        };
        let (code, without) = message.integrity(octets)?;
        if !same(&code, &hmac_md5(&session, &[&exchange.negotiate, &exchange.challenge, &without])) {
            return None;
        }
    }
    Some(account)
}

/// The hash of a channel's bindings: those of a TLS server's certificate, whose SHA-256 is given (RFC 5929).
pub fn binding(certificate: &[u8]) -> [u8; 16] {
    let data = [b"tls-server-end-point:", certificate].concat();
    let length = u32::try_from(data.len()).unwrap_or(0).to_le_bytes();
    Md5::digest([&[0; 16], &length[..], &data].concat()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of MS-NLMP 4.2.4.1.1.
    #[test]
    fn the_key_is_that_of_the_specification() {
        let expected = [0x0c, 0x86, 0x8a, 0x40, 0x3b, 0xfd, 0x7a, 0x93, 0xa3, 0x00, 0x1e, 0xf2, 0x2e, 0xf0, 0x2e, 0x3f];
        assert_eq!(key("Password", "User", "Domain"), expected);
    }

    #[test]
    fn any_octets_are_refused_without_harm() {
        let accounts = Accounts::default();
        let negotiate = [b"NTLMSSP\0".as_slice(), &1_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
        let (_, exchange) = challenge(&negotiate, [1; 8], 0).unwrap();
        for length in 0..120 {
            let mut octets = vec![0xff; length];
            assert!(challenge(&octets, [1; 8], 0).is_none());
            octets.iter_mut().zip(b"NTLMSSP\0\x03\0\0\0").for_each(|(octet, known)| *octet = *known);
            assert!(check(&accounts, &exchange, &octets, None).is_none());
        }
    }
}
