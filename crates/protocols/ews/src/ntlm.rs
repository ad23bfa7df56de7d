//! NTLM as a client (MS-NLMP): version 2 only, with the integrity code over all three messages and, over TLS, bound to
//! the channel. Nothing is signed or sealed afterwards, so no session key is exchanged.

mod message;

use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use secrecy::zeroize::Zeroizing;

pub(crate) use message::negotiate;
use message::{Challenge, FLAG_MIC, Parts, av};

/// Who logs in, and from where.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    /// The user: `DOMAIN\name` or an address.
    pub(crate) user: &'a str,
    /// The password.
    pub(crate) password: &'a str,
    /// The server's name, for the name of the service.
    pub(crate) host: &'a str,
    /// The hash of the channel's bindings, where there is TLS.
    pub(crate) binding: Option<[u8; 16]>,
    /// Eight bytes nobody can foresee.
    pub(crate) nonce: [u8; 8],
    /// Now, in units of 100 ns since 1601, for servers that do not say it themselves.
    pub(crate) time: u64,
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

/// The key made of a password, a user's name and a domain's (MS-NLMP 3.3.2, NTOWFv2).
fn key(password: &str, user: &str, domain: &str) -> Zeroizing<[u8; 16]> {
    let secret = Zeroizing::new(utf16(password));
    let hash: Zeroizing<[u8; 16]> = Zeroizing::new(Md4::digest(secret.as_slice()).into());
    Zeroizing::new(hmac_md5(hash.as_slice(), &[&utf16(&format!("{}{domain}", user.to_uppercase()))]))
}

/// The proof and the response (MS-NLMP 3.3.2), and the key of the session.
fn respond(key: &[u8; 16], server: &[u8; 8], nonce: &[u8; 8], time: u64, target: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let blob = [&[1, 1, 0, 0, 0, 0, 0, 0], &time.to_le_bytes()[..], nonce, &[0; 4], target, &[0; 4]].concat();
    let proof = hmac_md5(key, &[server, &blob]);
    let session = hmac_md5(key, &[&proof]);
    ([&proof[..], &blob].concat(), session)
}

/// The name of a user and of the domain, as the message wants them.
fn names(user: &str) -> (&str, &str) {
    user.split_once('\\').map_or((user, ""), |(domain, name)| (name, domain))
}

/// The third message, given the first two.
///
/// # Errors
/// What the server's challenge lacks.
pub(crate) fn authenticate(negotiate: &[u8], challenge: &[u8], login: &Login<'_>) -> Result<Vec<u8>, &'static str> {
    let read = Challenge::read(challenge).ok_or("the server's NTLM challenge cannot be read")?;
    if !read.is_unicode() {
        return Err("the server does not speak Unicode in NTLM");
    }
    let (user, domain) = names(login.user);
    let domain = if domain.is_empty() && !user.contains('@') { read.target.clone() } else { utf16(domain) };
    let domain_text = String::from_utf16_lossy(
        &domain.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect::<Vec<_>>(),
    );
    let time = read.time();
    let mut target = Vec::new();
    for (id, value) in &read.values {
        if !matches!(*id, av::FLAGS | av::CHANNEL_BINDINGS | av::TARGET_NAME) {
            av::write(&mut target, *id, value);
        }
    }
    if time.is_some() {
        let flags = read.flags_value() | FLAG_MIC;
        av::write(&mut target, av::FLAGS, &flags.to_le_bytes());
    }
    av::write(&mut target, av::CHANNEL_BINDINGS, &login.binding.unwrap_or_default());
    av::write(&mut target, av::TARGET_NAME, &utf16(&format!("HTTP/{}", login.host)));
    av::write(&mut target, av::END, &[]);
    let key = key(login.password, user, &domain_text);
    let (response, session) = respond(&key, &read.nonce, &login.nonce, time.unwrap_or(login.time), &target);
    // With the server's time goes the integrity code, and the older response is left empty.
    let old = if time.is_some() {
        vec![0; 24]
    } else {
        [&hmac_md5(key.as_slice(), &[&read.nonce, &login.nonce])[..], &login.nonce].concat()
    };
    let parts = Parts { old: &old, response: &response, domain: &domain, user: &utf16(user), flags: read.flags };
    let mut message = parts.write();
    if time.is_some() {
        let code = hmac_md5(&session, &[negotiate, challenge, &message]);
        message::put_code(&mut message, code);
    }
    Ok(message)
}

/// The hash of the bindings of a TLS channel, given the hash of its certificate (RFC 5929 §4, RFC 2744 §3.11).
pub(crate) fn binding(certificate_hash: &[u8]) -> [u8; 16] {
    let data = [b"tls-server-end-point:", certificate_hash].concat();
    let length = u32::try_from(data.len()).unwrap_or(0).to_le_bytes();
    Md5::digest([&[0; 16], &length[..], &data].concat()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    /// MS-NLMP 4.2.4: the key, the proof, the session key and the older response of the specification's example.
    #[test]
    fn the_specifications_example() {
        let key = key("Password", "User", "Domain");
        assert_eq!(key.to_vec(), hex("0c868a403bfd7a93a3001ef22ef02e3f"));
        let server: [u8; 8] = hex("0123456789abcdef").try_into().unwrap();
        let mut target = Vec::new();
        av::write(&mut target, 2, &utf16("Domain"));
        av::write(&mut target, 1, &utf16("Server"));
        av::write(&mut target, av::END, &[]);
        let (response, session) = respond(&key, &server, &[0xaa; 8], 0, &target);
        assert_eq!(response[..16], hex("68cd0ab851e51c96aabc927bebef6a1c")[..]);
        assert_eq!(session.to_vec(), hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
        let old = hmac_md5(key.as_slice(), &[&server, &[0xaa; 8]]);
        assert_eq!(old.to_vec(), hex("86c35097ac9cec102554764a57cccc19"));
    }

    fn login(user: &str) -> Login<'_> {
        Login { user, password: "secret", host: "mail.test", binding: Some([7; 16]), nonce: [1; 8], time: 5 }
    }

    fn challenge(with_time: bool) -> Vec<u8> {
        let mut values = Vec::new();
        av::write(&mut values, 2, &utf16("EXAMPLE"));
        if with_time {
            av::write(&mut values, av::TIMESTAMP, &9_u64.to_le_bytes());
        }
        av::write(&mut values, av::END, &[]);
        let target = utf16("EXAMPLE");
        let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
        let field = |message: &mut Vec<u8>, length: usize, at: usize| {
            message.extend(u16::try_from(length).unwrap().to_le_bytes());
            message.extend(u16::try_from(length).unwrap().to_le_bytes());
            message.extend(u32::try_from(at).unwrap().to_le_bytes());
        };
        field(&mut message, target.len(), 56);
        message.extend(message::OUR_FLAGS.to_le_bytes());
        message.extend([3; 8]);
        message.extend([0; 8]);
        field(&mut message, values.len(), 56 + target.len());
        message.extend([0; 8]);
        message.extend(target);
        message.extend(values);
        message
    }

    #[test]
    fn the_integrity_code_covers_all_three_messages() {
        let (first, second) = (negotiate(), challenge(true));
        let third = authenticate(&first, &second, &login("EXAMPLE\\ann")).unwrap();
        let code = third[72..88].to_vec();
        assert_ne!(code, vec![0; 16]);
        let mut without = third.clone();
        without[72..88].fill(0);
        let length = usize::from(u16::from_le_bytes([third[20], third[21]]));
        let at = usize::try_from(u32::from_le_bytes(third[24..28].try_into().unwrap())).unwrap();
        let proof = &third[at..at + 16];
        assert!(length > 16);
        let session = hmac_md5(key("secret", "ann", "EXAMPLE").as_slice(), &[proof]);
        assert_eq!(hmac_md5(&session, &[&first, &second, &without]).to_vec(), code);
        let blob = &third[at..at + length];
        let bound = [10_u16.to_le_bytes(), 16_u16.to_le_bytes()].concat();
        let bound = [bound, vec![7; 16]].concat();
        assert!(blob.windows(bound.len()).any(|window| window == bound), "the channel is bound");
    }

    #[test]
    fn without_the_servers_time_there_is_no_code() {
        let third = authenticate(&negotiate(), &challenge(false), &login("ann@example.test")).unwrap();
        assert_eq!(third[72..88], [0; 16]);
    }

    #[test]
    fn any_bytes_are_refused_without_harm() {
        let whole = challenge(true);
        for length in 0..whole.len() {
            let _ = authenticate(&negotiate(), &whole[..length], &login("ann"));
            let mut spoilt = whole.clone();
            spoilt[length] = 0xff;
            let _ = authenticate(&negotiate(), &spoilt, &login("ann"));
        }
        assert!(authenticate(&negotiate(), b"NTLMSSP\0\x03\0\0\0", &login("ann")).is_err());
    }
}
