//! Passwords of local administrators: argon2id, a few at a time, and not too many attempts.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// Hashes computed at one time; each takes about 20 MiB and tens of milliseconds.
const AT_ONCE: usize = 2;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failed attempts on one name within [`WINDOW`].
const ATTEMPTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Names remembered.
const MAX_NAMES: usize = 4096;
/// Shortest password of an administrator, in characters.
const MIN_PASSWORD_CHARS: usize = 12;
/// Longest password that is looked at, in bytes.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1024;

/// Why a password cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {MIN_PASSWORD_CHARS} characters or more, and at most {MAX_PASSWORD_BYTES} bytes")]
    Length,
    /// The library refused.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// The hash (a PHC string) under which a password is stored. Takes tens of milliseconds of computing.
///
/// # Errors
/// [`PasswordError`].
pub fn hash_password(password: &SecretString) -> Result<String, PasswordError> {
    let text = password.expose_secret();
    if text.chars().count() < MIN_PASSWORD_CHARS || text.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::Length);
    }
    hash(text)
}

fn hash(text: &str) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(text.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Hash(error.to_string()))
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The password is right.
    Right,
    /// It is not, or there is no such name: both look and last the same.
    Wrong,
    /// Too many attempts; try again after this long.
    Later(Duration),
    /// Too many at work.
    Busy,
}

struct Attempts {
    failed: u32,
    since: Instant,
}

/// Attempts to sign in.
pub(crate) struct SignIn {
    turns: Semaphore,
    attempts: Mutex<HashMap<String, Attempts>>,
}

impl SignIn {
    pub(crate) fn new() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), attempts: Mutex::new(HashMap::new()) }
    }

    /// Whether `password` belongs to `stored`. Without a stored hash another one is verified, so that an unknown name
    /// takes as long as a wrong password.
    pub(crate) async fn verify(&self, name: &str, password: SecretString, stored: Option<String>) -> Verdict {
        if let Some(wait) = self.must_wait(name) {
            return Verdict::Later(wait);
        }
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else { return Verdict::Busy };
        let known = stored.is_some();
        let matched = tokio::task::spawn_blocking(move || {
            let stored = stored.or_else(|| decoy().cloned()).unwrap_or_default();
            let Ok(parsed) = PasswordHash::new(&stored) else { return false };
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok()
        })
        .await
        .unwrap_or(false);
        if known && matched {
            self.lock().remove(name);
            return Verdict::Right;
        }
        self.note_failure(name);
        Verdict::Wrong
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn must_wait(&self, name: &str) -> Option<Duration> {
        let attempts = self.lock();
        let entry = attempts.get(name)?;
        let left = WINDOW.checked_sub(entry.since.elapsed())?;
        (entry.failed >= ATTEMPTS).then_some(left)
    }

    fn note_failure(&self, name: &str) {
        let mut attempts = self.lock();
        if attempts.len() >= MAX_NAMES {
            attempts.retain(|_, entry| entry.since.elapsed() < WINDOW);
        }
        if attempts.len() >= MAX_NAMES
            && let Some(oldest) = attempts.iter().min_by_key(|(_, entry)| entry.since).map(|(name, _)| name.clone())
        {
            attempts.remove(&oldest);
        }
        let entry = attempts.entry(name.to_owned()).or_insert(Attempts { failed: 0, since: Instant::now() });
        if entry.since.elapsed() >= WINDOW {
            *entry = Attempts { failed: 0, since: Instant::now() };
        }
        entry.failed += 1;
    }
}

/// A hash nobody has the password of.
fn decoy() -> Option<&'static String> {
    static DECOY: OnceLock<Option<String>> = OnceLock::new();
    DECOY.get_or_init(|| hash(&uuid::Uuid::new_v4().to_string()).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let sign_in = SignIn::new();
        let stored = hash_password(&secret("correct horse battery")).unwrap();
        assert!(stored.starts_with("$argon2id$"));
        let verify = |name: &'static str, password: &str, stored: Option<&String>| {
            sign_in.verify(name, secret(password), stored.cloned())
        };
        assert_eq!(verify("ann", "correct horse battery", Some(&stored)).await, Verdict::Right);
        assert_eq!(verify("ann", "wrong", Some(&stored)).await, Verdict::Wrong);
        assert_eq!(verify("nobody", "wrong", None).await, Verdict::Wrong);
    }

    #[test]
    fn attempts_are_counted_and_names_bounded() {
        let sign_in = SignIn::new();
        for _ in 0..ATTEMPTS {
            assert_eq!(sign_in.must_wait("ann"), None);
            sign_in.note_failure("ann");
        }
        assert!(sign_in.must_wait("ann").is_some());
        assert_eq!(sign_in.must_wait("bob"), None);
        for n in 0..2 * MAX_NAMES {
            sign_in.note_failure(&n.to_string());
        }
        assert!(sign_in.lock().len() <= MAX_NAMES);
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(hash_password(&secret("short")).is_err());
        assert!(hash_password(&secret(&"x".repeat(2000))).is_err());
    }
}
