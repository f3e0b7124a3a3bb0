//! SQS batches as Lambda hands them to the processor, of any size, out of nothing but a seed.
//!
//! Bodies are ours, in the providers' forms (`bodies/`); each is signed with a key of ours and becomes an intake
//! message as the validator makes it. Nothing is read from the clock: the same seed gives the same bytes.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::json;
use tollgate_core::{
    Delivery, EndpointConfig, EndpointId, Facts, LedgerKey, Timestamp, WebhookId, id::hex_sha256,
};
use tollgate_lambda::sqs::{self, Buffer};
use tollgate_pipeline::{
    intake::{Content, IntakeMessage, Notes, QueuedMessage, RequestParts, attribute, encode},
    ports::{LedgerEntry, LedgerState, Terms},
};
use tollgate_providers::{Endpoint, Headers, KeyMaterial, KeyRing, Received, Secret, ToSign, Trusted};

/// What Lambda hands to a function at most: 6 MB ("Lambda quotas", invocation payload, synchronous), in bytes.
pub const LARGEST_PAYLOAD_BYTES: usize = 6 * 1_048_576;
/// What every endpoint here signs with: hex, base64 and plain text at once, so that every scheme takes it.
pub const KEY: &str = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";
/// When the first webhook arrives: 2026-01-15T12:00:00Z.
pub const FIRST_ARRIVAL: i64 = 1_768_478_400;
/// What the contestants' clocks say.
pub const NOW: i64 = FIRST_ARRIVAL + 60;
/// The providers of the mixes.
pub const PROVIDERS: [&str; 5] = ["stripe", "adyen", "paypal", "square", "razorpay"];

const BODIES: [(&str, &str); 7] = [
    ("stripe", include_str!("../bodies/stripe.charge.succeeded.json")),
    ("stripe.refunded", include_str!("../bodies/stripe.charge.refunded.json")),
    ("stripe.disputed", include_str!("../bodies/stripe.charge.dispute.created.json")),
    ("adyen", include_str!("../bodies/adyen.json")),
    ("paypal", include_str!("../bodies/paypal.json")),
    ("square", include_str!("../bodies/square.json")),
    ("razorpay", include_str!("../bodies/razorpay.json")),
];

/// Which batch.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of everything.
    pub seed: u64,
    /// How many records; `None` for as many as fit [`LARGEST_PAYLOAD_BYTES`].
    pub records: Option<usize>,
    /// Whose webhooks, in turn.
    pub providers: Vec<&'static str>,
    /// Of a thousand records, how many are poison: their `received_at` is no time.
    pub poison_per_mille: usize,
    /// From the FIFO queue, grouped by payment.
    pub is_fifo: bool,
    /// When the first webhook arrives, in seconds since 1970.
    pub starts_at: i64,
}

impl Plan {
    /// A batch of Stripe's webhooks from the standard queue, all of them good.
    pub fn stripe(records: usize) -> Self {
        Self {
            seed: 1,
            records: Some(records),
            providers: vec!["stripe"],
            poison_per_mille: 0,
            is_fifo: false,
            starts_at: FIRST_ARRIVAL,
        }
    }

    /// The same, in Lambda's largest batch.
    pub fn largest() -> Self {
        Self { records: None, ..Self::stripe(0) }
    }
}

/// A batch's JSON, and how many records it holds.
pub fn generate(plan: &Plan) -> (String, usize) {
    let senders: Vec<Sender> = plan.providers.iter().map(|name| Sender::new(name, plan.is_fifo)).collect();
    let mut random = Random(plan.seed);
    let mut out = String::from("{\"Records\":[");
    let mut payments = Payments::default();
    let mut count = 0;
    while plan.records.is_none_or(|records| count < records) {
        let sender = &senders[count % senders.len()];
        let filled = sender.fill(count, plan.starts_at, &mut random, &mut payments);
        let is_poison = poison(count, plan.poison_per_mille);
        let record = record(sender, count, &filled, &mut random, plan.is_fifo, is_poison);
        if plan.records.is_none() && out.len() + record.len() + 3 > LARGEST_PAYLOAD_BYTES {
            break;
        }
        if count > 0 {
            out.push(',');
        }
        out.push_str(&record);
        count += 1;
    }
    out.push_str("]}");
    (out, count)
}

/// Stripe's webhooks as API Gateway hands them to the validator (REST API with binary media types, "Input format of a
/// Lambda function for proxy integration", developer guide), all signed at `at`.
pub fn requests(seed: u64, count: usize, at: Timestamp) -> Vec<String> {
    let sender = Sender::new("stripe", false);
    let (mut random, mut payments) = (Random(seed), Payments::default());
    let request = |index| {
        let filled = Filled { at, ..sender.fill(index, at.as_second(), &mut random, &mut payments) };
        let mut headers: BTreeMap<String, String> = BTreeMap::from(
            [
                ("Accept", "*/*; q=0.5, application/xml"),
                ("Cache-Control", "no-cache"),
                ("CloudFront-Forwarded-Proto", "https"),
                ("CloudFront-Is-Desktop-Viewer", "true"),
                ("CloudFront-Viewer-Country", "US"),
                ("Host", "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"),
                ("Via", "1.1 d98420743a69852491bbdea73f7680bd.cloudfront.net (CloudFront)"),
                ("X-Amz-Cf-Id", "pn-PWIJc6thYnZm5P0NMgOUglL1DYtl0gdeJky8tqsg8iS_sgsKD1A=="),
                ("X-Amzn-Trace-Id", "Root=1-5e272390-8c398be037738dc042009320"),
                ("X-Forwarded-For", "203.0.113.9, 198.51.100.7"),
                ("X-Forwarded-Port", "443"),
                ("X-Forwarded-Proto", "https"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        headers
            .extend(sender.headers(&filled).iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let many: BTreeMap<&String, [&String; 1]> =
            headers.iter().map(|(name, value)| (name, [value])).collect();
        let path = format!("/webhook/{}", sender.endpoint.id());
        json!({
            "resource": "/webhook/{endpoint}",
            "path": path,
            "httpMethod": "POST",
            "headers": headers,
            "multiValueHeaders": many,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "pathParameters": {"endpoint": sender.endpoint.id()},
            "stageVariables": null,
            "requestContext": {
                "resourceId": "q1w2e3",
                "resourcePath": "/webhook/{endpoint}",
                "operationName": null,
                "httpMethod": "POST",
                "extendedRequestId": "JKJaXmPLvHcESHA=",
                "requestTime": "15/Jan/2026:12:00:00 +0000",
                "path": path,
                "accountId": "123456789012",
                "protocol": "HTTP/1.1",
                "stage": "live",
                "domainPrefix": "a1b2c3d4e5",
                "requestTimeEpoch": at.as_millisecond(),
                "requestId": random.uuid(),
                "identity": {"sourceIp": "203.0.113.9", "userAgent": "Stripe/1.0", "cognitoIdentityId": null},
                "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
                "apiId": "a1b2c3d4e5",
            },
            "body": STANDARD.encode(&filled.body),
            "isBase64Encoded": true,
        })
        .to_string()
    };
    (0..count).map(request).collect()
}

/// What the validator put into the ledger when it accepted the webhooks of a batch. Poison has nothing there.
pub fn claims(batch: &[u8]) -> Vec<LedgerEntry> {
    let endpoints: Vec<Endpoint> =
        endpoints(false).into_iter().map(|config| Endpoint::new(config).unwrap()).collect();
    let mut buffer = Buffer::default();
    let records = sqs::read(batch, &mut buffer, false).unwrap();
    let mut entries = Vec::with_capacity(records.len());
    for record in &records {
        let Ok(message) = QueuedMessage::read(record.body, record.attributes()) else { continue };
        let endpoint = endpoints.iter().find(|endpoint| *endpoint.id() == message.endpoint).unwrap();
        let Content::Inline(body) = message.content().unwrap() else {
            panic!("no body is claim-checked here")
        };
        let webhook = message.webhook(body, endpoint).unwrap();
        entries.extend(endpoint.normalise(webhook.trusted()).unwrap().iter().map(|facts| LedgerEntry {
            key: LedgerKey::new(endpoint.id(), &facts.event_id),
            state: LedgerState::Received,
            webhook_id: message.webhook_id,
            fingerprint: facts.fingerprint().to_string(),
            received_at: message.received_at,
            terms: Terms {
                seals: vec![message.seal()],
                occurred_at: facts.occurred_at,
                authenticity: endpoint.authenticity(),
                revision: endpoint.revision(),
            },
        }));
    }
    entries
}

/// The intake message of one of the provider's webhooks.
pub fn message(provider: &'static str, at: Timestamp) -> IntakeMessage {
    let sender = Sender::new(provider, false);
    let mut random = Random(1);
    let filled = sender.fill(0, at.as_second(), &mut random, &mut Payments::default());
    sender.message(&filled, &mut random)
}

/// The configurations of the endpoints that [`generate`]'s messages name: one a provider, by the provider's name.
pub fn endpoints(is_fifo: bool) -> Vec<EndpointConfig> {
    PROVIDERS.iter().map(|name| config(name, is_fifo)).collect()
}

fn config(name: &str, is_fifo: bool) -> EndpointConfig {
    EndpointConfig {
        id: EndpointId::new(format!("{name}-eu")).unwrap(),
        scheme: name.into(),
        secret: format!("secretsmanager:tollgate/bench/{name}-eu"),
        delivery: if is_fifo { Delivery::Ordered } else { Delivery::Fast },
        on_duplicate: None,
        tolerance_seconds: None,
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: (name == "square").then(|| "https://webhooks.example.com/square".to_owned()),
        parameters: BTreeMap::new(),
    }
}

/// Spread evenly, whatever the batch's size.
fn poison(index: usize, per_mille: usize) -> bool {
    (index + 1) * per_mille / 1_000 > index * per_mille / 1_000
}

/// A provider, with the endpoint that it sends to.
struct Sender {
    name: &'static str,
    endpoint: Endpoint,
    keys: KeyRing,
}

struct Filled {
    body: String,
    at: Timestamp,
    request: u64,
}

/// The payments so far that a later webhook may be about.
#[derive(Default)]
struct Payments {
    last: BTreeMap<&'static str, String>,
}

impl Sender {
    fn new(name: &'static str, is_fifo: bool) -> Self {
        let endpoint = Endpoint::new(config(name, is_fifo)).unwrap();
        // PayPal signs with its own certificate, which we do not have: what its processor reads is the same.
        let keys = endpoint.keys(vec![KeyMaterial::new("2026-01", Secret::new(KEY))]).unwrap();
        Self { name, endpoint, keys }
    }

    /// The body of the `index`th webhook. Of Stripe's, every sixteenth is a refund and every thirty-second a
    /// dispute of the payment right before it, some of them created before the charge that they follow.
    fn fill(&self, index: usize, starts_at: i64, random: &mut Random, payments: &mut Payments) -> Filled {
        let second = starts_at + i64::try_from(index).unwrap() / 40;
        let at =
            Timestamp::from_microsecond(second * 1_000_000 + 17 * (index as i64 % 40) + 250_000).unwrap();
        let is_follow_up = self.name == "stripe" && index % 16 == 15;
        let body = match (is_follow_up, index % 32 == 31) {
            (false, _) => self.name,
            (true, false) => "stripe.refunded",
            (true, true) => "stripe.disputed",
        };
        let template = BODIES.iter().find(|(name, _)| *name == body).unwrap().1;
        let created =
            if is_follow_up && index % 64 == 47 { second - 90 } else { second - 2 + (index as i64 % 2) };
        let currency = random.pick(&["usd", "usd", "usd", "eur", "eur", "gbp", "jpy", "kwd", "sek"]);
        // Stripe counts three-decimal currencies in tens of the smallest unit.
        let amount = match (currency, random.below(50)) {
            ("kwd", _) => 10 * (1 + random.below(99_999)),
            (_, 0) => 100_000 + random.below(9_000_000),
            _ => 100 + random.below(60_000),
        };
        let payment = match payments.last.get(self.name) {
            Some(payment) if is_follow_up => payment.clone(),
            _ => format!("pi_{}", random.text(24)),
        };
        payments.last.insert(self.name, payment.clone());
        let (brand, last4) =
            (random.pick(&["visa", "mastercard", "amex"]), format!("{:04}", random.below(10_000)));
        let (name, city, street, item) = random.pick(&[
            ("Ingrid Sjöberg", "Göteborg", "Vasagatan 12", "Filterkaffee 1 kg"),
            ("Jonas Weber", "Köln", "Venloer Straße 301", "Espresso Brasil 500 g"),
            ("Maria Oliveira", "Porto", "Rua das Flores 8", "Mug, black"),
            ("Tom Baker", "Leeds", "4 Water Lane", "Grinder G2"),
        ]);
        let when = Timestamp::from_second(created).unwrap();
        let (charge, key, request) = (format!("ch_{}", random.text(24)), random.uuid(), random.next());
        let customer = format!("cus_{}", random.text(14));
        let order = format!("NK-{:06}", 100_000 + index);
        let exponent = match currency {
            "jpy" => 0,
            "kwd" => 3,
            _ => 2,
        };
        let fields: [(&str, String); 33] = [
            ("event", format!("evt_{}", random.text(24))),
            ("created", created.to_string()),
            ("charged", (created - 3_600).to_string()),
            ("due", (created + 1_296_000).to_string()),
            ("when", when.to_string()),
            ("charge", charge),
            ("dispute", format!("du_{}", random.text(24))),
            ("amount", amount.to_string()),
            ("refunded", (amount / 2 / 10 * 10).to_string()),
            ("refunded_before", (amount / 8 / 10 * 10).to_string()),
            ("decimal", decimal(amount, exponent)),
            ("balance", format!("txn_{}", random.text(24))),
            ("city", city.to_owned()),
            ("country", random.pick(&["SE", "DE", "PT", "GB"]).to_owned()),
            ("street", street.to_owned()),
            ("postcode", format!("{:05}", random.below(100_000))),
            ("email", format!("customer{index}@example.com")),
            ("name", name.to_owned()),
            ("currency", currency.to_owned()),
            ("CURRENCY", currency.to_ascii_uppercase()),
            ("customer", customer),
            ("order", order),
            ("item", item.to_owned()),
            ("cart", random.uuid()),
            ("risk", random.below(75).to_string()),
            ("payment", payment),
            ("method", format!("pm_{}", random.text(24))),
            ("brand", brand.to_owned()),
            ("card_country", random.pick(&["SE", "DE", "US", "GB"]).to_owned()),
            ("fingerprint", random.text(16)),
            ("last4", last4),
            ("psp", random.text(16)),
            ("key", key),
        ];
        let mut body = String::with_capacity(template.len() + 256);
        let mut pieces = template.trim_end().split('@');
        body.push_str(pieces.next().unwrap());
        while let (Some(field), Some(text)) = (pieces.next(), pieces.next()) {
            match fields.iter().find(|(name, _)| *name == field) {
                Some((_, value)) => body.push_str(value),
                None if field == "request" => write!(body, "req_{request:016x}").unwrap(),
                None if field == "signature" => body.push_str(&random.text(44)),
                None => panic!("no field {field} for {}", self.name),
            }
            body.push_str(text);
        }
        Filled { body, at, request }
    }

    fn headers(&self, filled: &Filled) -> Headers {
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/json; charset=utf-8");
        headers.push("User-Agent", format!("{}/1.0 (+https://example.com)", self.name));
        if self.name == "razorpay" {
            headers.push("X-Razorpay-Event-Id", format!("ev_{:016x}", filled.request));
        }
        let to_sign = ToSign { headers: &headers, query: "", body: filled.body.as_bytes(), url: None };
        match self.endpoint.sign(to_sign, &self.keys, filled.at) {
            Ok(signed) => signed.headers,
            // PayPal's, which only PayPal can sign.
            Err(_) => headers,
        }
    }

    fn message(&self, filled: &Filled, random: &mut Random) -> IntakeMessage {
        let headers = self.headers(filled);
        let received = Received { headers: &headers, query: "", body: filled.body.as_bytes() };
        let facts: Vec<Facts<'_>> = self.endpoint.normalise(Trusted::for_inspection(received)).unwrap();
        let first = facts.first().unwrap();
        assert!(first.unrecognized.is_none(), "{}: {:?}", self.name, first.unrecognized);
        let event_id = LedgerKey::new(self.endpoint.id(), &first.event_id).event_id().to_string();
        let (encoding, body) = encode(filled.body.as_bytes());
        IntakeMessage {
            webhook_id: WebhookId::new(
                filled.at,
                u128::from(random.next()) << 64 | u128::from(random.next()),
            ),
            endpoint: *self.endpoint.id(),
            provider: *self.endpoint.provider(),
            received_at: filled.at,
            source_ip: format!("203.0.113.{}", random.below(256)),
            key_id: "2026-01".to_owned(),
            notes: Notes {
                authenticity: self.endpoint.authenticity(),
                body_sha256: hex_sha256(filled.body.as_bytes()).into(),
                signed_at: Timestamp::from_second(filled.at.as_second()).ok(),
                taken_in_at: None,
                claimed: first.event_id.to_string().into(),
                conflicts: Vec::new(),
                only_transaction: None,
                replayed_by: None,
            },
            request: RequestParts { headers: self.endpoint.kept_headers(&headers), query: String::new() },
            encoding,
            body,
            delivery: self.endpoint.delivery(),
            group: first.transaction_id.as_deref().unwrap_or(&event_id).to_owned(),
            deduplication_id: event_id.clone(),
            event_id,
            trace: None,
        }
    }
}

/// A record with every field that the SQS event source mapping sends ("Using Lambda with Amazon SQS", developer
/// guide), in its order. Nobody checks the MD5 sums: they are of the right length.
fn record(
    sender: &Sender,
    index: usize,
    filled: &Filled,
    random: &mut Random,
    is_fifo: bool,
    is_poison: bool,
) -> String {
    let message = sender.message(filled, random);
    let sent_ms = filled.at.as_millisecond() + 6;
    let mut attributes: BTreeMap<&str, String> = BTreeMap::from([
        ("ApproximateFirstReceiveTimestamp", (sent_ms + 41).to_string()),
        ("ApproximateReceiveCount", "1".to_owned()),
        ("SenderId", "AROAEXAMPLEEXAMPLEEXA:webhook-validator-live".to_owned()),
        ("SentTimestamp", sent_ms.to_string()),
    ]);
    if is_fifo {
        attributes.insert("MessageDeduplicationId", message.deduplication_id.clone());
        attributes.insert("MessageGroupId", message.group.clone());
        attributes
            .insert("SequenceNumber", (18_889_400_000_000_000_000_u128 + 256 * index as u128).to_string());
    }
    let carried: BTreeMap<&str, TextAttribute> = message
        .attributes()
        .into_iter()
        .map(|(name, value)| {
            let value =
                if is_poison && name == attribute::RECEIVED_AT { "yesterday".to_owned() } else { value };
            (name, TextAttribute { string_value: value, ..TextAttribute::default() })
        })
        .collect();
    let queue = if is_fifo { "webhook-intake-ordered-live.fifo" } else { "webhook-intake-live" };
    let text = |value: &str| serde_json::to_string(value).unwrap();
    format!(
        "{{\"messageId\":\"{}\",\"receiptHandle\":\"AQEB{}\",\"body\":{},\"attributes\":{},\
         \"messageAttributes\":{},\"md5OfMessageAttributes\":\"{}\",\"md5OfBody\":\"{}\",\
         \"eventSource\":\"aws:sqs\",\"eventSourceARN\":\"arn:aws:sqs:eu-central-1:123456789012:{queue}\",\
         \"awsRegion\":\"eu-central-1\"}}",
        random.uuid(),
        random.text(408),
        text(&message.body),
        serde_json::to_string(&attributes).unwrap(),
        serde_json::to_string(&carried).unwrap(),
        random.hex(32),
        random.hex(32),
    )
}

/// A message attribute, its fields in the order of Lambda's example event ("Using Lambda with Amazon SQS").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextAttribute {
    string_value: String,
    string_list_values: [(); 0],
    binary_list_values: [(); 0],
    data_type: &'static str,
}

impl Default for TextAttribute {
    fn default() -> Self {
        Self {
            string_value: String::new(),
            string_list_values: [],
            binary_list_values: [],
            data_type: "String",
        }
    }
}

fn decimal(units: u64, exponent: u32) -> String {
    let scale = 10_u64.pow(exponent);
    match exponent {
        0 => units.to_string(),
        _ => format!("{}.{:0width$}", units / scale, units % scale, width = exponent as usize),
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough for test data, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(self.pick(LETTERS))).collect()
    }

    fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(self.pick(b"0123456789abcdef"))).collect()
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}
