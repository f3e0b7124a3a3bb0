//! A proxy between the functions and AWS, and between what invokes the functions and the runner. It passes everything on,
//! but where a rule says otherwise: then it fails as AWS, SQS, the network or a machine may.
//!
//! All listeners are on loopback. Each function has a port of its own for its calls to AWS, so that it is known whose call
//! each is. The functions are not changed: they are the binaries that are deployed.
//!
//! | control request | what it does |
//! |---|---|
//! | `GET /ports` | the ports ([`proxy::Ports`]) |
//! | `PUT /upstream` | where requests go on to ([`proxy::Upstream`]) |
//! | `PUT /rules`, `DELETE /rules` | replaces all rules, a list of [`rule::Rule`]; their times begin |
//! | `GET /rules` | each with the calls that it was for and how often it was applied |
//! | `GET /counts` | how often each kind has happened, under all rules so far |
//! | `GET /calls` | how often each function has asked for each operation |

mod aws;
mod call;
mod control;
mod dice;
mod errors;
mod http;
mod invoke;
mod lock;
mod log;
mod memory;
mod partial;
mod process;
mod proxy;
mod rule;

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    log::Log,
    proxy::{Ports, Proxy},
    rule::Rules,
};

/// Stands between functions and AWS, and fails as AWS may.
#[derive(Debug, Parser)]
#[command(name = "tollgate-faults", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where the control port is written, once all listen.
    #[arg(long)]
    port_file: PathBuf,
    /// Where every fault that happens is appended, a line of JSON each.
    #[arg(long)]
    log: PathBuf,
    /// Decides what is left to chance.
    #[arg(long, default_value = "0")]
    seed: String,
    /// A function whose calls to AWS come to a port of its own; may be given again.
    #[arg(long = "function", required = true)]
    functions: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let Command::Serve(options) = Cli::parse().command;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let log = Log::open(&options.log).context("cannot open the log")?;
    let (control, control_port) = listen().await?;
    let (invoke, invoke_port) = listen().await?;
    let mut ports = Ports { control: control_port, invoke: invoke_port, aws: Default::default() };
    let mut aws = Vec::new();
    for function in options.functions {
        let (listener, port) = listen().await?;
        ports.aws.insert(function.clone(), port);
        aws.push((function, listener));
    }
    let proxy = Arc::new(Proxy::new(ports, Rules::new(options.seed), log));
    for (function, listener) in aws {
        let (proxy, function): (_, Arc<str>) = (Arc::clone(&proxy), function.into());
        tokio::spawn(http::accept(listener, move |request, link| {
            aws::handle(Arc::clone(&proxy), Arc::clone(&function), request, link)
        }));
    }
    let invoked = Arc::clone(&proxy);
    tokio::spawn(http::accept(invoke, move |request, _| invoke::handle(Arc::clone(&invoked), request)));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    write_whole(&options.port_file, &control_port.to_string()).await.context("cannot write the port file")?;
    tokio::select! {
        () = http::accept(control, move |request, _| control::handle(Arc::clone(&proxy), request)) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn listen() -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// A reader of the file sees the whole text or no file.
async fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    tokio::fs::write(&part, text).await?;
    tokio::fs::rename(&part, path).await
}
