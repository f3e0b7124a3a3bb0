//! Events as they are published, heard while somebody looks.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::ToSpan;
use tokio::sync::Notify;
use tollgate_core::{PaymentEvent, Timestamp};
use tollgate_operate::{
    aws::Aws,
    dlq::forecast::Clock,
    listen::{Asked, Listener},
};

use crate::{
    begun::{Begun, held},
    guard,
};

/// Events that are kept: the newest.
pub(crate) const MOST_KEPT: usize = 200;
/// It ends after so long, whoever looks.
const MOST_MINUTES: i64 = 30;
/// It ends when nobody has looked for so long.
const UNSEEN_SECONDS: i64 = 60;

/// One that listens.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) asked: Asked,
    pub(crate) until: Timestamp,
    /// What a form must have that ends it.
    pub(crate) cancel: String,
    is_stopped: AtomicBool,
    stopped: Notify,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) events: VecDeque<PaymentEvent<'static>>,
    pub(crate) count: u64,
    /// The rule and the queue are made.
    pub(crate) is_open: bool,
    pub(crate) looked_at: Timestamp,
    /// Why it ended, or what ended it.
    pub(crate) ended: Option<Result<&'static str, String>>,
}

impl Begun for Tail {
    fn is_under_way(&self) -> bool {
        self.heard().ended.is_none()
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.stopped.notify_one();
    }
}

impl Tail {
    pub(crate) fn new(asked: Asked, now: Timestamp) -> anyhow::Result<Self> {
        Ok(Self {
            asked,
            until: now.checked_add(MOST_MINUTES.minutes())?,
            cancel: guard::random()?,
            is_stopped: AtomicBool::new(false),
            stopped: Notify::new(),
            heard: Mutex::new(Heard {
                events: VecDeque::new(),
                count: 0,
                is_open: false,
                looked_at: now,
                ended: None,
            }),
        })
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        held(&self.heard)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Listens until its end. The rule and the queue are removed, whatever ends it.
    pub(crate) async fn go(&self, aws: &Aws, clock: Clock) {
        let ended = self.listen(aws, clock).await.map_err(|problem| format!("{problem:#}"));
        self.heard().ended = Some(ended);
    }

    async fn listen(&self, aws: &Aws, clock: Clock) -> anyhow::Result<&'static str> {
        let listener = Listener::open(aws, &self.asked, clock(), self.until).await?;
        self.heard().is_open = true;
        let heard = self.hear(&listener, clock).await;
        let closed = listener.close().await;
        let why = heard?;
        closed?;
        Ok(why)
    }

    async fn hear(&self, listener: &Listener, clock: Clock) -> anyhow::Result<&'static str> {
        loop {
            let now = clock();
            if self.is_stopping() {
                return Ok("It was stopped.");
            }
            if now >= self.until {
                return Ok("It listened for half an hour.");
            }
            if now.as_second() - self.heard().looked_at.as_second() > UNSEEN_SECONDS {
                return Ok("Nobody looked any more.");
            }
            let messages = tokio::select! {
                () = self.stopped.notified() => continue,
                messages = listener.next() => messages?,
            };
            for message in messages {
                let event = serde_json::from_str::<PaymentEvent<'static>>(&message.json);
                {
                    let mut heard = self.heard();
                    heard.count += 1;
                    // One of a later version is counted alone.
                    heard.events.extend(event.ok());
                    if heard.events.len() > MOST_KEPT {
                        heard.events.pop_front();
                    }
                }
                listener.done(&message).await?;
            }
        }
    }
}
