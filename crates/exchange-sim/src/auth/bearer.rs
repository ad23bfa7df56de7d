//! Applications: they are issued tokens for their secret (RFC 6749 §4.4) and show them with each request (RFC 6750). An
//! application has no mailbox; it may act for everybody.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use url::form_urlencoded;

use super::{Account, same};
use crate::world::value::Person;

/// Most tokens that are good at one time.
const MOST: usize = 10_000;

/// An application.
#[derive(Clone)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Application {
    /// Reads `ID:SECRET`.
    ///
    /// # Errors
    /// What is missing.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
                Ok(Self { id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err("an application is ID:SECRET"),
        }
    }
}

/// The applications there are, and the tokens they were issued.
pub struct Issuer {
    applications: Vec<Application>,
    life: Duration,
    tokens: Mutex<BTreeMap<String, (String, Instant)>>,
    issued: Mutex<u64>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("applications", &self.applications).finish_non_exhaustive()
    }
}

/// An answer of the token endpoint: its HTTP status and its JSON.
pub type Answer = (u16, serde_json::Value);

fn refusal(status: u16, error: &str, words: &str) -> Answer {
    (status, serde_json::json!({ "error": error, "error_description": words }))
}

impl Issuer {
    /// An issuer for these, whose tokens are good for so long.
    pub fn new(applications: Vec<Application>, life: Duration) -> Self {
        Self { applications, life, tokens: Mutex::default(), issued: Mutex::default() }
    }

    /// Whether there is anybody to issue tokens to.
    pub fn is_there(&self) -> bool {
        !self.applications.is_empty()
    }

    /// How many tokens were issued.
    pub fn issued(&self) -> u64 {
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses every token issued so far.
    pub fn forget(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Answers a request for a token: a form.
    pub fn answer(&self, form: &[u8]) -> Answer {
        let form: BTreeMap<_, _> = form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != "client_credentials" {
            return refusal(400, "unsupported_grant_type", "Only client_credentials are known here.");
        }
        let known = self.applications.iter().find(|application| application.id == field("client_id"));
        let Some(known) = known.filter(|known| same(known.secret.as_bytes(), field("client_secret").as_bytes())) else {
            return refusal(401, "invalid_client", "Invalid client secret provided.");
        };
        if field("scope").is_empty() {
            return refusal(400, "invalid_scope", "The scope is missing.");
        }
        let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| *until > Instant::now());
        if tokens.len() >= MOST {
            return refusal(503, "temporarily_unavailable", "There are too many tokens.");
        }
        tokens.insert(token.clone(), (known.id.clone(), Instant::now() + self.life));
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let life = self.life.as_secs();
        (200, serde_json::json!({ "token_type": "Bearer", "expires_in": life, "access_token": token }))
    }

    /// The application that shows a token.
    pub fn check(&self, token: &str) -> Option<Account> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, _) = tokens.get(token.trim()).filter(|(_, until)| *until > Instant::now())?;
        Some(Account::of_application(Person::new(id, "")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_are_for_those_who_know_the_secret() {
        let issuer = Issuer::new(vec![Application::read("app:s:ecret").unwrap()], Duration::from_secs(60));
        let ask = |form: &str| issuer.answer(form.as_bytes());
        let good = "grant_type=client_credentials&client_id=app&client_secret=s%3Aecret&scope=x";
        let (status, answer) = ask(good);
        assert_eq!(status, 200, "{answer}");
        let token = answer["access_token"].as_str().unwrap();
        assert!(issuer.check(token).unwrap().is_application() && issuer.check("other").is_none());
        assert_eq!(ask(&good.replace("ecret", "ecre")).1["error"], "invalid_client");
        assert_eq!(ask(&good.replace("client_credentials", "password")).1["error"], "unsupported_grant_type");
        assert_eq!(ask(&good.replace("&scope=x", "")).1["error"], "invalid_scope");
        issuer.forget();
        assert!(issuer.check(token).is_none());
        assert_eq!(issuer.issued(), 1);
        assert!(!format!("{issuer:?}").contains("ecret"));
    }
}
