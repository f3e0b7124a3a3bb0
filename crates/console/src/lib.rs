//! `tollgate console`: what an operator can find and do, as web pages on loopback. `docs/console.md` says how it is protected.
//!
//! The pages are made here, on the library that the command line has, and need no script to be read.

mod acts;
mod answer;
mod assets;
mod begun;
mod forms;
mod guard;
mod http;
mod page;
mod plot;
mod reconciling;
mod redriving;
mod replaying;
mod screens;
mod state;
mod tailing;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context;
use tokio::net::TcpListener;

pub use self::state::Settings;
use self::{
    guard::Guard,
    state::{Console, Place},
};

/// Serves the console on this machine alone, until it is `stopped`; what is under way then ends where nothing is lost.
/// Port 0: any that is free.
///
/// # Errors
///
/// When the port is taken, or AWS does not say whose account it is.
pub async fn serve(settings: Settings, port: u16, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening at {address}"))?;
    let guard = Guard::new(listener.local_addr()?.to_string())?;
    let place = Place::of(&settings).await?;
    let (acts, searching, redrives, reconciliations, replays, tails) = Default::default();
    let console =
        Console { settings, guard, acts, searching, redrives, reconciliations, replays, tails, place };
    let console = Arc::new(console);
    (console.settings.tell)(&console.guard.address());
    let serving = async {
        tokio::select! {
            () = http::serve(listener, Arc::clone(&console), Arc::clone(&console.acts), answer::answer) => {}
            () = stopped => {}
        }
        // First what forms ask for: it may be a redrive that begins.
        console.acts.end().await;
        let asking = async {
            // What only asks ends with the process.
            if console.reconciliations.last().is_some_and(|run| run.reason.is_some()) {
                console.reconciliations.end().await;
            }
        };
        tokio::join!(console.redrives.end(), console.replays.end(), console.tails.end(), asking);
    };
    // One person asks: one thread has it all, and nothing need be sent between threads.
    tokio::task::LocalSet::new().run_until(serving).await;
    Ok(())
}
