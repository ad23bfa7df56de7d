//! Tokens of applications, kept until shortly before they end. Whoever needs one while it is being fetched waits for it.

use std::{fmt, sync::Arc, time::Duration};

use lockstep_connector::{AddressRules, Credentials, Deadline, TlsTrust};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::Application,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use crate::{kept::Kept, oauth::Service};

/// Most applications whose tokens are kept.
const MAX_APPLICATIONS: usize = 1_000;
/// How long an application is remembered that nobody speaks of; longer than any token lives.
const APPLICATION_LIFE: Duration = Duration::from_secs(48 * 3_600);
/// A token is not used any more so long before its end: the run that begins with it may last.
const MARGIN: Duration = Duration::from_secs(300);

/// Endpoint, id and scope.
type Key = (Url, String, String);

/// A token, and for which secret it was given.
#[derive(Clone)]
struct Issued {
    client_secret: SecretString,
    token: SecretString,
    until: Instant,
}

/// The tokens there are.
pub struct Tokens(Kept<Key, Arc<Mutex<Option<Issued>>>>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Kept::new(MAX_APPLICATIONS, APPLICATION_LIFE))
    }
}

/// Who issues the tokens of one application.
#[derive(Clone)]
pub struct Issuer {
    tokens: Arc<Tokens>,
    trust: TlsTrust,
    addresses: AddressRules,
    key: Key,
    client_secret: SecretString,
    patience: Duration,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("application", &self.key).finish_non_exhaustive()
    }
}

impl Issuer {
    /// The issuer of an application, whose id and secret the credentials are.
    pub(crate) fn of(
        tokens: Arc<Tokens>,
        trust: TlsTrust,
        addresses: AddressRules,
        application: &Application,
        credentials: &Credentials,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let url = Url::parse(&application.token_endpoint).map_err(|error| {
            let message = format!("the token endpoint is no URL: {error}");
            Fault::new(FaultScope::Profile, FaultClass::Refused, "SecureConnectionFailed", message).local()
        })?;
        let key = (url, credentials.user.clone(), application.scope.clone());
        let client_secret = credentials.expose().to_owned().into();
        Ok(Self { tokens, trust, addresses, key, client_secret, patience })
    }

    fn slot(&self) -> Arc<Mutex<Option<Issued>>> {
        let slot = self.tokens.0.get(&self.key).unwrap_or_default();
        // What is spoken of lives on.
        self.tokens.0.put(self.key.clone(), Arc::clone(&slot));
        slot
    }

    fn is_ours(&self, issued: &Issued) -> bool {
        issued.client_secret.expose_secret() == self.client_secret.expose_secret()
    }

    /// The application's id with a token that is good for some time.
    pub(crate) async fn credentials(&self, deadline: &Deadline) -> Result<Credentials, Fault> {
        let slot = self.slot();
        let mut slot = deadline.run(self.patience, slot.lock()).await?;
        let good = slot.as_ref().filter(|issued| self.is_ours(issued) && Instant::now() < issued.until);
        let token = match good {
            Some(issued) => issued.token.clone(),
            None => self.ask(&mut slot, deadline).await?,
        };
        Ok(Credentials::new(self.key.1.clone(), token))
    }

    /// A token in place of one that was refused: what somebody else was given meanwhile, or a new one.
    pub(crate) async fn instead_of(&self, refused: &str, deadline: &Deadline) -> Result<SecretString, Fault> {
        let slot = self.slot();
        let mut slot = deadline.run(self.patience, slot.lock()).await?;
        let another = slot.as_ref().filter(|issued| self.is_ours(issued) && issued.token.expose_secret() != refused);
        match another.map(|issued| issued.token.clone()) {
            Some(token) => Ok(token),
            None => self.ask(&mut slot, deadline).await,
        }
    }

    /// Asks for a token, whatever there is.
    pub(crate) async fn fetch(&self, deadline: &Deadline) -> Result<(), Fault> {
        let slot = self.slot();
        let mut slot = deadline.run(self.patience, slot.lock()).await?;
        self.ask(&mut slot, deadline).await.map(drop)
    }

    async fn ask(&self, slot: &mut Option<Issued>, deadline: &Deadline) -> Result<SecretString, Fault> {
        let (url, client_id, scope) = &self.key;
        let service = Service {
            trust: &self.trust,
            addresses: self.addresses,
            token_url: url,
            client_id,
            client_secret: &self.client_secret,
            scope,
            patience: self.patience,
        };
        let since = Instant::now();
        let token = service.token(deadline).await?;
        let until = since + token.lifetime.saturating_sub(MARGIN.min(token.lifetime / 5));
        *slot = Some(Issued { client_secret: self.client_secret.clone(), token: token.secret.clone(), until });
        Ok(token.secret)
    }
}
