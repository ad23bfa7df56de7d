//! Secrets at rest: sealed with a key that is not in the database.
//!
//! A sealed secret is `version byte ‖ key id length ‖ key id ‖ nonce ‖ ciphertext`, AES-256-GCM. The identity of the
//! record it belongs to is bound in as associated data, so that a ciphertext copied to another row does not open.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use secrecy::{ExposeSecret, SecretString};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// The keys of a deployment: one that seals, and older ones that still open.
#[derive(Clone)]
pub struct Vault {
    sealing: String,
    keys: Arc<BTreeMap<String, RandomizedNonceKey>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("sealing", &self.sealing).field("keys", &self.keys.len()).finish()
    }
}

/// Why a secret cannot be sealed or opened. Never says what the secret is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A key is not 32 bytes long.
    #[error("key {0:?}: a key is {KEY_BYTES} bytes, written as 64 hexadecimal digits")]
    KeyLength(String),
    /// Two keys have one id, so that it would be chance which of them opens.
    #[error("two keys have the id {0:?}; each key needs an id of its own")]
    SameId(String),
    /// No key was given.
    #[error("no key was given; the first one seals, the others only open")]
    NoKey,
    /// The key it was sealed with is not here.
    #[error("sealed with key {0:?}, which this process does not have")]
    UnknownKey(String),
    /// Changed, truncated, or copied from another record.
    #[error("the sealed secret does not belong to this record, or was damaged")]
    Damaged,
    /// The cryptographic library refused.
    #[error("sealing failed")]
    Failed,
}

impl Vault {
    /// A vault of `(key id, key)`; the first one seals.
    ///
    /// # Errors
    /// [`SealError::NoKey`], [`SealError::KeyLength`] or [`SealError::SameId`].
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, SealError> {
        let mut sealing = None;
        let mut opened = BTreeMap::new();
        for (id, key) in keys {
            let usable = (1..=64).contains(&id.len()) && key.len() == KEY_BYTES;
            let key = usable.then(|| RandomizedNonceKey::new(&AES_256_GCM, &key).ok()).flatten();
            let key = key.ok_or_else(|| SealError::KeyLength(id.clone()))?;
            sealing.get_or_insert_with(|| id.clone());
            if opened.insert(id.clone(), key).is_some() {
                return Err(SealError::SameId(id));
            }
        }
        Ok(Self { sealing: sealing.ok_or(SealError::NoKey)?, keys: Arc::new(opened) })
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        &self.sealing
    }

    /// Whether what this key has sealed can be opened.
    pub fn opens(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Seals `secret` for the record `identity` (such as `mailbox/<id>`).
    ///
    /// # Errors
    /// [`SealError::Failed`] when the machine gives no randomness.
    pub fn seal(&self, identity: &str, secret: &SecretString) -> Result<Vec<u8>, SealError> {
        let key = self.keys.get(&self.sealing).ok_or(SealError::NoKey)?;
        let mut text = secret.expose_secret().as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(identity), &mut text).map_err(|_| SealError::Failed)?;
        let length = u8::try_from(self.sealing.len()).map_err(|_| SealError::Failed)?;
        let mut sealed = vec![VERSION, length];
        sealed.extend_from_slice(self.sealing.as_bytes());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Opens what was sealed for the record `identity`.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] or [`SealError::Damaged`].
    pub fn open(&self, identity: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        let [VERSION, length, rest @ ..] = sealed else { return Err(SealError::Damaged) };
        let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(SealError::Damaged)?;
        let id = std::str::from_utf8(id).map_err(|_| SealError::Damaged)?;
        let key = self.keys.get(id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = text.to_vec();
        let open = key.open_in_place(nonce, Aad::from(identity), &mut text).map_err(|_| SealError::Damaged)?;
        let open = std::str::from_utf8(open).map_err(|_| SealError::Damaged)?;
        Ok(SecretString::from(open.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(ids: &[&str]) -> Vault {
        Vault::new(ids.iter().map(|id| ((*id).to_owned(), vec![id.len() as u8; KEY_BYTES]))).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_record_only() {
        let vault = vault(&["2026"]);
        let sealed = vault.seal("mailbox/1", &SecretString::from("geheim")).unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"geheim"));
        assert_eq!(vault.open("mailbox/1", &sealed).unwrap().expose_secret(), "geheim");
        assert_eq!(vault.open("mailbox/2", &sealed).unwrap_err(), SealError::Damaged);
    }

    #[test]
    fn older_keys_still_open() {
        let sealed = vault(&["old"]).seal("r", &SecretString::from("x")).unwrap();
        let rotated = vault(&["newer", "old"]);
        assert_eq!(rotated.open("r", &sealed).unwrap().expose_secret(), "x");
        assert_eq!(vault(&["newer"]).open("r", &sealed).unwrap_err(), SealError::UnknownKey("old".into()));
    }

    #[test]
    fn damage_is_noticed_and_never_a_panic() {
        let vault = vault(&["k"]);
        let sealed = vault.seal("r", &SecretString::from("x")).unwrap();
        for cut in 0..sealed.len() {
            assert!(vault.open("r", &sealed[..cut]).is_err());
            let mut bent = sealed.clone();
            bent[cut] ^= 1;
            assert!(vault.open("r", &bent).is_err());
        }
        assert!(Vault::new([("k".to_owned(), vec![0; 31])]).is_err());
        assert!(Vault::new([]).is_err());
        let twice = Vault::new([("k".to_owned(), vec![0; KEY_BYTES]), ("k".to_owned(), vec![1; KEY_BYTES])]);
        assert_eq!(twice.unwrap_err(), SealError::SameId("k".to_owned()));
    }
}
