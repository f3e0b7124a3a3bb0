//! Prints webhooks that we sign, as vectors: what `scripts/check/sdk-vectors check` gives to the providers' own SDKs.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tollgate_core::{EndpointConfig, EndpointId, Timestamp};
use tollgate_providers::{Endpoint, Headers, KeyMaterial, Secret, ToSign};

/// 2025-10-09T08:53:20Z, the moment at which the SDKs' clock is stopped.
const NOW: i64 = 1_760_000_000;

const URL: &str = "https://hooks.example.com/webhook/square?merchant=caf%C3%A9";

/// Every provider that has an SDK to ask.
const PROVIDERS: [&str; 19] = [
    "stripe",
    "standard_webhooks",
    "svix",
    "adyen",
    "adyen_platform",
    "square",
    "razorpay",
    "braintree",
    "paddle",
    "gocardless",
    "coinbase_commerce",
    "mollie",
    "github",
    "mercadopago",
    "cashfree",
    "chargebee",
    "phonepe",
    "shopify",
    "polar",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for provider in PROVIDERS {
        for (number, body) in bodies(provider).iter().enumerate() {
            println!("{}", signed(provider, number, body)?);
        }
    }
    Ok(())
}

fn signed(
    provider: &str,
    number: usize,
    body: &str,
) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let endpoint = Endpoint::new(EndpointConfig {
        id: EndpointId::new("sample")?,
        scheme: provider.into(),
        secret: "ssm:sample".to_owned(),
        delivery: Default::default(),
        on_duplicate: None,
        tolerance_seconds: None,
        metadata: None,
        ids_hold_no_cards: false,
        require_signed_time: false,
        quiet_after_hours: None,
        keep_rejected: None,
        enrich: false,
        normaliser: None,
        notification_url: Some(URL.to_owned()),
        parameters: BTreeMap::new(),
    })?;
    let key = key(provider);
    let material = KeyMaterial::new("tollgate_public", Secret::new(key.as_str()));
    let keys = endpoint.keys(vec![material])?;
    let mut headers = Headers::new();
    if provider == "shopify" {
        headers.push("X-Shopify-Topic", "orders/paid");
        headers.push("X-Shopify-Shop-Domain", "tollgate.myshopify.com");
        headers.push("X-Shopify-API-Version", "2025-07");
    }
    let query = if provider == "mercadopago" { "data.id=ord01jq4s4&type=order" } else { "" };
    let to_sign = ToSign { headers: &headers, query, body: body.as_bytes(), url: None };
    let signed = endpoint.sign(to_sign, &keys, Timestamp::from_second(NOW)?)?;
    let headers: BTreeMap<&str, &str> = signed.headers.iter().collect();
    let url = if query.is_empty() { URL.to_owned() } else { format!("https://hooks.example.com/mp?{query}") };
    Ok(serde_json::json!({
        "provider": provider,
        "case": format!("signed_by_us_{number}"),
        "headers": headers,
        "url": url,
        "body_base64": STANDARD.encode(&signed.body),
        "key": key,
        "key_id": "tollgate_public",
        "now": NOW,
        "expect": "valid",
    }))
}

fn key(provider: &str) -> String {
    match provider {
        "standard_webhooks" | "svix" => format!("whsec_{}", STANDARD.encode("twenty-four bytes of key")),
        "adyen" | "adyen_platform" => "5ac3".repeat(16),
        "chargebee" | "phonepe" => "tollgate:password".to_owned(),
        _ => format!("tollgate-{provider}-signing-secret"),
    }
}

fn bodies(provider: &str) -> Vec<String> {
    match provider {
        "adyen" => [r#""Shop:1/é\\""#, r#""""#]
            .iter()
            .map(|reference| {
                format!(
                    r#"{{"live":"false","notificationItems":[{{"NotificationRequestItem":{{"pspReference":"PSP1",
                    "originalReference":"PSP0","merchantAccountCode":"Shop","merchantReference":{reference},
                    "amount":{{"value":9007199254740991,"currency":"JPY"}},"eventCode":"REFUND",
                    "success":"false"}}}}]}}"#
                )
            })
            .collect(),
        "braintree" => vec![
            "<notification><timestamp type=\"datetime\">2025-10-09T08:53:20Z</timestamp><kind>check</kind>\
             <subject><check type=\"boolean\">true</check></subject></notification>"
                .to_owned(),
        ],
        _ => {
            let members = match provider {
                "gocardless" => r#""events":[]"#,
                "coinbase_commerce" => r#""event":{"id":"e-1","type":"charge:confirmed","resource":"event"}"#,
                "polar" => r#""type":"order.paid""#,
                _ => r#""type":"payment.paid""#,
            };
            vec![
                format!(r#"{{"id":"tg_1",{members}}}"#),
                format!(r#"{{"id":"tg_2","name":"Łódź 💶 naïve",{members}}}"#),
                format!("{{\n  \"id\": \"tg_3\",\n  \"name\": \"\\u00e9\\/\",\n  {members}\n}}\n"),
            ]
        }
    }
}
