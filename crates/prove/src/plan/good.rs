//! What providers send, and how often.

use anyhow::Context;
use tollgate_core::{Currency, Money};
use tollgate_providers::{Endpoint, catalogue};
use tollgate_samples::{BUILT_IN, Kind};

use super::{
    Planner, UNSIGNABLE,
    bodies::{self, Made},
    effect,
    hostile::BODY_LIMIT,
};
use crate::{
    endpoints::is_ordered,
    record::{Body, Content, Event, Fate, Right},
};

/// Older than the ledger's memory with a week to spare (docs/SEMANTICS.md, 3.9), in days.
const OLD_DAYS: i64 = 25;
/// The class of webhooks that are too old and that an operator lets take effect all the same (scripts/prove/campaign).
const ALLOWED: &str = "too old, and allowed";

impl<'a> Planner<'a> {
    /// A case of a normaliser, at whichever endpoint.
    pub(super) fn case(&mut self) -> anyhow::Result<()> {
        let endpoint = self.endpoint(|endpoint| !UNSIGNABLE.contains(&endpoint.provider().as_str()))?;
        let (content, events) = self.filled(endpoint)?;
        self.good.push(self.webhooks.len());
        self.push("case", endpoint, content, effect(events));
        Ok(())
    }

    /// A case of an endpoint's provider, and the events that it tells.
    pub(super) fn filled(&mut self, endpoint: &Endpoint) -> anyhow::Result<(Content, Vec<Event>)> {
        let row = catalogue::find(endpoint.provider().as_str()).context("no such provider")?;
        let of_it: Vec<_> =
            self.templates.iter().filter(|template| template.provider == row.normaliser()).collect();
        let template = *self.choices.pick(&of_it).context("no case of the provider")?;
        let filled =
            template.fill(self.apart + self.serial(), self.now).context("a case that cannot be filled")?;
        let mut headers = filled.headers;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), content_type(&filled.body).to_owned()));
        }
        let content = Content { headers, query: filled.query, body: Body::Text(filled.body), pad_to: None };
        Ok((content, filled.events))
    }

    pub(super) fn sample(&mut self) -> anyhow::Result<()> {
        let endpoint = self.built_in()?;
        let made = self.made(endpoint, None)?;
        let (class, content) = match self.choices.below(4) {
            0 => ("planted", made.planted()),
            _ => ("sample", made.content()),
        };
        self.good.push(self.webhooks.len());
        let right = effect(made.events());
        self.push(class, endpoint, content, right);
        Ok(())
    }

    /// A payment of high value whose card is of another country than its customer (`crates/risk`: 65 points of 100, a review).
    pub(super) fn suspicious(&mut self) -> anyhow::Result<()> {
        let endpoint = self.endpoint(|endpoint| endpoint.provider().as_str() == "generic")?;
        let mut made = self.made(endpoint, Some(Kind::Payment))?;
        made.sample.money = Money::from_minor(2_000_000, Currency::new("USD")?)?;
        made.draft = made.sample.draft("generic").context("no body is built in")?;
        let body = String::from_utf8_lossy(&made.draft.body).into_owned();
        made.draft.body = body.replace(r#""card_country":"DE""#, r#""card_country":"BR""#).into_bytes();
        let mut events = made.events();
        events.iter_mut().for_each(|event| event.is_flagged = true);
        self.push("suspicious", endpoint, made.content(), effect(events));
        Ok(())
    }

    /// One payment, told by several events at once.
    pub(super) fn told(&mut self) -> anyhow::Result<()> {
        let endpoint = self.endpoint(|endpoint| endpoint.provider().as_str() == "stripe")?;
        let made = self.made(endpoint, Some(Kind::Payment))?;
        let drafts = made.sample.tellings("stripe").context("no body is built in")?;
        let effect_name = format!("told-{}", self.serial());
        let by = usize::try_from(2 + self.choices.below(2))?;
        for draft in drafts.iter().take(by) {
            let mut events: Vec<_> = draft.event_ids.iter().map(|id| made.event(id)).collect();
            for event in &mut events {
                event.effect = Some(effect_name.clone());
            }
            self.push("told", endpoint, bodies::content(draft), effect(events));
        }
        Ok(())
    }

    /// The very same request, so many times at once.
    pub(super) fn copies(&mut self) -> anyhow::Result<()> {
        self.case()?;
        let copies = u32::try_from(2 + self.choices.below(5))?;
        let webhook = self.webhooks.last_mut().context("nothing was planned")?;
        (webhook.copies, webhook.class) = (copies, "copies at once".to_owned());
        webhook.right.statuses = vec![200, 409];
        Ok(())
    }

    /// An earlier one, signed anew.
    pub(super) fn again(&mut self) -> anyhow::Result<()> {
        let Some(of) = self.choices.pick(&self.good).and_then(|index| self.webhooks.get(*index)).cloned()
        else {
            return self.case();
        };
        let endpoint = self.endpoint(|endpoint| endpoint.id().as_str() == of.signer)?;
        let right = Right { statuses: vec![200, 409], ..of.right };
        self.push("again", endpoint, of.content, right).after = Some(of.n);
        Ok(())
    }

    /// An id that is known, with another amount. Razorpay's and Adyen's ids hold the amount.
    pub(super) fn conflict(&mut self) -> anyhow::Result<()> {
        const OWN_IDS: [&str; 4] = ["stripe", "square", "generic", "standard_webhooks"];
        let endpoint = self.endpoint(|endpoint| OWN_IDS.contains(&endpoint.provider().as_str()))?;
        let made = self.made(endpoint, None)?;
        let other = made.of_another_amount(endpoint)?;
        let first = self.serial();
        self.push("contradicted", endpoint, made.content(), effect(made.events()));
        let right = Right { fate: Fate::Conflict, statuses: vec![200, 409], events: other.events() };
        self.push("conflict", endpoint, other.content(), right).after = Some(first);
        Ok(())
    }

    /// A refund before its payment.
    pub(super) fn reordered(&mut self) -> anyhow::Result<()> {
        let endpoint =
            self.endpoint(|endpoint| matches!(endpoint.provider().as_str(), "stripe" | "generic"))?;
        let (payment, refund) = self.payment_and_refund(endpoint)?;
        self.push("refund before its payment", endpoint, refund.content(), effect(refund.events()));
        self.push("payment after its refund", endpoint, payment.content(), effect(payment.events()));
        Ok(())
    }

    /// A payment, and its refund once that was answered, where the order of a payment's events is kept. The payment's body is too
    /// large for a message, so that it can fail alone: it is read from S3.
    pub(super) fn in_order(&mut self) -> anyhow::Result<()> {
        let endpoint =
            self.endpoint(|endpoint| endpoint.provider().as_str() == "stripe" && is_ordered(endpoint))?;
        let (payment, refund) = self.payment_and_refund(endpoint)?;
        let first = self.serial();
        let content = Content { pad_to: Some(BODY_LIMIT - 100), ..payment.content() };
        self.push("payment before its refund", endpoint, content, effect(payment.events()));
        self.push("in order", endpoint, refund.content(), effect(refund.events())).after = Some(first);
        Ok(())
    }

    fn payment_and_refund(&mut self, endpoint: &Endpoint) -> anyhow::Result<(Made, Made)> {
        let refund = self.made(endpoint, Some(Kind::Refund))?;
        let mut payment = refund.clone();
        payment.sample.kind = Kind::Payment;
        payment.draft = payment.sample.draft(endpoint.provider().as_str()).context("no body is built in")?;
        let old = payment.draft.event_ids.first().cloned().context("no event")?;
        let new = format!("{old}p");
        let text = String::from_utf8_lossy(&payment.draft.body).replace(&old, &new);
        payment.draft.body = text.into_bytes();
        payment.draft.event_ids = vec![new];
        Ok((payment, refund))
    }

    /// What happened before the ledger's memory begins. An operator lets every second one take effect.
    pub(super) fn old(&mut self) -> anyhow::Result<()> {
        let endpoint =
            self.endpoint(|endpoint| matches!(endpoint.provider().as_str(), "stripe" | "square"))?;
        let mut made = self.made(endpoint, None)?;
        let seconds = self.now.as_second() - OLD_DAYS * 86_400;
        made.sample.at = jiff::Timestamp::from_second(seconds)?;
        made.draft = made.sample.draft(endpoint.provider().as_str()).context("no body is built in")?;
        let (class, fate) =
            if self.choices.below(2) == 0 { ("too old", Fate::TooOld) } else { (ALLOWED, Fate::Effect) };
        let right = Right { fate, statuses: vec![200], events: made.events() };
        self.push(class, endpoint, made.content(), right);
        Ok(())
    }

    /// An endpoint whose provider's bodies are built in.
    pub(super) fn built_in(&mut self) -> anyhow::Result<&'a Endpoint> {
        self.endpoint(|endpoint| BUILT_IN.contains(&endpoint.provider().as_str()))
    }

    /// A fast endpoint of Stripe.
    pub(super) fn stripe(&mut self) -> anyhow::Result<&'a Endpoint> {
        self.endpoint(|endpoint| endpoint.provider().as_str() == "stripe" && !is_ordered(endpoint))
    }
}

fn content_type(body: &str) -> &'static str {
    match body.trim_start().chars().next() {
        Some('{' | '[') => "application/json",
        Some('<') => "application/xml",
        _ => "application/x-www-form-urlencoded",
    }
}
