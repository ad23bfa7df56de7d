//! The command line of the administrator: `lockstep`.
//!
//! Three kinds of commands: those on the installation itself (database, broker, settings), those that call the REST
//! API with a key, and `all`, which plays every role. Commands return their text; only the binary prints.

mod alerts;
mod api_keys;
mod audit;
mod bootstrap;
mod broker;
mod client;
mod directions;
mod doctor;
mod erase;
mod explain;
mod fields;
mod hasten;
mod history;
mod inventory;
mod items;
mod keys;
mod mailboxes;
mod many;
mod operations;
mod resources;
mod restored;
mod rights;
mod settings;
mod table;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use lockstep_service::{Failure, config::effective};

use crate::{
    config::{
        AllSettings, AsyncWorkerSettings, MailboxWorkerSettings, OutgoingWorkerSettings, SchedulerSettings, Source,
        WebSettings,
    },
    roles::RoleSettings,
    startup,
};

/// Administers a Lockstep installation.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, propagate_version = true)]
pub struct Cli {
    /// Settings file (TOML); without it LOCKSTEP_CONFIG, and LOCKSTEP__SECTION__KEY over both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the database's schema up to date, and sets the organisation up.
    Migrate(bootstrap::Migrate),
    /// Checks settings, services, rights and clocks.
    Doctor(doctor::Arguments),
    /// Plays every role in this one process.
    All,
    /// Administrators who sign in with a password.
    #[command(subcommand)]
    Admin(bootstrap::Admin),
    /// Keys for programs and users: made, listed and revoked directly in the database.
    #[command(subcommand)]
    ApiKey(bootstrap::ApiKey),
    /// The broker's users and their rights.
    #[command(subcommand)]
    Broker(broker::Command),
    /// Messages that could not be handled.
    #[command(subcommand)]
    DeadLetters(broker::DeadLetters),
    /// Keys that seal stored passwords.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// After a backup was restored, or the database moved: tells what has to be done, and does it with --confirm. Stop every
    /// role first.
    Restored(restored::Restored),
    /// The settings in force.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Where mail is: every decision, in the order in which to look.
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Looks for a person outside by address, and erases them with --confirm.
    Erase(erase::Erase),
    /// Who did what, the newest first.
    Audit(audit::Arguments),
    /// Messages that became no record.
    #[command(subcommand, visible_alias = "items")]
    Item(items::Item),
    /// Settings of the deployment, in three groups; they count without a restart.
    #[command(subcommand, visible_alias = "settings")]
    Setting(settings::Command),
    /// Which way fields flow between the CRM and mailboxes.
    #[command(subcommand, visible_alias = "field-directions")]
    FieldDirection(directions::Command),
    /// Any request to the REST API, such as `lockstep api GET /mailboxes`.
    Api(resources::Raw),
    #[command(flatten)]
    Resource(resources::Resource),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the settings a role would run with; secrets are hidden.
    Print {
        /// The role.
        #[arg(long, value_enum, default_value_t = RoleName::All)]
        role: RoleName,
    },
}

/// A role, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Every role in one process.
    All,
    /// Claims, hands out, folds.
    Scheduler,
    /// Synchronises mailboxes.
    MailboxWorker,
    /// Sends email.
    OutgoingWorker,
    /// Runs operations.
    AsyncWorker,
    /// The REST API.
    Web,
}

/// What a command has to say, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// For standard output.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

impl Done {
    fn ok(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 0 }
    }
}

/// A command that failed: the message for standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong and what to do. Holds no secret.
    pub message: String,
    /// The exit code: 1, or that of the failure.
    pub code: u8,
}

impl Error {
    fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self { message: failure.message, code: failure.exit.code() }
    }
}

impl From<lockstep_store::Error> for Error {
    fn from(error: lockstep_store::Error) -> Self {
        Self::new(format!("the database refuses: {error}"))
    }
}

type Result<T = Done> = std::result::Result<T, Error>;

/// Runs a command.
///
/// # Errors
/// The message for standard error and the exit code.
pub fn run(cli: Cli) -> Result {
    let source = Source::new(cli.config.clone());
    match cli.command {
        Command::All => Ok(Done { text: String::new(), code: startup::launch::<AllSettings>(cli.config).code() }),
        Command::Config(ConfigCommand::Print { role }) => print(&source, role),
        command => within_runtime(execute(source, command)),
    }
}

async fn execute(source: Source, command: Command) -> Result {
    match command {
        Command::Migrate(arguments) => bootstrap::migrate(&source, arguments).await,
        Command::Admin(arguments) => bootstrap::admin(&source, arguments).await,
        Command::ApiKey(arguments) => bootstrap::api_key(&source, arguments).await,
        Command::Doctor(arguments) => doctor::run(&source, arguments).await,
        Command::Broker(arguments) => broker::run(&source, arguments).await,
        Command::DeadLetters(arguments) => broker::dead_letters(&source, arguments).await,
        Command::Restored(arguments) => restored::run(&source, arguments).await,
        Command::Keys(command) => keys::run(&source, command).await,
        Command::Explain(arguments) => explain::run(arguments).await,
        Command::Erase(arguments) => erase::run(arguments).await,
        Command::Audit(arguments) => audit::run(arguments).await,
        Command::Item(arguments) => items::run(arguments).await,
        Command::Setting(arguments) => settings::run(arguments).await,
        Command::FieldDirection(arguments) => directions::run(arguments).await,
        Command::Api(arguments) => resources::raw(arguments).await,
        Command::Resource(arguments) => resources::run(arguments).await,
        Command::All | Command::Config(_) => Ok(Done::ok("")),
    }
}

fn within_runtime(command: impl Future<Output = Result>) -> Result {
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("the runtime cannot start: {error}")))?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    done
}

fn print(source: &Source, role: RoleName) -> Result {
    match role {
        RoleName::All => print_as::<AllSettings>(source),
        RoleName::Scheduler => print_as::<SchedulerSettings>(source),
        RoleName::MailboxWorker => print_as::<MailboxWorkerSettings>(source),
        RoleName::OutgoingWorker => print_as::<OutgoingWorkerSettings>(source),
        RoleName::AsyncWorker => print_as::<AsyncWorkerSettings>(source),
        RoleName::Web => print_as::<WebSettings>(source),
    }
}

fn print_as<S: RoleSettings>(source: &Source) -> Result {
    let settings: S = source.load()?;
    settings.check(source)?;
    Ok(Done::ok(effective(&settings).map_err(Error::new)?))
}
