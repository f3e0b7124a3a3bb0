//! One SQS queue in memory, as strict as the service.
//!
//! It refuses what SQS refuses, and it forgets what SQS forgets: receipts and their visibility, receive counts, dead
//! letters, retention, FIFO groups and deduplication all run by the test's clock.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollgate_core::Timestamp;
use tollgate_pipeline::ports::{PortError, PortResult};

use super::clock::HandClock;

/// The largest message, attributes counted, in bytes ("Amazon SQS message quotas", developer guide).
const MESSAGE_BYTES: usize = 1_048_576;
/// Attributes of a message ("Amazon SQS message quotas", developer guide).
const ATTRIBUTES: usize = 10;
/// How long a FIFO queue remembers a deduplication id ("Exactly-once processing in Amazon SQS", developer guide).
const DEDUPLICATION_SECONDS: i64 = 300;
/// The largest batch of a FIFO queue that Lambda takes (BatchSize, CreateEventSourceMapping, Lambda API reference).
const FIFO_BATCH: usize = 10;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// As `infra/tollgate.yaml` has it: the queues of work keep messages for seven days, the dead letters for fourteen.
const RETENTION_SECONDS: i64 = 7 * DAY_SECONDS;
const DEAD_LETTER_RETENTION_SECONDS: i64 = 14 * DAY_SECONDS;
/// As `infra/tollgate.yaml` has it, but for the intakes.
const MAX_RECEIVES: u32 = 3;
/// As `infra/tollgate.yaml` has it: the default of `IntakeVisibility`.
const VISIBILITY_SECONDS: i64 = 360;

/// A message as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unique in its queue, but for copies that a standard queue delivers twice.
    pub id: String,
    /// The message group.
    pub group: Option<String>,
    /// The body.
    pub body: String,
    /// Message attributes.
    pub attributes: Vec<(String, String)>,
    /// `ApproximateReceiveCount`: this time counted.
    pub receive_count: u32,
    /// `SentTimestamp`.
    pub sent_at: Timestamp,
    receipt: u64,
}

/// A message as it is sent.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The body.
    pub body: String,
    /// Message attributes.
    pub attributes: Vec<(String, String)>,
    /// The message group; on a standard queue there may be none.
    pub group: Option<String>,
    /// FIFO: the deduplication id.
    pub deduplication_id: Option<String>,
}

impl Draft {
    /// What SQS counts, in bytes: the body, and each attribute's name, type and value.
    pub(crate) fn size(&self) -> usize {
        let attributes =
            self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// A queue. Two processes that share it are two clones of an [`Arc`].
#[derive(Debug)]
pub struct Queue {
    clock: HandClock,
    is_fifo: bool,
    retention_seconds: i64,
    max_receives: u32,
    dead_letters: Option<Arc<Queue>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    expired: Vec<Message>,
    /// When each deduplication id was first sent, by group: `DeduplicationScope: messageGroup`.
    sent: HashMap<(String, String), Timestamp>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    /// Until when nobody else gets it.
    invisible_until: Option<Timestamp>,
}

impl Entry {
    fn is_in_flight(&self, now: Timestamp) -> bool {
        self.invisible_until.is_some_and(|until| now < until)
    }
}

impl Queue {
    /// A queue of work with its dead letters.
    pub fn with_dead_letters(clock: &HandClock, is_fifo: bool) -> Self {
        let dead = Self::new(clock, is_fifo, DEAD_LETTER_RETENTION_SECONDS, None);
        Self::new(clock, is_fifo, RETENTION_SECONDS, Some(Arc::new(dead)))
    }

    fn new(
        clock: &HandClock,
        is_fifo: bool,
        retention_seconds: i64,
        dead_letters: Option<Arc<Self>>,
    ) -> Self {
        Self {
            clock: clock.clone(),
            is_fifo,
            retention_seconds,
            max_receives: MAX_RECEIVES,
            dead_letters,
            state: Mutex::default(),
        }
    }

    /// The queue with another `maxReceiveCount`.
    pub fn with_receives(self, max_receives: u32) -> Self {
        Self { max_receives, ..self }
    }

    /// Where messages go after too many receives.
    ///
    /// # Panics
    ///
    /// It is a queue of dead letters itself.
    pub fn dead_letters(&self) -> &Arc<Self> {
        self.dead_letters.as_ref().expect("dead letters have none of their own")
    }

    /// Takes a message. A FIFO queue drops it silently where it knows the deduplication id, also of a message that is
    /// long deleted.
    ///
    /// # Errors
    ///
    /// What SQS refuses for good.
    pub fn send(&self, draft: Draft) -> PortResult<()> {
        check(&draft).map_err(refused)?;
        let now = self.clock.reading();
        let mut state = self.state(now);
        match (self.is_fifo, &draft.group, draft.deduplication_id) {
            (false, _, None) => {}
            (true, Some(group), Some(deduplication_id)) => {
                let known = (group.clone(), deduplication_id);
                let since = state.sent.get(&known);
                if since.is_some_and(|at| now.duration_since(*at).as_secs() < DEDUPLICATION_SECONDS) {
                    return Ok(());
                }
                state.sent.insert(known, now);
            }
            (false, _, Some(_)) => return Err(refused("InvalidParameterValue")),
            (true, ..) => return Err(refused("MissingParameter")),
        }
        state.push(draft.group, draft.body, draft.attributes, now);
        Ok(())
    }

    /// Up to `most` messages, which nobody else gets until they are [settled](Self::settle) or their visibility timeout
    /// is over. A FIFO queue gives at most ten, and none of a group that has one in flight. What was received too
    /// often goes to the dead letters instead.
    pub fn receive(&self, most: usize) -> Vec<Message> {
        self.hand_out(most, |_| true)
    }

    /// The same of the messages with these ids: a standard queue hands out messages in any order.
    pub fn receive_those(&self, ids: &[&str]) -> Vec<Message> {
        assert!(!self.is_fifo, "a FIFO queue has an order");
        self.hand_out(usize::MAX, |message| ids.contains(&message.id.as_str()))
    }

    fn hand_out(&self, most: usize, is_wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let now = self.clock.reading();
        let mut state = self.state(now);
        let State { entries, count, .. } = &mut *state;
        let is_busy = |entry: &&Entry| self.is_fifo && entry.is_in_flight(now);
        let locked: BTreeSet<Option<String>> =
            entries.iter().filter(is_busy).map(|entry| entry.message.group.clone()).collect();
        let most = if self.is_fifo { most.min(FIFO_BATCH) } else { most };
        let (mut batch, mut kept) = (Vec::new(), Vec::new());
        for mut entry in entries.drain(..) {
            let is_due = !entry.is_in_flight(now)
                && !locked.contains(&entry.message.group)
                && is_wanted(&entry.message);
            if batch.len() == most || !is_due {
                kept.push(entry);
                continue;
            }
            if let Some(dead) =
                self.dead_letters.as_ref().filter(|_| entry.message.receive_count >= self.max_receives)
            {
                dead.move_in(entry.message, now);
                continue;
            }
            *count += 1;
            entry.message.receive_count += 1;
            entry.message.receipt = *count;
            entry.invisible_until = Timestamp::from_second(now.as_second() + VISIBILITY_SECONDS).ok();
            batch.push(entry.message.clone());
            kept.push(entry);
        }
        *entries = kept;
        batch
    }

    /// Ends receipts: `failed` come back, the others are deleted. A receipt counts while nobody has received the
    /// message since, and on a FIFO queue only within its visibility timeout (DeleteMessage, API reference). A failed
    /// message comes back at once: tests need not wait for its visibility timeout.
    pub fn settle(&self, batch: &[Message], failed: &[String]) {
        let now = self.clock.reading();
        let mut state = self.state(now);
        for message in batch {
            let is_it = |entry: &Entry| {
                entry.message.receipt == message.receipt && (!self.is_fifo || entry.is_in_flight(now))
            };
            let Some(position) = state.entries.iter().position(is_it) else { continue };
            if failed.contains(&message.id) {
                state.entries[position].invisible_until = None;
            } else {
                state.entries.remove(position);
            }
        }
    }

    /// Begins a message's visibility timeout anew (ChangeMessageVisibility), while its receipt counts.
    pub fn hold(&self, message: &Message) {
        let now = self.clock.reading();
        let mut state = self.state(now);
        if let Some(entry) = state.entries.iter_mut().find(|entry| entry.message.receipt == message.receipt) {
            entry.invisible_until = Timestamp::from_second(now.as_second() + VISIBILITY_SECONDS).ok();
        }
    }

    /// Has a message there once more, as a standard queue may.
    pub fn repeat(&self, message: &Message) {
        assert!(!self.is_fifo, "a FIFO queue delivers no copies");
        let copy = Message { receive_count: 0, receipt: 0, ..message.clone() };
        self.state(self.clock.reading()).entries.push(Entry { message: copy, invisible_until: None });
    }

    /// Moves every message to `queue`, as a redrive of dead letters does: there each is a new message, with a new id and
    /// time ("Configure a dead-letter queue redrive", developer guide). Returns how many.
    pub fn redrive(&self, queue: &Self) -> usize {
        let now = self.clock.reading();
        let entries = std::mem::take(&mut self.state(now).entries);
        let mut target = queue.state(now);
        for Entry { message, .. } in &entries {
            target.push(message.group.clone(), message.body.clone(), message.attributes.clone(), now);
        }
        entries.len()
    }

    /// Everything that is there, in flight or not.
    pub fn messages(&self) -> Vec<Message> {
        let state = self.state(self.clock.reading());
        state.entries.iter().map(|entry| entry.message.clone()).collect()
    }

    /// The ids of what is there and not in flight.
    pub fn visible(&self) -> Vec<String> {
        let now = self.clock.reading();
        let state = self.state(now);
        let visible = state.entries.iter().filter(|entry| !entry.is_in_flight(now));
        visible.map(|entry| entry.message.id.clone()).collect()
    }

    /// Everything that was kept for too long and is lost.
    pub fn expired(&self) -> Vec<Message> {
        self.state(self.clock.reading()).expired.clone()
    }

    /// Takes a dead letter. On a standard queue it keeps the time at which it was first sent; on a FIFO queue its time
    /// begins afresh ("Setting-up dead-letter queue retention in Amazon SQS", developer guide).
    fn move_in(&self, message: Message, now: Timestamp) {
        let sent_at = if self.is_fifo { now } else { message.sent_at };
        let message = Message { sent_at, ..message };
        self.state(now).entries.push(Entry { message, invisible_until: None });
    }

    /// The state without what was kept for too long.
    fn state(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over =
            |entry: &mut Entry| entry.message.sent_at.as_second() + self.retention_seconds <= now.as_second();
        let over: Vec<Message> = state.entries.extract_if(.., is_over).map(|entry| entry.message).collect();
        state.expired.extend(over);
        state
    }
}

impl State {
    fn push(
        &mut self,
        group: Option<String>,
        body: String,
        attributes: Vec<(String, String)>,
        sent_at: Timestamp,
    ) {
        self.count += 1;
        let id = format!("m-{}", self.count);
        let message = Message { id, group, body, attributes, receive_count: 0, sent_at, receipt: 0 };
        self.entries.push(Entry { message, invisible_until: None });
    }
}

fn refused(code: &str) -> PortError {
    PortError::permanent("sqs", code)
}

/// The error's code where SQS refuses a message (SendMessage and MessageAttributeValue, API reference).
pub(crate) fn check(draft: &Draft) -> Result<(), &'static str> {
    const INVALID: Result<(), &str> = Err("InvalidParameterValue");
    let texts = || draft.attributes.iter().map(|(_, value)| value).chain([&draft.body]);
    if texts().any(|text| !text.chars().all(is_character)) {
        return Err("InvalidMessageContents");
    }
    if texts().any(String::is_empty) || draft.attributes.len() > ATTRIBUTES || draft.size() > MESSAGE_BYTES {
        return INVALID;
    }
    let names: BTreeSet<&String> = draft.attributes.iter().map(|(name, _)| name).collect();
    if names.len() < draft.attributes.len() || !names.into_iter().all(|name| is_name(name)) {
        return INVALID;
    }
    match [&draft.group, &draft.deduplication_id].into_iter().flatten().all(|text| is_fifo_text(text)) {
        true => Ok(()),
        false => INVALID,
    }
}

/// The characters of XML 1.0 (SendMessage, API reference).
fn is_character(c: char) -> bool {
    matches!(u32::from(c), 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..=0x10_ffff)
}

/// A message attribute's name (ReceiveMessage, API reference).
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let lower = name.to_ascii_lowercase();
    (1..=256).contains(&name.len())
        && name.bytes().all(is_part)
        && !["aws.", "amazon.", "."].iter().any(|begin| lower.starts_with(begin))
        && !name.ends_with('.')
        && !name.contains("..")
}

/// A group's or a deduplication id's text (SendMessage, API reference).
fn is_fifo_text(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> HandClock {
        HandClock::at("2026-01-02T12:00:00Z".parse().unwrap())
    }

    fn draft(body: &str) -> Draft {
        Draft { body: body.to_owned(), ..Draft::default() }
    }

    fn in_group(body: &str, group: &str) -> Draft {
        Draft { group: Some(group.to_owned()), deduplication_id: Some(body.to_owned()), ..draft(body) }
    }

    fn bodies(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.body.as_str()).collect()
    }

    fn ids(messages: &[Message]) -> Vec<String> {
        messages.iter().map(|message| message.id.clone()).collect()
    }

    #[test]
    fn what_sqs_refuses_is_refused() {
        let queue = Queue::with_dead_letters(&clock(), false);
        let with = |name: &str, value: &str| Draft {
            attributes: vec![(name.to_owned(), value.to_owned())],
            ..draft("body")
        };
        let many = |count| Draft {
            attributes: (0..count).map(|n| (format!("a{n}"), "v".to_owned())).collect(),
            ..draft("body")
        };
        // Body, name, type and value: 4 + 1 + 6 + the rest.
        let fits = MESSAGE_BYTES - 11;
        for good in [
            draft("\t\u{fffd}\u{10ffff}"),
            many(10),
            with("a", &"v".repeat(fits)),
            with("a.b-c_1", "v"),
            Draft { group: Some("a fair queue's".replace(' ', "-")), ..draft("body") },
        ] {
            assert_eq!(queue.send(good), Ok(()));
        }
        for bad in [
            draft(""),
            draft("\u{b}"),
            draft("\u{ffff}"),
            draft(&"x".repeat(MESSAGE_BYTES + 1)),
            with("a", ""),
            with("a", "\0"),
            with("", "v"),
            with(&"a".repeat(257), "v"),
            with("Aws.a", "v"),
            with(".a", "v"),
            with("a.", "v"),
            with("a..b", "v"),
            with("a b", "v"),
            with("a", &"v".repeat(fits + 1)),
            many(11),
            Draft { attributes: vec![("a".to_owned(), "v".to_owned()); 2], ..draft("body") },
            in_group("body", "no FIFO queue"),
        ] {
            assert!(matches!(queue.send(bad.clone()), Err(PortError::Permanent { .. })), "{bad:?}");
        }
        let fifo = Queue::with_dead_letters(&clock(), true);
        assert_eq!(fifo.send(in_group("body", &"g".repeat(128))), Ok(()));
        for bad in
            [draft("body"), in_group("body", ""), in_group("body", "a b"), in_group("body", &"g".repeat(129))]
        {
            assert!(fifo.send(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn after_three_receives_a_message_is_a_dead_letter() {
        let clock = clock();
        let queue = Queue::with_dead_letters(&clock, false);
        queue.send(draft("bad")).unwrap();
        for receive_count in 1..=3 {
            let batch = queue.receive(10);
            assert_eq!(batch[0].receive_count, receive_count);
            queue.settle(&batch, &ids(&batch));
        }
        assert!(queue.receive(10).is_empty() && queue.messages().is_empty());
        assert_eq!(bodies(&queue.dead_letters().messages()), ["bad"]);
        assert_eq!(queue.dead_letters().redrive(&queue), 1);
        assert_eq!(queue.receive(10)[0].receive_count, 1, "it is a new message");
    }

    #[test]
    fn a_dead_letters_clock_runs_from_its_first_send_except_on_a_fifo_queue() {
        for (is_fifo, days) in [(false, 14 - 6), (true, 14)] {
            let clock = clock();
            let queue = Queue::with_dead_letters(&clock, is_fifo);
            queue.send(if is_fifo { in_group("bad", "g") } else { draft("bad") }).unwrap();
            clock.advance_ms(6 * DAY_SECONDS * 1_000);
            for _ in 0..4 {
                let batch = queue.receive(10);
                queue.settle(&batch, &ids(&batch));
            }
            clock.advance_ms((days * DAY_SECONDS - 1) * 1_000);
            assert_eq!(queue.dead_letters().messages().len(), 1, "FIFO: {is_fifo}");
            clock.advance_ms(1_000);
            assert_eq!(bodies(&queue.dead_letters().expired()), ["bad"], "FIFO: {is_fifo}");
            assert!(queue.dead_letters().messages().is_empty());
        }
    }

    #[test]
    fn a_receipt_counts_until_somebody_else_has_the_message() {
        for is_fifo in [false, true] {
            let clock = clock();
            let queue = Queue::with_dead_letters(&clock, is_fifo);
            queue.send(if is_fifo { in_group("a", "g") } else { draft("a") }).unwrap();
            let first = queue.receive(1);
            assert!(queue.receive(1).is_empty(), "it is in flight");
            clock.advance_ms(VISIBILITY_SECONDS * 1_000);
            let second = queue.receive(1);
            queue.settle(&first, &[]);
            assert_eq!(queue.messages().len(), 1, "it is the other's");
            clock.advance_ms(VISIBILITY_SECONDS * 1_000);
            queue.settle(&second, &[]);
            assert_eq!(queue.messages().len(), usize::from(is_fifo), "a FIFO queue takes no late receipt");
        }
    }

    #[test]
    fn a_fifo_group_waits_for_its_messages_in_flight() {
        let queue = Queue::with_dead_letters(&clock(), true);
        for (body, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            queue.send(in_group(body, group)).unwrap();
        }
        let first = queue.receive(1);
        assert_eq!(bodies(&first), ["a1"]);
        assert_eq!(bodies(&queue.receive(10)), ["b1"]);
        queue.settle(&first, &ids(&first));
        assert_eq!(bodies(&queue.receive(10)), ["a1", "a2"]);
    }

    #[test]
    fn a_fifo_queue_drops_for_five_minutes_what_it_knows() {
        let clock = clock();
        let queue = Queue::with_dead_letters(&clock, true);
        queue.send(in_group("a", "g")).unwrap();
        let batch = queue.receive(1);
        queue.settle(&batch, &[]);
        clock.advance_ms((DEDUPLICATION_SECONDS - 1) * 1_000);
        queue.send(in_group("a", "g")).unwrap();
        assert!(queue.messages().is_empty(), "also after it is deleted");
        queue.send(in_group("a", "another")).unwrap();
        clock.advance_ms(1_000);
        queue.send(in_group("a", "g")).unwrap();
        assert_eq!(queue.messages().len(), 2);
    }
}
