//! What would become of dead letters, without sending one.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{
    AT_ONCE, Alike, Dead, Filter, Group, Letter, Opened, Source, add,
    forecast::{Clock, Explained, Forecaster, Prediction},
    look,
    sorting::{Bounds, Sorting, TOGETHER_BYTES, gather},
};
use crate::{aws::Aws, dead_letters::DeadLetters};

/// Messages that are foreseen together where nothing is sent.
const FORESEEN: usize = 100;

/// What would become of dead letters that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foretold {
    /// Which, and how many.
    #[serde(flatten)]
    pub group: Group,
    /// How many have each end.
    pub predictions: Vec<Count>,
}

/// So many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What would become of them.
    pub prediction: Prediction,
    /// How many.
    pub count: u64,
}

/// What a redrive would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// By what they have in common.
    pub groups: Vec<Foretold>,
    /// Queues in which there is more than was looked at, or than SQS hands out.
    pub cut: Vec<String>,
}

/// Says what a redrive would do: each message is decoded and held against the ledger, and given back. The messages of a FIFO
/// group that can be seen are its first ten.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn foresee(aws: &Aws, clock: Clock, filter: &Filter, most: u64) -> anyhow::Result<Outlook> {
    let sqs = Client::new(&aws.config);
    let of_queues = stream::iter(filter.sources()).map(|source| {
        let sqs = &sqs;
        async move { foresee_queue(aws, sqs, clock, filter, source, most).await }
    });
    let found: Vec<(Vec<Foretold>, Option<String>)> = of_queues.buffered(AT_ONCE).try_collect().await?;
    let mut outlook = Outlook::default();
    for (groups, cut) in found {
        outlook.groups.extend(groups);
        outlook.cut.extend(cut);
    }
    Ok(outlook)
}

async fn foresee_queue(
    aws: &Aws,
    sqs: &Client,
    clock: Clock,
    filter: &Filter,
    source: Source,
    most: u64,
) -> anyhow::Result<(Vec<Foretold>, Option<String>)> {
    let opened = Opened::of(aws, sqs, source).await?;
    let mut forecaster = Forecaster::new(aws, sqs, clock, source).await?;
    let mut letters = DeadLetters::new(sqs, &opened.url);
    let mut sorting = Sorting::default();
    let mut groups: BTreeMap<Alike, Group> = BTreeMap::new();
    let mut counts: BTreeMap<(Alike, Prediction), u64> = BTreeMap::new();
    let looked = async {
        let (mut count, mut nothing_new) = (0, 0);
        let bounds = Bounds { most: FORESEEN, bytes: TOGETHER_BYTES };
        loop {
            let batch = gather(&mut letters, &bounds, most - count, &mut nothing_new).await?;
            if batch.is_empty() {
                return Ok(opened.has_more(count, most));
            }
            count += u64::try_from(batch.len())?;
            for sorted in sorting.sort(&opened, filter, &mut forecaster, batch, false).await? {
                add(&mut groups, &sorted.letter);
                *counts.entry((sorted.letter.alike, sorted.prediction)).or_default() += 1;
            }
        }
    };
    let looked: anyhow::Result<bool> = looked.await;
    let given_back = letters.give_back().await;
    let is_cut = looked.with_context(|| format!("looking through {}", opened.name))?;
    given_back.with_context(|| format!("looking through {}", opened.name))?;
    let of_group = |alike: &Alike| {
        let own = counts.iter().filter(|((other, _), _)| other == alike);
        own.map(|((_, prediction), count)| Count { prediction: prediction.clone(), count: *count }).collect()
    };
    let groups = groups.into_values();
    let groups = groups.map(|group| Foretold { predictions: of_group(&group.alike), group }).collect();
    Ok((groups, is_cut.then_some(opened.name)))
}

/// The first dead letter that has or names an id, and what becomes of it.
///
/// # Errors
///
/// When AWS does not answer.
pub async fn find(
    aws: &Aws,
    clock: Clock,
    sources: Vec<Source>,
    id: &str,
    most: u64,
) -> anyhow::Result<Option<(Letter, Dead, Explained)>> {
    let sqs = Client::new(&aws.config);
    let filter = Filter { ids: vec![id.to_owned()], ..Filter::default() };
    for source in sources {
        let opened = Opened::of(aws, &sqs, source).await?;
        let mut found = None;
        look(&sqs, &opened, most, |dead| {
            let letter = dead.letter(&opened)?;
            if filter.wants(&letter) {
                found = Some((letter, dead.clone()));
            }
            Ok(found.is_none())
        })
        .await?;
        if let Some((letter, dead)) = found {
            let explained = Forecaster::new(aws, &sqs, clock, source).await?.explain(&dead).await;
            return Ok(Some((letter, dead, explained)));
        }
    }
    Ok(None)
}
