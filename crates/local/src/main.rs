//! Runs the function binaries on one machine: the Lambda service's side of the Runtime API.
//!
//! One process, one control listener on loopback. A function is configured with `PUT /functions/{name}` and
//! invoked with `POST /functions/{name}/invocations`; each of its copies is an unmodified binary that polls a
//! Runtime API address of its own. There is nothing of AWS here but that protocol and its environment.

mod child;
mod clock;
mod control;
mod copy;
mod function;
mod http;
mod invocation;
mod log;
mod queue;
mod runtime_api;
mod spec;

use std::{ffi::OsString, net::Ipv4Addr, path::PathBuf, rc::Rc, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use crate::control::Runner;

/// Runs Lambda function binaries on this machine.
#[derive(Debug, Parser)]
#[command(name = "tollgate-local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve(Serve),
    /// Becomes a function's process; the runner starts its copies through this.
    #[command(hide = true)]
    Copy(child::Become),
}

/// Where to listen, and what every function shares.
#[derive(Debug, Args)]
struct Serve {
    /// Control port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the chosen control port is written, once it listens.
    #[arg(long)]
    port_file: PathBuf,
    /// Folder of the log files, one a function.
    #[arg(long)]
    log_dir: PathBuf,
    /// The region in the functions' environment and ARNs.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// The account in the functions' ARNs.
    #[arg(long, default_value = "000000000000")]
    account_id: String,
    /// Seconds from the start of a process to its first request for work; Lambda allows 10.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    init_timeout: u64,
    /// The only variable that functions inherit.
    #[arg(long, env = "PATH", hide = true)]
    path: OsString,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Copy(copy) => Err(copy.exec()),
        Command::Serve(options) => {
            tracing_subscriber::fmt().with_ansi(false).init();
            // One thread: the kernel's parent-death signal follows the thread that started the child.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, serve(options))
        }
    }
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(&options.log_dir).await.context("cannot create the log folder")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.context("cannot listen")?;
    let port = listener.local_addr()?.port();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let runner = Rc::new(Runner::new(spec::Host {
        account_id: options.account_id,
        init_timeout: Duration::from_secs(options.init_timeout),
        log_dir: options.log_dir,
        path: options.path,
        region: options.region,
    }));
    write_whole(&options.port_file, &port.to_string()).await.context("cannot write the port file")?;
    tracing::info!(port, "listening");
    tokio::select! {
        () = control::accept(listener, Rc::clone(&runner)) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    runner.stop().await;
    Ok(())
}

/// A reader of the file sees the whole text or no file.
async fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    tokio::fs::write(&part, text).await?;
    tokio::fs::rename(&part, path).await
}
