//! Dead letters that are looked at together: which are wanted, what becomes of each, and which FIFO groups go no further.

use std::collections::HashSet;

use super::{
    Dead, Filter, Letter, NOTHING_NEW, Opened,
    forecast::{Forecaster, Prediction, Way},
};
use crate::dead_letters::DeadLetters;

/// Bytes of the bodies that are looked at together, at most.
pub(super) const TOGETHER_BYTES: usize = 16 * 1024 * 1024;

/// How much is gathered.
pub(super) struct Bounds {
    pub(super) most: usize,
    pub(super) bytes: usize,
}

/// Receives what is looked at together: nothing where there is no more.
pub(super) async fn gather(
    letters: &mut DeadLetters<'_>,
    bounds: &Bounds,
    most: u64,
    nothing_new: &mut u32,
) -> anyhow::Result<Vec<Dead>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(bounds.most);
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    while gathered.len() < most && bytes < bounds.bytes && *nothing_new < NOTHING_NEW {
        let batch = letters.receive(u64::try_from(most - gathered.len())?).await?;
        if batch.fresh.is_empty() && batch.again == 0 {
            break;
        }
        *nothing_new = if batch.fresh.is_empty() { *nothing_new + 1 } else { 0 };
        for (id, message) in batch.fresh {
            bytes += message.body().map_or(0, str::len);
            gathered.push(Dead { id, message });
        }
    }
    Ok(gathered)
}

/// A dead letter that the filter wants.
pub(super) struct Sorted {
    pub(super) dead: Dead,
    pub(super) letter: Letter,
    pub(super) prediction: Prediction,
    pub(super) way: Way,
}

/// Which FIFO groups go no further.
#[derive(Debug, Default)]
pub(super) struct Sorting {
    blocked: HashSet<String>,
}

impl Sorting {
    /// Those that the filter wants, with what becomes of each. Of a FIFO group nothing overtakes what stays.
    pub(super) async fn sort(
        &mut self,
        opened: &Opened,
        filter: &Filter,
        forecaster: &mut Forecaster,
        batch: Vec<Dead>,
        all: bool,
    ) -> anyhow::Result<Vec<Sorted>> {
        let (mut wanted, mut letters) = (Vec::new(), Vec::new());
        for dead in batch {
            let letter = dead.letter(opened)?;
            if filter.wants(&letter) {
                letters.push((
                    letter,
                    dead.group(opened.source).is_some_and(|group| self.blocked.contains(group)),
                ));
                wanted.push(dead);
            } else if let Some(group) = letter.group {
                self.blocked.insert(group);
            }
        }
        let foreseen = forecaster.foresee(&wanted).await;
        let mut sorted = Vec::with_capacity(wanted.len());
        let mut staying: HashSet<String> = HashSet::new();
        for ((dead, (letter, was_blocked)), (prediction, way)) in
            wanted.into_iter().zip(letters).zip(foreseen)
        {
            let is_blocked =
                was_blocked || letter.group.as_ref().is_some_and(|group| staying.contains(group));
            let prediction =
                if is_blocked && prediction.is_sent(all) { Prediction::Waits } else { prediction };
            if !prediction.is_sent(all) {
                staying.extend(letter.group.clone());
            }
            sorted.push(Sorted { dead, letter, prediction, way });
        }
        self.blocked.extend(staying);
        Ok(sorted)
    }
}
