//! Figures of the functions' logs: a local platform keeps a file of each function, whose lines the runner dates.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::Context;
use serde::Deserialize;
use tollgate_core::Timestamp;

use super::{
    gathered::{Gathered, Outcome},
    model::Part,
};

/// A line is written after what it tells of: a batch is dated by its begin, and lasts at most as long as a function may run,
/// in seconds ("Lambda quotas", Lambda developer guide).
const LATE_SECONDS: i64 = 900;
/// A search among lines ends with so many bytes, which are read.
const NEAR: u64 = 256 * 1024;
/// Of a line so much is kept. The runner breaks longer ones up.
const LONGEST: u64 = 1024 * 1024;
/// How a line of metrics begins.
const METRICS: &[u8] = b"{\"_aws\"";

/// A line of metrics, as far as it is counted here.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) timestamp: Timestamp,
    #[serde(borrow)]
    function: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) endpoint: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    queue: Option<Cow<'a, str>>,
    #[serde(default)]
    duration: Option<u64>,
    #[serde(default)]
    queue_wait: Option<Durations>,
    #[serde(default)]
    end_to_end: Option<Durations>,
    #[serde(default)]
    records: u64,
    #[serde(default)]
    processed: u64,
    #[serde(default)]
    duplicates: u64,
    #[serde(default)]
    quarantined: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    published: u64,
    #[serde(default)]
    conflicts: u64,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    objects: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    failures: u64,
}

/// Durations with their counts (`tollgate_lambda::metrics::Durations`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Durations {
    values: Vec<u64>,
    counts: Vec<u64>,
}

impl Line<'_> {
    /// How a webhook ended, where the line is of one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        (self.function == "validator").then(|| Outcome::of(self.outcome.as_deref()?)).flatten()
    }
}

/// Counts what the logs of a folder have of the time.
pub(super) fn read(folder: &Path, gathered: &mut Gathered) -> anyhow::Result<()> {
    let (from, end) = (gathered.grid.from, gathered.grid.end());
    each(folder, from, Some(end), |line| {
        let Some(step) = gathered.grid.step_of(line.timestamp.as_second()) else { return };
        if let Some(outcome) = line.outcome() {
            let (endpoint, reason) = (line.endpoint.as_deref(), line.reason.as_deref());
            gathered.webhooks(step, endpoint.unwrap_or_default(), outcome, reason.unwrap_or_default(), 1);
            if let Some(duration) = line.duration {
                gathered.latency(Part::Validator).add(duration, 1);
            }
        } else if let (true, Some(queue)) = (line.function == "processor", line.queue.as_deref()) {
            let of_queue = gathered.processed(queue);
            of_queue.records += line.records;
            of_queue.processed += line.processed;
            of_queue.duplicates += line.duplicates;
            of_queue.quarantined += line.quarantined;
            of_queue.failed += line.failed;
            of_queue.published += line.published;
            of_queue.conflicts += line.conflicts;
        } else if line.function == "archival" {
            gathered.archived.rows += line.rows;
            gathered.archived.objects += line.objects;
            gathered.archived.bytes += line.bytes;
            gathered.archived.failures += line.failures;
        }
        for (part, durations) in [(Part::QueueWait, &line.queue_wait), (Part::EndToEnd, &line.end_to_end)] {
            for (value, count) in durations.iter().flat_map(|one| one.values.iter().zip(&one.counts)) {
                gathered.latency(part).add(*value, *count);
            }
        }
    })
}

/// Calls `count` with each line of metrics that was written from `from` on, and not much later than `end`.
pub(super) fn each(
    folder: &Path,
    from: i64,
    end: Option<i64>,
    mut count: impl FnMut(&Line<'_>),
) -> anyhow::Result<()> {
    let files = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            of_file(&path, from, end, &mut count).with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(())
}

fn of_file(
    path: &Path,
    from: i64,
    end: Option<i64>,
    count: &mut impl FnMut(&Line<'_>),
) -> anyhow::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let start = begin(&mut file, from)?;
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    while next(&mut file, &mut line)? {
        if end.zip(written_at(&line)).is_some_and(|(end, at)| at > end + LATE_SECONDS) {
            break;
        }
        let json = line.windows(METRICS.len()).position(|part| part == METRICS);
        let json = json.and_then(|at| line.get(at..));
        // What is cut off or of another version is no figure.
        if let Some(line) = json.and_then(|json| serde_json::from_slice::<Line<'_>>(json).ok()) {
            count(&line);
        }
    }
    Ok(())
}

/// A place in the file before which no line was written at or after `from`, so that a long log is not read from its begin.
fn begin(file: &mut (impl BufRead + Seek), from: i64) -> anyhow::Result<u64> {
    let (mut low, mut high) = (0, file.seek(SeekFrom::End(0))?);
    let mut line = Vec::new();
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        // The rest of a line.
        next(file, &mut line)?;
        let at = loop {
            if !next(file, &mut line)? {
                break None;
            }
            if let Some(at) = written_at(&line) {
                break Some(at);
            }
        };
        match at {
            Some(at) if at < from => low = middle,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// When the runner wrote a line, in seconds.
fn written_at(line: &[u8]) -> Option<i64> {
    let time = line.split(|byte| *byte == b' ').next()?;
    let time: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
    Some(time.as_second())
}

/// The next line, or what of it is kept.
fn next(file: &mut impl BufRead, line: &mut Vec<u8>) -> anyhow::Result<bool> {
    line.clear();
    let read = file.by_ref().take(LONGEST).read_until(b'\n', line)?;
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::{
        super::{
            gathered::Grid,
            model::{Counts, Source},
        },
        *,
    };

    fn line(at: i64, text: &str) -> String {
        format!("{} [0] {text}\n", Timestamp::from_second(at).unwrap())
    }

    fn webhook(at: i64, endpoint: &str, outcome: &str, reason: &str, duration: u64) -> String {
        let time = Timestamp::from_second(at).unwrap();
        let metrics = format!(
            r#"{{"_aws":{{"Timestamp":1}},"timestamp":"{time}","level":"INFO","message":"x","environment":"dev","function":"validator","endpoint":"{endpoint}","outcome":"{outcome}","reason":"{reason}","webhooks":1,"duration":{duration}}}"#
        );
        line(at + 1, &metrics)
    }

    fn gathered(from: i64, steps: usize, step: u32) -> Gathered {
        Gathered::new(Grid { from, step, steps }, None)
    }

    #[test]
    fn what_is_of_the_time_is_counted_by_step_endpoint_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::new();
        text += &webhook(99, "stripe", "accepted", "none", 3);
        text += &webhook(100, "stripe", "accepted", "none", 3);
        text += &line(101, "no JSON at all");
        text += "half a li";
        text += "\n";
        text += &webhook(111, "stripe", "rejected", "signature_mismatch", 2);
        text += &webhook(112, "unknown", "rejected", "unknown_endpoint", 1);
        text += &webhook(119, "stripe", "duplicate", "none", 40);
        text += &webhook(120, "stripe", "accepted", "none", 3);
        std::fs::write(folder.path().join("webhook-validator-dev.log"), text).unwrap();
        let batch = |at: i64, function: &str, rest: &str| {
            let time = Timestamp::from_second(at).unwrap();
            line(at + 3, &format!(r#"{{"_aws":{{}},"timestamp":"{time}","function":"{function}",{rest}}}"#))
        };
        let processor = batch(110, "processor", r#""queue":"intake","records":7,"processed":5,"failed":2"#)
            + &batch(115, "processor", r#""queue":"intake","records":2,"processed":2,"published":9"#)
            + &batch(115, "processor", r#""queue_wait":{"Values":[5,900],"Counts":[3,2]}"#)
            + &batch(115, "processor", r#""endpoints_checked":2"#);
        std::fs::write(folder.path().join("webhook-processor-dev.log"), processor).unwrap();
        let archival = batch(110, "archival", r#""rows":8,"objects":1,"bytes":900,"failures":0"#);
        std::fs::write(folder.path().join("transaction-archival-dev.log"), archival).unwrap();
        std::fs::write(folder.path().join("other.txt"), webhook(110, "no", "accepted", "none", 1)).unwrap();
        let mut found = gathered(100, 2, 10);
        read(folder.path(), &mut found).unwrap();
        let figures = found.figures(Source::Logs).unwrap();
        let counts = |counts: Counts| (counts.accepted, counts.duplicates, counts.refused);
        assert_eq!(counts(figures.webhooks), (1, 1, 2));
        let steps: Vec<_> = figures.steps.iter().map(|step| counts(step.counts)).collect();
        assert_eq!(steps, [(1, 0, 0), (0, 1, 2)]);
        let by: Vec<(&str, u64)> = figures.refused_by.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(by, [("signature_mismatch", 1), ("unknown_endpoint", 1)]);
        let [stripe, unknown] = figures.endpoints.as_slice() else { panic!("{:?}", figures.endpoints) };
        assert_eq!((stripe.endpoint.as_str(), counts(stripe.counts)), ("stripe", (1, 1, 1)));
        assert_eq!((unknown.endpoint.as_str(), counts(unknown.counts)), ("unknown", (0, 0, 1)));
        let [processed] = figures.processed.as_slice() else { panic!("{:?}", figures.processed) };
        assert_eq!(
            (processed.records, processed.processed, processed.failed, processed.published),
            (9, 7, 2, 9)
        );
        assert_eq!((figures.archived.rows, figures.archived.objects), (8, 1));
        assert_eq!((figures.latency[0].count, figures.latency[0].max), (4, Some(40)));
        assert_eq!((figures.latency[1].count, figures.latency[1].max), (5, Some(900)));
        assert_eq!((figures.latency[2].count, figures.latency[2].max), (0, None));

        let mut one = Gathered::new(
            Grid { from: 100, step: 10, steps: 2 },
            tollgate_core::EndpointId::new("stripe").ok(),
        );
        read(folder.path(), &mut one).unwrap();
        assert_eq!(counts(one.figures(Source::Logs).unwrap().webhooks), (1, 1, 1));
    }

    /// Wherever it is looked from, nothing that was written then is left out, and most of what was written before is.
    #[test]
    fn a_long_log_is_read_from_about_the_time_on() {
        let mut log = Vec::new();
        for at in 0..20_000 {
            log.write_all(webhook(at, "stripe", "accepted", "none", 1).as_bytes()).unwrap();
            if at % 7 == 0 {
                log.write_all(b"{\"no\": \"time\"}\n").unwrap();
            }
        }
        let length = log.len() as u64;
        let mut file = Cursor::new(log);
        for from in [-5, 0, 1, 500, 9_999, 19_999, 20_001, 90_000] {
            let start = begin(&mut file, from).unwrap();
            let before = usize::try_from(start).unwrap();
            let skipped = String::from_utf8_lossy(&file.get_ref()[..before]).into_owned();
            let complete = skipped.rfind('\n').map_or("", |end| &skipped[..end]);
            assert!(
                complete.lines().filter_map(|line| written_at(line.as_bytes())).all(|at| at < from),
                "{from}"
            );
            let wanted = length * u64::try_from(from.clamp(0, 20_000)).unwrap() / 20_000;
            assert!(start + 2 * NEAR >= wanted, "{from}: {start} of {length}");
        }
    }
}
