//! What a platform cost in a time: what was counted, by the dated price file, against what its design counts on.
//!
//! Money is in whole numbers: millionths of a dollar.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tollgate_aws::cloudwatch::{CloudWatch, Query, Span};
use tollgate_core::Timestamp;

use crate::{
    aws::Aws,
    figures::{self, Figures, Source, Wanted},
};

const PRICES: &str = include_str!("../../../infra/prices.toml");
/// Prices have so many digits behind the point, and quantities of the design.
const PRICE_DIGITS: usize = 10;
const USE_DIGITS: usize = 12;
const MILLION: u128 = 1_000_000;
/// The ways in whose requests the design's table has. A local platform is compared with the first.
const REST: &str = "rest";
const HTTP_API: &str = "http-api";
/// The table's index by customer, whose writes are counted apart (infra/tollgate.yaml).
const INDEX: &str = "by-customer";

#[derive(Debug, Deserialize)]
struct Prices {
    date: String,
    price: BTreeMap<String, Price>,
    webhook: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Price {
    usd: f64,
    source: String,
}

#[derive(Debug, Deserialize)]
struct Row {
    uses: BTreeMap<String, f64>,
    #[serde(default)]
    ingress: Option<String>,
}

/// One price's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The price's name in infra/prices.toml.
    pub price: String,
    /// How many units were counted, in thousandths; `None`: nothing counts them.
    pub milli_units: Option<u64>,
    /// What counted them, or why nothing does.
    pub counted: String,
    /// What they cost, in millionths of a dollar.
    pub micro_usd: Option<u64>,
    /// The same for a million webhooks that were accepted.
    pub micro_usd_a_million: Option<u64>,
    /// What the design counts on for a million webhooks.
    pub design_micro_usd_a_million: u64,
    /// Whether the price was looked up nowhere.
    pub from_memory: bool,
}

/// What a time cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// Where the counts come from.
    pub source: Source,
    /// When the prices were looked up.
    pub prices_of: String,
    /// Webhooks that were accepted, by which a million is reckoned.
    pub accepted: u64,
    /// By price, those of the design that nothing counts included.
    pub lines: Vec<Line>,
    /// The sum of what was counted.
    pub micro_usd: u64,
    /// The same for a million webhooks.
    pub micro_usd_a_million: Option<u64>,
    /// What the design counts on for the lines that were counted.
    pub design_micro_usd_a_million: u64,
    /// What it counts on altogether.
    pub design_of_all_micro_usd_a_million: u64,
}

/// Units that were counted, in thousandths, and by what.
type Counted = BTreeMap<&'static str, (u64, &'static str)>;

/// What the time cost, of what is counted: on AWS by CloudWatch, on a local platform by the functions' logs.
///
/// # Errors
///
/// When the time is none, the price list is not of its form, or the counts cannot be read.
pub async fn of(aws: &Aws, from: Timestamp, to: Timestamp, now: Timestamp) -> anyhow::Result<Cost> {
    let figures = figures::read(aws, &Wanted { from, to, endpoint: None, step_seconds: None }, now).await?;
    let mut counted = of_figures(&figures);
    let mut ingress = REST;
    if figures.source == Source::Cloudwatch {
        let http_api = crate::doctor::http_api(aws).await?;
        if http_api.is_some() {
            ingress = HTTP_API;
        }
        counted.extend(of_cloudwatch(aws, &figures, http_api.as_deref()).await?);
    }
    put_together(&figures, &counted, ingress)
}

/// What our own metrics count.
fn of_figures(figures: &Figures) -> Counted {
    let milli = |count: u64| count.saturating_mul(1_000);
    let published = figures.processed.iter().fold(0, |sum: u64, one| sum.saturating_add(one.published));
    let mut counted = Counted::from([
        ("bus_event", (milli(published), "events that the processor published")),
        ("s3_put", (milli(figures.archived.objects), "objects that the archival function wrote")),
    ]);
    if figures.source == Source::Logs {
        let requests = milli(figures.webhooks.all());
        counted.insert("rest_request", (requests, "requests in the validator's log"));
        counted.insert(
            "lambda_request",
            (requests, "invocations in the validator's log; of the others none is counted"),
        );
    }
    counted
}

/// A metric of an AWS service, and which price it counts for, in thousandths of a unit: `value * of / by`.
struct Metric<'a> {
    price: &'static str,
    query: Query<'a>,
    of: u64,
    by: u64,
}

async fn of_cloudwatch(aws: &Aws, figures: &Figures, http_api: Option<&str>) -> anyhow::Result<Counted> {
    let (functions, suffix) = (aws.names.functions(), aws.names.suffix());
    let mut memory = Vec::new();
    for name in &functions {
        memory.push(crate::doctor::memory_mb(aws, name).await?);
    }
    let api = format!("tollgate-{suffix}");
    let tables = [aws.names.ledger_table(), aws.names.transactions_table()];
    let groups: Vec<String> = functions
        .iter()
        .map(|name| format!("/aws/lambda/{name}"))
        .chain(
            ["stripe", "adyen", "paypal", "other"]
                .map(|one| format!("/aws/events/payment-events-{one}-{suffix}")),
        )
        .chain([
            format!("/aws/apigateway/tollgate-{suffix}"),
            format!("/aws/vendedlogs/states/transaction-workflow-{suffix}"),
        ])
        .collect();
    let sum = |namespace, name, dimensions| Query { namespace, name, dimensions, statistic: "Sum" };
    let mut metrics = vec![Metric {
        price: "rest_request",
        query: sum("AWS/ApiGateway", "Count", vec![("ApiName", api.as_str())]),
        of: 1_000,
        by: 1,
    }];
    if let Some(id) = http_api {
        // Of all its stages ("Monitor CloudWatch metrics for HTTP APIs in API Gateway", developer guide).
        let query = sum("AWS/ApiGateway", "Count", vec![("ApiId", id)]);
        metrics.push(Metric { price: "http_api_request", query, of: 1_000, by: 1 });
    }
    for (name, memory) in functions.iter().zip(&memory) {
        let of = |metric| sum("AWS/Lambda", metric, vec![("FunctionName", name.as_str())]);
        metrics.push(Metric { price: "lambda_request", query: of("Invocations"), of: 1_000, by: 1 });
        // Milliseconds of so many MB.
        metrics.push(Metric { price: "lambda_gb_second", query: of("Duration"), of: *memory, by: 1_024 });
    }
    for table in &tables {
        let of = |metric| sum("AWS/DynamoDB", metric, vec![("TableName", table.as_str())]);
        let price = ["dynamodb_write_unit", "dynamodb_read_unit"];
        metrics.push(Metric { price: price[0], query: of("ConsumedWriteCapacityUnits"), of: 1_000, by: 1 });
        metrics.push(Metric { price: price[1], query: of("ConsumedReadCapacityUnits"), of: 1_000, by: 1 });
    }
    let dimensions = vec![("TableName", tables[1].as_str()), ("GlobalSecondaryIndexName", INDEX)];
    let index = sum("AWS/DynamoDB", "ConsumedWriteCapacityUnits", dimensions);
    metrics.push(Metric { price: "dynamodb_write_unit", query: index, of: 1_000, by: 1 });
    for group in &groups {
        let query = sum("AWS/Logs", "IncomingBytes", vec![("LogGroupName", group.as_str())]);
        metrics.push(Metric { price: "log_gb", query, of: 1, by: 1_000_000 });
    }
    let queries: Vec<Query<'_>> = metrics.iter().map(|metric| metric.query.clone()).collect();
    let (from, to) = (figures.from.as_second(), figures.to.as_second());
    let period = figures.step_seconds;
    let periods = usize::try_from((to - from) / i64::from(period))?;
    let cloudwatch = CloudWatch::new(aws.config.clone(), aws.url_of("monitoring"));
    let values =
        cloudwatch.values(&queries, Span { from, periods, period }).await.context("reading the metrics")?;
    let mut counted = Counted::new();
    for (metric, values) in metrics.iter().zip(values) {
        // Durations have parts of a millisecond.
        let units =
            values.into_iter().flatten().fold(0_u128, |sum, value| sum + value.max(0.0).round() as u128);
        let milli = u64::try_from(units * u128::from(metric.of) / u128::from(metric.by)).unwrap_or(u64::MAX);
        let known = counted.entry(metric.price).or_insert((0, by_what(metric.price)));
        known.0 = known.0.saturating_add(milli);
    }
    Ok(counted)
}

fn by_what(price: &str) -> &'static str {
    match price {
        "rest_request" => "CloudWatch: Count of the REST API; 0 where Ingress is another",
        "http_api_request" => "CloudWatch: Count of the HTTP API",
        "lambda_request" => "CloudWatch: Invocations of the functions",
        "lambda_gb_second" => "CloudWatch: Duration of each function, times its memory",
        "dynamodb_write_unit" => "CloudWatch: consumed write units of both tables and the index",
        "dynamodb_read_unit" => "CloudWatch: consumed read units of both tables",
        _ => "CloudWatch: IncomingBytes of the log groups",
    }
}

/// Why nothing counts a price.
fn why_not(price: &str, source: Source) -> &'static str {
    match (price, source) {
        ("sqs_request" | "sqs_fair_request", _) => {
            "not counted: SQS has metrics of messages, and bills requests"
        }
        ("kms_request", _) => "not counted: KMS has no metric of requests by key",
        ("waf_request", _) => "not counted: whether there is a web ACL is a parameter's",
        ("s3_gb_month" | "dynamodb_gb_month" | "dynamodb_pitr_gb_month" | "event_archive_gb", _) => {
            "not counted: what is kept costs by the month, whatever comes"
        }
        (_, Source::Logs) => "not counted: the local peer has no metric of it",
        (_, Source::Cloudwatch) => "not counted: no metric of it is read",
    }
}

/// What a price in ten-billionths times a use in thousandths counts, by a millionth of a dollar.
const FINE: u128 = 10_u128.pow(7);

fn put_together(figures: &Figures, counted: &Counted, ingress: &str) -> anyhow::Result<Cost> {
    let prices: Prices = toml::from_str(PRICES).context("the price list")?;
    let mut design: BTreeMap<&str, u128> = BTreeMap::new();
    for row in prices.webhook.iter().filter(|row| row.ingress.as_deref().is_none_or(|one| one == ingress)) {
        for (name, number) in &row.uses {
            *design.entry(name).or_default() += digits(*number, USE_DIGITS)?;
        }
    }
    // What another way in has counted in that time.
    for (name, _) in counted.iter().filter(|(_, (milli, _))| *milli > 0) {
        design.entry(name).or_default();
    }
    let accepted = figures.webhooks.accepted;
    // Multiplied before it is cut to millionths: a few webhooks cost less than these can say.
    let a_million = |fine: u128| (accepted > 0).then(|| fine * MILLION / (FINE * u128::from(accepted)));
    let small = |number: u128| u64::try_from(number).context("a sum that is too large");
    let mut cost = Cost {
        from: figures.from,
        to: figures.to,
        source: figures.source,
        prices_of: prices.date.clone(),
        accepted,
        lines: Vec::new(),
        micro_usd: 0,
        micro_usd_a_million: None,
        design_micro_usd_a_million: 0,
        design_of_all_micro_usd_a_million: 0,
    };
    let (mut sum, mut sum_design, mut sum_all) = (0_u128, 0_u128, 0_u128);
    for (name, number) in &design {
        let price = prices.price.get(*name).with_context(|| format!("the price list has no {name}"))?;
        let usd = digits(price.usd, PRICE_DIGITS)?;
        // A use has 12 digits behind the point and a price 10, a million webhooks and millionths of a dollar have 12 before it.
        let of_design = number * usd / 10_u128.pow(10);
        sum_all += of_design;
        let found = counted.get(name);
        let fine = found.map(|(milli, _)| u128::from(*milli) * usd);
        if let Some(fine) = fine {
            sum += fine;
            sum_design += of_design;
        }
        cost.lines.push(Line {
            price: (*name).to_owned(),
            milli_units: found.map(|found| found.0),
            counted: found.map_or_else(|| why_not(name, figures.source), |found| found.1).to_owned(),
            micro_usd: fine.map(|fine| small(fine / FINE)).transpose()?,
            micro_usd_a_million: fine.and_then(a_million).map(small).transpose()?,
            design_micro_usd_a_million: small(of_design)?,
            from_memory: price.source == "from memory",
        });
    }
    cost.lines.sort_by_key(|line| std::cmp::Reverse(line.design_micro_usd_a_million));
    cost.micro_usd = small(sum / FINE)?;
    cost.micro_usd_a_million = a_million(sum).map(small).transpose()?;
    cost.design_micro_usd_a_million = small(sum_design)?;
    cost.design_of_all_micro_usd_a_million = small(sum_all)?;
    Ok(cost)
}

/// A number of the price list in whole units of its last digit, since money is never counted in binary fractions.
fn digits(number: f64, behind: usize) -> anyhow::Result<u128> {
    format!("{number:.behind$}").replace('.', "").parse().context("the price list has a number that is none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Archived, Counts, Processed};

    fn figures(accepted: u64, source: Source) -> Figures {
        let at = |text: &str| text.parse().unwrap();
        Figures {
            source,
            from: at("2026-01-01T00:00:00Z"),
            to: at("2026-01-02T00:00:00Z"),
            step_seconds: 3_600,
            webhooks: Counts { accepted, duplicates: 0, refused: accepted / 10 },
            refused_by: BTreeMap::new(),
            endpoints: Vec::new(),
            steps: Vec::new(),
            processed: vec![Processed { published: accepted, ..Processed::default() }],
            archived: Archived { objects: 3, ..Archived::default() },
            latency: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// docs/deploy.md has the same sum, of the same file: a million webhooks by the REST API cost 14.37 USD.
    #[test]
    fn the_designs_sum_is_that_of_the_page() {
        let cost = put_together(&figures(1_000, Source::Logs), &Counted::new(), REST).unwrap();
        let page = include_str!("../../../docs/deploy.md");
        let sum = page.lines().find_map(|line| line.strip_prefix("| **sum**: rest | **")?.split("**").next());
        let cents = (cost.design_of_all_micro_usd_a_million + 5_000) / 10_000;
        assert_eq!(Some(format!("{}.{:02}", cents / 100, cents % 100).as_str()), sum);
        assert_eq!((cost.micro_usd, cost.design_micro_usd_a_million), (0, 0));
        assert!(
            cost.lines.iter().all(|line| line.micro_usd.is_none() && line.counted.starts_with("not counted"))
        );
    }

    #[test]
    fn what_is_counted_is_reckoned_for_a_million_and_nothing_is_guessed() {
        let of = figures(1_000_000, Source::Logs);
        let cost = put_together(&of, &of_figures(&of), REST).unwrap();
        let line = |name: &str| cost.lines.iter().find(|line| line.price == name).unwrap();
        // 1 USD a million events; 3.5 USD a million requests, of which there were a tenth more.
        assert_eq!(line("bus_event").micro_usd, Some(1_000_000));
        assert_eq!(line("rest_request").micro_usd_a_million, Some(3_850_000));
        assert_eq!(line("rest_request").design_micro_usd_a_million, 3_500_000);
        assert_eq!(line("s3_put").micro_usd, Some(15));
        assert_eq!(line("dynamodb_write_unit").micro_usd, None);
        assert!(cost.design_micro_usd_a_million < cost.design_of_all_micro_usd_a_million);
        // Five webhooks cost less than what millionths of a dollar can say.
        let of = figures(5, Source::Logs);
        let few = put_together(&of, &of_figures(&of), REST).unwrap();
        let requests = few.lines.iter().find(|line| line.price == "rest_request").unwrap();
        assert_eq!((requests.micro_usd, requests.micro_usd_a_million), (Some(17), Some(3_500_000)));
        let none = put_together(&figures(0, Source::Logs), &Counted::new(), REST).unwrap();
        assert_eq!(none.micro_usd_a_million, None);
        // By an HTTP API the design has other lines; what the REST API before it has counted is told all the same.
        let counted = Counted::from([("http_api_request", (5_000, "")), ("rest_request", (2_000, ""))]);
        let http = put_together(&of, &counted, HTTP_API).unwrap();
        let line = |name: &str| http.lines.iter().find(|line| line.price == name).unwrap();
        assert_eq!(line("http_api_request").design_micro_usd_a_million, 1_000_000);
        assert_eq!(
            (line("rest_request").micro_usd, line("rest_request").design_micro_usd_a_million),
            (Some(7), 0)
        );
    }
}
