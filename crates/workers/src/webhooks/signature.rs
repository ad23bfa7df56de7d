//! Signatures as Standard Webhooks has them: `v1,` and the base64 of an HMAC-SHA256, one for each valid secret.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use lockstep_engine::webhook::signed_content;
use lockstep_store::webhooks::SECRET_PREFIX;
use secrecy::{ExposeSecret, SecretString};

/// The value of `webhook-signature`: signatures by every secret, with spaces between them. `None` when a secret is not
/// written as ours are.
pub(super) fn signature(secrets: &[SecretString], id: &str, at: DateTime<Utc>, body: &[u8]) -> Option<String> {
    let content = signed_content(id, at, body);
    let signed = secrets.iter().map(|secret| {
        let key = STANDARD.decode(secret.expose_secret().strip_prefix(SECRET_PREFIX)?).ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &content);
        Some(format!("v1,{}", STANDARD.encode(tag)))
    });
    Some(signed.collect::<Option<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of Standard Webhooks are tested with.
    #[test]
    fn the_published_example() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(std::slice::from_ref(&secret), id, at, body).as_deref(), Some(expected));
        let both = signature(&[secret.clone(), secret], id, at, body);
        assert_eq!(both, Some(format!("{expected} {expected}")));
    }

    #[test]
    fn a_secret_of_another_kind_signs_nothing() {
        for text in ["", "whsec_", "geheim", "whsec_#", "whpk_AAAA"] {
            let signed = signature(&[SecretString::from(text)], "id", DateTime::UNIX_EPOCH, b"");
            assert_eq!(signed.is_some(), text == "whsec_", "{text}");
        }
    }
}
