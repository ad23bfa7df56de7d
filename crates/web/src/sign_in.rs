//! Passwords of local administrators: argon2id, a few at a time, and not too many attempts.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
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
const ATTEMPTS: usize = 10;
/// Failed attempts from one address within [`WINDOW`], whatever the names: several people may share one.
const ATTEMPTS_OF_SOURCE: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Names remembered, and addresses.
const MAX_KEPT: usize = 4096;
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

/// When attempts of the last [`WINDOW`] were begun that failed or are being looked at; the first one first.
type Attempts = VecDeque<Instant>;

/// Attempts by name or by address, of a bounded number of them. An attempt counts from its beginning, so that several at
/// one moment are no more than `most` either; a right password takes its own back.
struct Failures<K> {
    most: usize,
    entries: Mutex<HashMap<K, Attempts>>,
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn new(most: usize) -> Self {
        Self { most, entries: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Attempts>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it takes until the next attempt may be made; `None`: none at all.
    fn wait(&self, attempts: &Attempts) -> Option<Duration> {
        // The one that has to be older than the window before there is room.
        let oldest = attempts.len().checked_sub(self.most).and_then(|at| attempts.get(at))?;
        WINDOW.checked_sub(oldest.elapsed()).filter(|left| !left.is_zero())
    }

    fn must_wait<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
    {
        self.wait(self.lock().get(key)?)
    }

    /// Begins an attempt, unless it has to wait for so long.
    fn begin(&self, key: K) -> Result<(), Duration> {
        let mut entries = self.lock();
        if !entries.contains_key(&key) && entries.len() >= MAX_KEPT {
            entries.retain(|_, attempts| attempts.back().is_some_and(|last| last.elapsed() < WINDOW));
            if entries.len() >= MAX_KEPT
                && let Some(oldest) = entries.iter().min_by_key(|(_, attempts)| attempts.back()).map(|(key, _)| key)
            {
                let oldest = oldest.clone();
                entries.remove(&oldest);
            }
        }
        let attempts = entries.entry(key).or_default();
        while attempts.front().is_some_and(|first| first.elapsed() >= WINDOW) {
            attempts.pop_front();
        }
        if let Some(wait) = self.wait(attempts) {
            return Err(wait);
        }
        attempts.push_back(Instant::now());
        Ok(())
    }

    /// Takes the last attempt back: it was none.
    fn take_back<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(attempts) = self.lock().get_mut(key) {
            attempts.pop_back();
        }
    }
}

/// Attempts to sign in.
pub(crate) struct SignIn {
    turns: Semaphore,
    names: Failures<String>,
    sources: Failures<IpAddr>,
}

impl SignIn {
    pub(crate) fn new() -> Self {
        let (names, sources) = (Failures::new(ATTEMPTS), Failures::new(ATTEMPTS_OF_SOURCE));
        Self { turns: Semaphore::new(AT_ONCE), names, sources }
    }

    /// Whether `password` belongs to `stored`. Without a stored hash another one is verified, so that an unknown name
    /// takes as long as a wrong password. `source` is where the attempt comes from, where that is known.
    pub(crate) async fn verify(
        &self,
        name: &str,
        source: Option<IpAddr>,
        password: SecretString,
        stored: Option<String>,
    ) -> Verdict {
        let source = source.map(network);
        if let Some(wait) = self.must_wait(name, source) {
            return Verdict::Later(wait);
        }
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else { return Verdict::Busy };
        // Others may have failed while this one waited, and others are being looked at now.
        if let Some(source) = source
            && let Err(wait) = self.sources.begin(source)
        {
            return Verdict::Later(wait);
        }
        if let Err(wait) = self.names.begin(name.to_owned()) {
            if let Some(source) = source {
                self.sources.take_back(&source);
            }
            return Verdict::Later(wait);
        }
        let known = stored.is_some();
        let matched = tokio::task::spawn_blocking(move || {
            let stored = stored.or_else(|| decoy().cloned()).unwrap_or_default();
            let Ok(parsed) = PasswordHash::new(&stored) else { return false };
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok()
        })
        .await
        .unwrap_or(false);
        if known && matched {
            self.names.lock().remove(name);
            if let Some(source) = source {
                self.sources.take_back(&source);
            }
            return Verdict::Right;
        }
        Verdict::Wrong
    }

    fn must_wait(&self, name: &str, source: Option<IpAddr>) -> Option<Duration> {
        self.names.must_wait(name).max(source.and_then(|source| self.sources.must_wait(&source)))
    }
}

/// What counts as one source: whoever has an IPv6 address has 2^64 of them.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
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
            sign_in.verify(name, None, secret(password), stored.cloned())
        };
        assert_eq!(verify("ann", "correct horse battery", Some(&stored)).await, Verdict::Right);
        assert_eq!(verify("ann", "wrong", Some(&stored)).await, Verdict::Wrong);
        assert_eq!(verify("nobody", "wrong", None).await, Verdict::Wrong);
    }

    #[test]
    fn attempts_are_counted_and_what_is_kept_is_bounded() {
        let names = Failures::new(ATTEMPTS);
        for _ in 0..ATTEMPTS {
            assert_eq!(names.must_wait("ann"), None);
            assert_eq!(names.begin("ann".to_owned()), Ok(()));
        }
        assert!(names.must_wait("ann").is_some());
        assert_eq!(names.must_wait("bob"), None);
        for n in 0..2 * MAX_KEPT {
            assert_eq!(names.begin(n.to_string()), Ok(()));
        }
        assert!(names.lock().len() <= MAX_KEPT);
    }

    /// Many names from one address are guessing too; its neighbours in one IPv6 network are the same source.
    #[tokio::test(start_paused = true)]
    async fn guesses_from_one_address_are_counted_whatever_the_name() {
        let sign_in = SignIn::new();
        let source: IpAddr = "2001:db8::1".parse().unwrap();
        for n in 0..ATTEMPTS_OF_SOURCE {
            assert_eq!(sign_in.must_wait(&n.to_string(), Some(network(source))), None);
            assert_eq!(sign_in.sources.begin(network(source)), Ok(()));
        }
        let verify = |source: &str| sign_in.verify("ann", Some(source.parse().unwrap()), secret("x"), None);
        assert!(matches!(verify("2001:db8::2").await, Verdict::Later(wait) if wait <= WINDOW));
        assert_eq!(verify("2001:db8:0:1::1").await, Verdict::Wrong, "another network");
        tokio::time::advance(WINDOW).await;
        assert_eq!(verify("2001:db8::2").await, Verdict::Wrong, "for a minute only");
    }

    /// However many guesses come at one moment, and however they lie around the turn of a minute: ten within any minute are
    /// looked at.
    #[tokio::test(start_paused = true)]
    async fn ten_guesses_are_ten() {
        let sign_in = SignIn::new();
        let count = async |guesses: usize| {
            let guess = || sign_in.verify("ann", None, secret("x"), None);
            let verdicts = futures::future::join_all((0..guesses).map(|_| guess())).await;
            verdicts.into_iter().filter(|verdict| *verdict == Verdict::Wrong).count()
        };
        assert_eq!(count(1).await, 1);
        tokio::time::advance(WINDOW - Duration::from_secs(1)).await;
        assert_eq!(count(25).await, ATTEMPTS - 1, "at one moment");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(count(25).await, 1, "only the first one is a minute old");
        tokio::time::advance(WINDOW).await;
        assert_eq!(count(3).await, 3);
    }

    /// Who signs in rightly takes nothing from others behind the same address.
    #[tokio::test]
    async fn the_right_password_is_no_guess() {
        let sign_in = SignIn::new();
        let stored = hash_password(&secret("correct horse battery")).unwrap();
        let source = Some("192.0.2.7".parse().unwrap());
        for _ in 0..3 {
            let verdict = sign_in.verify("ann", source, secret("correct horse battery"), Some(stored.clone())).await;
            assert_eq!(verdict, Verdict::Right);
        }
        assert!(sign_in.sources.lock().values().all(VecDeque::is_empty));
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(hash_password(&secret("short")).is_err());
        assert!(hash_password(&secret(&"x".repeat(2000))).is_err());
    }
}
