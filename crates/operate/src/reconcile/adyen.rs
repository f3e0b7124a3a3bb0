//! Adyen lists no events. Its payment accounting report has a line for each state that a payment reached, and each of these is told
//! by a webhook: <https://docs.adyen.com/reporting/invoice-reconciliation/payment-accounting-report>,
//! <https://docs.adyen.com/development-resources/webhooks/webhook-types>.

use std::{
    collections::BTreeMap,
    io::BufRead,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{civil::DateTime, tz::Offset};
use tollgate_core::{Currency, EndpointId, Money, PaymentEvent, Timestamp};

use super::model::{Finding, Summary, Verdict};
use crate::{aws::Aws, tables::Tables};

/// The endpoint's provider.
pub const PROVIDER: &str = "adyen";
/// Lines that are compared before the next are read.
const CHUNK: usize = 200;
/// Payments whose history is asked for at once.
const AT_ONCE: usize = 16;

/// Which webhook tells a record. What has no reference of its own beside the payment's has none, but the authorisation: a capture
/// that came with it.
const TOLD_BY: [(&str, &str); 4] = [
    ("Authorised", "AUTHORISATION"),
    ("SentForSettle", "CAPTURE"),
    ("SentForRefund", "REFUND"),
    ("Chargeback", "CHARGEBACK"),
];

/// A line of the report that a webhook tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    payment: String,
    /// What its webhook has as `pspReference`.
    reference: String,
    record: &'static str,
    code: &'static str,
    at: Timestamp,
    amount: Option<Money>,
}

/// Where the columns are that are read.
#[derive(Debug)]
struct Columns(BTreeMap<String, usize>);

impl Columns {
    fn of(header: &str) -> anyhow::Result<Self> {
        let names = cells(header.trim_start_matches('\u{feff}'))?;
        let columns = Self(names.into_iter().enumerate().map(|(at, name)| (name, at)).collect());
        let read = [
            "Psp Reference",
            "Booking Date",
            "TimeZone",
            "Main Currency",
            "Main Amount",
            "Record Type",
            "Modification Psp Reference",
        ];
        for name in read {
            ensure!(
                columns.0.contains_key(name),
                "the report has no column {name}: add it in the Customer Area"
            );
        }
        Ok(columns)
    }

    fn cell<'c>(&self, cells: &'c [String], name: &str) -> &'c str {
        self.0.get(name).and_then(|at| cells.get(*at)).map_or("", |cell| cell.trim())
    }

    /// `None` where no webhook tells it.
    fn line(&self, text: &str) -> anyhow::Result<Option<Line>> {
        let cells = cells(text)?;
        let cell = |name| self.cell(&cells, name);
        let told = TOLD_BY.into_iter().find(|(record, _)| *record == cell("Record Type"));
        let Some((record, code)) = told else { return Ok(None) };
        let payment = cell("Psp Reference");
        ensure!(!payment.is_empty(), "a line has no Psp Reference");
        let own = Some(cell("Modification Psp Reference")).filter(|own| !own.is_empty() && *own != payment);
        let reference = match (code, own) {
            ("AUTHORISATION", _) => payment,
            (_, Some(own)) => own,
            (_, None) => return Ok(None),
        };
        let amount = cell("Main Amount").trim_start_matches('-');
        let currency = Currency::new(cell("Main Currency")).ok();
        Ok(Some(Line {
            payment: payment.to_owned(),
            reference: reference.to_owned(),
            record,
            code,
            at: moment(cell("Booking Date"), cell("TimeZone"))?,
            amount: currency.and_then(|currency| Money::from_decimal(amount, currency).ok()),
        }))
    }
}

/// The cells of a line (RFC 4180).
fn cells(line: &str) -> anyhow::Result<Vec<String>> {
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut is_quoted, mut chars) = (false, line.trim_end_matches(['\r', '\n']).chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    ensure!(!is_quoted, "a line ends within quotes");
    cells.push(cell);
    Ok(cells)
}

/// A time in the report's zone, which is named as people name it: those that accounts are set to as a rule.
fn moment(date: &str, zone: &str) -> anyhow::Result<Timestamp> {
    let hours = match zone {
        "UTC" | "GMT" => 0,
        "CET" | "BST" => 1,
        "CEST" => 2,
        "EST" => -5,
        "EDT" => -4,
        "PST" => -8,
        "PDT" => -7,
        "SGT" => 8,
        "JST" => 9,
        "AEST" => 10,
        "AEDT" => 11,
        _ => bail!("the time zone {zone} is not known here: have the report made in UTC"),
    };
    let date: DateTime = date.parse().with_context(|| format!("{date} is no Booking Date"))?;
    Ok(Offset::constant(hours).to_timestamp(date)?)
}

/// Compares a report with what took effect. `each` has every line that a webhook tells, in the report's order.
///
/// # Errors
///
/// When it is no such report, or AWS does not answer.
pub async fn compare(
    aws: &Aws,
    endpoint: &EndpointId,
    mut report: impl BufRead,
    now: Timestamp,
    stop: &AtomicBool,
    mut each: impl FnMut(Finding) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let tables = Tables::of(aws, now);
    let mut text = String::new();
    report.read_line(&mut text).context("reading the report")?;
    let columns = Columns::of(&text)?;
    let mut summary = Summary::default();
    let mut number = 1_u64;
    loop {
        let mut lines = Vec::with_capacity(CHUNK);
        let mut is_end = false;
        while lines.len() < CHUNK && !is_end {
            text.clear();
            is_end = report.read_line(&mut text).context("reading the report")? == 0;
            number += 1;
            if text.trim().is_empty() {
                continue;
            }
            match columns.line(&text).with_context(|| format!("line {number}"))? {
                Some(line) => lines.push(line),
                None => summary.not_subscribed += 1,
            }
        }
        let found = stream::iter(lines).map(|line| one(&tables, endpoint, line));
        let found: Vec<Finding> = found.buffered(AT_ONCE).try_collect().await?;
        for finding in found {
            *summary.counts.entry(finding.verdict).or_default() += 1;
            each(finding)?;
        }
        summary.stopped = !is_end && stop.load(Ordering::Relaxed);
        if is_end || summary.stopped {
            return Ok(summary);
        }
    }
}

async fn one(tables: &Tables, endpoint: &EndpointId, line: Line) -> anyhow::Result<Finding> {
    let past = tables.past(&PaymentEvent::transaction_key_of(endpoint, &line.payment)).await?;
    let mut events =
        past.events.iter().filter_map(|json| serde_json::from_str::<PaymentEvent<'_>>(json).ok());
    // The event's id is made of these (the normaliser's file says of what).
    let begin = format!("{}:{}:true", line.reference, line.code);
    let ours = events.find(|event| event.provider_event_id.starts_with(&begin));
    let decimal = |money: &Money| money.to_decimal();
    let mut finding = Finding {
        verdict: Verdict::Missing,
        provider_event_id: line.reference,
        provider_event_type: format!("{} ({})", line.code, line.record),
        at: line.at,
        kind: None,
        transaction_id: Some(line.payment),
        amount: line.amount.as_ref().and_then(decimal),
        currency: line.amount.map(|money| money.currency().to_string()),
        our_amount: None,
        webhook_id: None,
        note: None,
    };
    if let Some(ours) = ours {
        finding.verdict = Verdict::Present;
        finding.kind = Some(ours.kind.as_str().to_owned());
        finding.webhook_id = Some(ours.webhook_id.to_string());
        if line.amount.is_some() && ours.amount != line.amount {
            finding.verdict = Verdict::AmountDiffers;
            finding.our_amount = ours.amount.as_ref().and_then(decimal);
        }
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Booking Date,TimeZone,\
                          Main Currency,Main Amount,Record Type,Modification Psp Reference";

    fn line(rest: &str) -> anyhow::Result<Option<Line>> {
        Columns::of(HEADER)?.line(&format!("C,M,{rest}\r\n"))
    }

    #[test]
    fn a_line_is_what_one_webhook_tells() {
        let read = line("8836,\"order, \"\"1\"\"\",visa,2026-01-31 12:00:00,CET,EUR,49.90,Authorised,");
        let read = read.unwrap().unwrap();
        assert_eq!(
            (read.payment.as_str(), read.reference.as_str(), read.code),
            ("8836", "8836", "AUTHORISATION")
        );
        assert_eq!(read.at.to_string(), "2026-01-31T11:00:00Z");
        assert_eq!(read.amount.unwrap().to_decimal().as_deref(), Some("49.90"));
        let refund =
            line("8836,o,visa,2026-01-31 12:00:00,UTC,EUR,-49.90,SentForRefund,9911").unwrap().unwrap();
        assert_eq!((refund.reference.as_str(), refund.code), ("9911", "REFUND"));
        assert_eq!(refund.amount, read.amount);
        for untold in ["Received,", "Settled,9911", "SentForSettle,", "SentForSettle,8836", "SentForRefund,"]
        {
            let text = format!("8836,o,visa,2026-01-31 12:00:00,UTC,EUR,1,{untold}");
            assert_eq!(line(&text).unwrap(), None, "{untold}");
        }
    }

    #[test]
    fn what_is_no_such_report_is_an_error() {
        for bad in ["", "Psp Reference,Booking Date", "a\"b"] {
            assert!(Columns::of(bad).is_err(), "{bad}");
        }
        assert!(Columns::of(&format!("\u{feff}{HEADER}\r\n")).is_ok());
        for bad in [
            "8836,o,visa,2026-01-31 12:00:00,XYZ,EUR,1,Authorised,",
            "8836,o,visa,yesterday,UTC,EUR,1,Authorised,",
            ",o,visa,2026-01-31 12:00:00,UTC,EUR,1,Authorised,",
            "8836,\"o,visa,2026-01-31 12:00:00,UTC,EUR,1,Authorised,",
        ] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }
}
