//! The simulated Exchange as a program: it prints one line with its address when it is ready, and runs until it is ended.

use std::{
    io::{Write, stdout},
    net::SocketAddr,
    sync::Arc,
};

use anyhow::Context;
use clap::Parser;
use exchange_sim::{
    auth::{Account, Accounts},
    server::Server,
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
    let listener = TcpListener::bind(arguments.listen).await.context("cannot listen")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let mut out = stdout().lock();
    writeln!(out, "{origin}/EWS/Exchange.asmx")?;
    out.flush()?;
    drop(out);
    Arc::new(Server::new(accounts, origin)).run(listener).await.context("the listener failed")
}
