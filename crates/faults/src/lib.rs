//! A proxy between the functions and AWS, and between what invokes the functions and the runner. It passes everything on,
//! but where a rule says otherwise: then it fails as AWS, SQS, the network or a machine may.
//!
//! All listeners are on loopback. Each function has a port of its own for its calls to AWS, so that it is known whose call
//! each is. The functions are not changed: they are the binaries that are deployed.
//!
//! | control request | what it does |
//! |---|---|
//! | `GET /ports` | the ports ([`Ports`]) |
//! | `PUT /upstream` | where requests go on to ([`Upstream`]) |
//! | `PUT /rules`, `DELETE /rules` | replaces all rules, a list of [`Rule`]; their times begin |
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

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;

pub use self::{
    call::Side,
    log::Log,
    proxy::{Calls, Ports, Proxy, Upstream},
    rule::{Kind, Params, Rule},
};

/// Starts a proxy for the calls of these functions, which runs as long as this runtime. Whatever is left to chance is
/// decided by `seed`; faults that happen are written to `log`.
///
/// # Errors
///
/// Where no port can be had.
pub async fn start(functions: &[String], seed: &str, log: Option<Log>) -> anyhow::Result<Arc<Proxy>> {
    let (control, control_port) = listen().await?;
    let (invoke, invoke_port) = listen().await?;
    let mut ports = Ports { control: control_port, invoke: invoke_port, aws: Default::default() };
    let mut aws = Vec::new();
    for function in functions {
        let (listener, port) = listen().await?;
        ports.aws.insert(function.clone(), port);
        aws.push((function, listener));
    }
    let proxy = Arc::new(Proxy::new(ports, seed, log));
    for (function, listener) in aws {
        let (proxy, function): (_, Arc<str>) = (Arc::clone(&proxy), function.as_str().into());
        tokio::spawn(http::accept(listener, move |request, link| {
            aws::handle(Arc::clone(&proxy), Arc::clone(&function), request, link)
        }));
    }
    let (invoked, controlled) = (Arc::clone(&proxy), Arc::clone(&proxy));
    tokio::spawn(http::accept(invoke, move |request, _| invoke::handle(Arc::clone(&invoked), request)));
    tokio::spawn(http::accept(control, move |request, _| control::handle(Arc::clone(&controlled), request)));
    Ok(proxy)
}

async fn listen() -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}
