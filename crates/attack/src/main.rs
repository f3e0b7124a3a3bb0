//! An attacker's afternoon: every attack on a whole platform of real functions, and what came of it. docs/threat-model.md
//! says who would do it and what stops it.
//!
//! Each attack has a harmless twin that must go well, so that none fails because nothing works. Exit codes: 0 nothing
//! got through, 1 something did, or an attack showed nothing.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "as tests: what is missing ends the attack")]

mod attack;
mod callers;
mod door;
mod extension;
mod ground;
mod intake;
mod operator;
mod privacy;
mod proxy;
mod rights;
mod schemes;

use std::{process::ExitCode, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::task::LocalSet;

use crate::{
    attack::{Attack, Failure, Verdict},
    ground::{Capture, Ground},
};

/// The longest that one attack may take.
const BOUND: Duration = Duration::from_secs(150);
/// Attacks at once.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, afternoon())
}

async fn afternoon() -> ExitCode {
    let only = std::env::args().nth(1).unwrap_or_default();
    let attacks = [
        callers::ATTACKS,
        door::ATTACKS,
        intake::ATTACKS,
        operator::ATTACKS,
        privacy::ATTACKS,
        rights::ATTACKS,
        schemes::ATTACKS,
    ];
    let attacks: Vec<&Attack> = attacks
        .into_iter()
        .flatten()
        .filter(|attack| attack.area.contains(&only) || attack.tried.contains(&only))
        .collect();
    let capture = Capture::start().await;
    let runs = attacks.iter().map(|attack| {
        let capture = capture.clone();
        async move { (attack, carried_out((attack.run)(Ground::new(capture).await)).await) }
    });
    let mut runs = stream::iter(runs).buffered(AT_ONCE);
    let (mut through, mut blunt) = (Vec::new(), Vec::new());
    while let Some((attack, verdict)) = runs.next().await {
        let Attack { area, tried, .. } = attack;
        match verdict {
            Ok(happened) => println!("{area}: {tried}: {happened}"),
            Err(Failure::Through(breach)) => {
                println!("{area}: {tried}: THROUGH: {breach}");
                through.push(attack);
            }
            Err(Failure::Blunt(problem)) => {
                println!("{area}: {tried}: BLUNT: {problem}");
                blunt.push(attack);
            }
        }
    }
    for Attack { area, tried, .. } in &through {
        println!("attack: got through: {area}: {tried}");
    }
    for Attack { area, tried, .. } in &blunt {
        println!("attack: shows nothing: {area}: {tried}");
    }
    println!("attack: {} tried, {} through", attacks.len(), through.len());
    if attacks.is_empty() || !through.is_empty() || !blunt.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs one attack in a task of its own: one that panics or hangs ends alone.
async fn carried_out(attack: impl Future<Output = Verdict> + 'static) -> Verdict {
    let task = tokio::task::spawn_local(attack);
    match tokio::time::timeout(BOUND, task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(Failure::Blunt(format!("it could not be carried out: {panic}"))),
        Err(_) => Err(Failure::Blunt(format!("it did not end in {} s", BOUND.as_secs()))),
    }
}
