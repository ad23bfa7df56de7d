//! Commands directly on the database, for what must exist before anybody can call the API.

use std::{io::Read, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use lockstep_model::{clock::SystemClock, id::UserId, text};
use lockstep_service::config::HumanDuration;
use lockstep_store::{Error as StoreError, Store, access, organisations, users};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{Done, Error, Result, api_keys};
use crate::{
    config::{DatabaseSettings, Source},
    startup,
};

/// Who is noted in the audit.
pub(super) const ACTOR: &str = "command line";
/// Longest password file that is read, in bytes.
const MAX_PASSWORD_FILE: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Sets the organisation up under this name. An error where there is one of another name.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Makes an administrator, or gives an existing one another password. Reads the password from standard input.
    Create {
        /// Name to sign in with.
        name: String,
        /// File that holds the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ApiKey {
    /// Makes a key and prints it: the only time it can be seen.
    Create {
        /// What it is for.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: KeyRole,
        /// The user it belongs to, by id or address: for the role user, and only for it.
        #[arg(long, value_name = "USER", required_if_eq("role", "user"))]
        user: Option<String>,
        /// How long it is valid, such as `90d`; without, it never expires.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires_in: Option<HumanDuration>,
    },
    /// Lists keys, those that are revoked or have expired too. What a key is itself is kept nowhere.
    List(api_keys::List),
    /// Revokes keys: they are refused at once. One that is revoked already stays so.
    Revoke(api_keys::Revoke),
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyRole {
    /// Everything.
    Administrator,
    /// Sees states, not the content of emails.
    Operator,
    /// A program that keeps records and emails.
    Service,
    /// One user, with what the user's security roles give.
    User,
}

fn duration(text: &str) -> std::result::Result<HumanDuration, String> {
    HumanDuration::parse(text).ok_or_else(|| "expected a duration such as 12h or 90d, at most 366 days".to_owned())
}

/// The settings, and the database they name reached.
async fn reach(source: &Source) -> Result<DatabaseSettings> {
    let settings: DatabaseSettings = source.load()?;
    let mut findings = source.findings();
    findings.database(&settings.database);
    findings.conclude()?;
    startup::database(&settings.database, Instant::now() + settings.startup.patience.get()).await?;
    Ok(settings)
}

/// The database, with its clock in step, whatever its schema.
async fn open(settings: &DatabaseSettings) -> Result<Store> {
    let clock = Arc::new(SystemClock::default());
    let store = startup::open_store(&settings.database, "command", 2, Arc::clone(&clock), startup::no_vault()?)?;
    clock.keep_in_step(&store.compare_clocks(&clock).await?);
    Ok(store)
}

/// The database with a schema that this program may write to.
pub(super) async fn open_migrated(source: &Source) -> Result<Store> {
    let settings = reach(source).await?;
    startup::schema(&settings.database, Instant::now()).await?;
    open(&settings).await
}

/// `lockstep migrate`
pub(super) async fn migrate(source: &Source, arguments: Migrate) -> Result {
    let store = open(&reach(source).await?).await?;
    store.migrate().await.map_err(|error| Error::new(format!("the schema was not brought up to date: {error}")))?;
    let mut text = "The schema is up to date.\n".to_owned();
    let mut tx = store.begin().await?;
    let found = organisations::get(&mut tx).await?;
    text.push_str(&match (found, arguments.organisation) {
        (None, Some(name)) => set_up(tx, &name).await?,
        (Some(organisation), Some(other)) if other.trim() != organisation.name => {
            return Err(Error::new(format!(
                "the schema is up to date, but no organisation {:?} was set up: this database has the organisation {:?} \
                 ({}), and a database has one. Leave --organisation out, name another database, or rename it: \
                 lockstep organisation update --set name=NAME",
                other.trim(),
                organisation.name,
                organisation.id
            )));
        }
        (Some(organisation), _) => format!("The organisation is {:?} ({}).\n", organisation.name, organisation.id),
        (None, None) => "There is no organisation yet: run it again with --organisation NAME.\n".to_owned(),
    });
    Ok(Done::ok(text))
}

async fn set_up(mut tx: lockstep_store::Tx, name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || !text::is_line(name) {
        return Err(Error::new("--organisation must be a name of 1 to 200 printable characters"));
    }
    match organisations::create(&mut tx, name, ACTOR).await {
        Ok(id) => {
            tx.commit().await?;
            Ok(format!("The organisation {name:?} is set up ({id}).\n"))
        }
        Err(StoreError::Conflict(_)) => {
            Err(Error::new("an organisation was set up by somebody else at this moment: run it again"))
        }
        Err(error) => Err(error.into()),
    }
}

/// `lockstep admin`
pub(super) async fn admin(source: &Source, arguments: Admin) -> Result {
    let Admin::Create { name, password_file } = arguments;
    if name.trim().is_empty() || name.len() > 100 || !text::is_line(&name) {
        return Err(Error::new("the name must have 1 to 100 printable characters"));
    }
    let password = read_password(password_file)?;
    let hash = lockstep_web::hash_password(&password).map_err(Error::new)?;
    let store = open_migrated(source).await?;
    let mut tx = store.begin().await?;
    access::create_administrator(&mut tx, name.trim(), &hash, ACTOR).await?;
    tx.commit().await?;
    Ok(Done::ok(format!("The administrator {:?} can sign in.\n", name.trim())))
}

fn read_password(file: Option<PathBuf>) -> Result<SecretString> {
    let mut text = String::new();
    let read = match &file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(MAX_PASSWORD_FILE).read_to_string(&mut text)),
        None => std::io::stdin().lock().take(MAX_PASSWORD_FILE).read_to_string(&mut text),
    };
    let place = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    read.map_err(|error| Error::new(format!("the password cannot be read from {place}: {error}")))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// `lockstep api-key`
pub(super) async fn api_key(source: &Source, arguments: ApiKey) -> Result {
    let (name, role, user, expires_in) = match arguments {
        ApiKey::Create { name, role, user, expires_in } => (name, role, user, expires_in),
        ApiKey::List(list) => return api_keys::list(&open_migrated(source).await?, &list).await,
        ApiKey::Revoke(revoke) => return api_keys::revoke(&open_migrated(source).await?, &revoke).await,
    };
    if name.trim().is_empty() || name.chars().count() > 100 || !text::is_line(&name) {
        return Err(Error::new("the name must have 1 to 100 printable characters"));
    }
    if user.is_some() && role != KeyRole::User {
        return Err(Error::new("--user goes with --role user, and with no other role"));
    }
    let role = match role {
        KeyRole::Administrator => access::Role::Administrator,
        KeyRole::Operator => access::Role::Operator,
        KeyRole::Service => access::Role::Service,
        KeyRole::User => access::Role::User,
    };
    let store = open_migrated(source).await?;
    let mut tx = store.begin().await?;
    let expires_at = expires_in.map(|duration| tx.now() + Duration::from(duration));
    let (_, key) = match user {
        Some(user) => {
            let user = active_user(&mut tx, &user).await?;
            access::create_user_key(&mut tx, &name, user, expires_at, ACTOR).await?
        }
        None => access::create_api_key(&mut tx, &name, role, expires_at, ACTOR).await?,
    };
    tx.commit().await?;
    // Alone on its line, so that scripts can take it.
    Ok(Done::ok(format!("{}\n", key.expose_secret())))
}

/// The active user with this id or address.
async fn active_user(tx: &mut lockstep_store::Tx, asked: &str) -> Result<UserId> {
    let found = match asked.parse::<uuid::Uuid>() {
        Ok(id) => users::get(tx, UserId(id)).await?,
        Err(_) => users::list(tx, None, Some(&asked.trim().to_lowercase()), None, 1).await?.pop(),
    };
    match found {
        Some(user) if user.active => Ok(UserId(user.id)),
        Some(_) => Err(Error::new(format!("the user {asked:?} is inactive: a key would be refused"))),
        None => Err(Error::new(format!("there is no user {asked:?}; give an id or an address"))),
    }
}
