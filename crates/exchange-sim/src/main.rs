//! The simulated Exchange as a program: it prints one line with its address when it is ready, and runs until it is ended.

use std::{
    io::{Write, stdout},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use exchange_sim::{
    auth::{
        Account, Accounts, Schemes,
        bearer::{Application, Issuer},
    },
    server::Server,
    tls::Tls,
};
use tokio::net::TcpListener;

/// A simulated Exchange server, for demonstrations and tests. Everything is in memory and gone when it ends.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Somebody with a mailbox
    #[arg(long = "account", value_name = "NAME:PASSWORD", required = true)]
    accounts: Vec<String>,
    /// Somebody who besides may act as everybody
    #[arg(long = "service-account", value_name = "NAME:PASSWORD")]
    services: Vec<String>,
    /// The domain of names that have none
    #[arg(long, default_value = "example.test")]
    domain: String,
    /// An application that is issued tokens at /oauth2/token and may act as everybody
    #[arg(long = "application", value_name = "ID:SECRET")]
    applications: Vec<String>,
    /// How long its tokens are good for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    token_life: u64,
    /// How one may log in
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ntlm,basic")]
    auth: Vec<Scheme>,
    /// Speak TLS, with a certificate made at the start
    #[arg(long)]
    tls: bool,
    /// Write the authority that signed the certificate there (PEM), for clients to trust
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_authority: Option<PathBuf>,
}

/// How one may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    Basic,
    Ntlm,
    /// NTLM inside SPNEGO
    Negotiate,
}

fn accounts(arguments: &Arguments) -> anyhow::Result<Accounts> {
    let mut accounts = Accounts::default();
    for (list, everywhere) in [(&arguments.accounts, false), (&arguments.services, true)] {
        for text in list {
            accounts.add(Account::read(text, &arguments.domain, everywhere).map_err(anyhow::Error::msg)?);
        }
    }
    Ok(accounts)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let accounts = accounts(&arguments)?;
    let applications: Result<_, _> = arguments.applications.iter().map(|text| Application::read(text)).collect();
    let issuer = Issuer::new(applications.map_err(anyhow::Error::msg)?, Duration::from_secs(arguments.token_life));
    let listener = TcpListener::bind(arguments.listen).await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let tls = arguments.tls.then(|| Tls::new(address.ip())).transpose()?;
    if let (Some(tls), Some(path)) = (&tls, &arguments.tls_authority) {
        std::fs::write(path, &tls.authority_pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let origin = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
    let has = |scheme| arguments.auth.contains(&scheme);
    let schemes = Schemes { basic: has(Scheme::Basic), ntlm: has(Scheme::Ntlm) };
    let mut out = stdout().lock();
    writeln!(out, "{origin}/EWS/Exchange.asmx")?;
    out.flush()?;
    drop(out);
    let server = Server::new(accounts, schemes, origin, tls).with_negotiate(has(Scheme::Negotiate)).with_issuer(issuer);
    Arc::new(server).run(listener).await.context("the listener failed")
}
