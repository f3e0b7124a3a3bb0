//! One spelling for everything that a sender writes: what says the same in another way is refused, for every row of
//! the catalogue.

use aws_lc_rs::hmac;
use tollgate_core::id::to_hex;
use tollgate_providers::{
    Refusal,
    catalogue::Provider,
    scheme::{Algorithm, Encoding, SchemeSpec},
};

use crate::providers::{Case, NOW, case, key_text, now, received, signable};

/// Rows whose rule is data and whose signature is in a header.
fn in_header() -> impl Iterator<Item = (&'static Provider, &'static SchemeSpec, String)> {
    signable().filter_map(|row| {
        let scheme = row.scheme.as_ref()?;
        let family = scheme.families.first().map(String::as_str).unwrap_or_default();
        let name = scheme.signature.header.as_ref()?.replacen('*', family, 1);
        Some((row, scheme, name))
    })
}

impl Case {
    fn with_header(&self, name: &str, value: &str) -> Self {
        let Self { endpoint, keys, signed } = self;
        let mut signed = signed.clone();
        signed.headers.remove(name);
        signed.headers.push(name, value);
        let endpoint = tollgate_providers::Endpoint::new(endpoint.config().clone()).unwrap();
        Self { endpoint, keys: keys.clone(), signed }
    }
}

#[test]
fn a_signature_has_one_spelling() {
    for (row, scheme, header) in in_header() {
        let case = case(row);
        let good = case.signed.headers.get(&header).unwrap().to_owned();
        // The signature within its entry.
        let start = match scheme.encoding {
            Encoding::Base64 => start_of_base64(&good, row),
            Encoding::Text => 0,
            _ => good.rfind(['=', ',', ' ', '/']).map_or(0, |at| at + 1),
        };
        let (head, signature) = good.split_at(start);
        let mut bad = vec![
            format!(" {good}"),
            format!("{good} "),
            format!("{good}\t"),
            format!("{good}\n"),
            format!("{good}\0"),
            format!("{head} {signature}"),
            format!("\"{good}\""),
            format!("{head}\"{signature}\""),
            format!("{good}00"),
            format!("{good};"),
            format!("{good}=x"),
            format!("{good}é"),
            format!("{head}é{}", &signature[1..]),
            format!("{head}0x{signature}"),
            format!("{head}{}", &signature[..signature.len() - 1]),
            format!("{head}{}", &signature[..signature.len() - 2]),
            format!("{head}{}", &signature[..8]),
            head.to_owned(),
            String::new(),
            signature.repeat(2),
            "a".repeat(10_000),
        ];
        if head != good && !head.is_empty() {
            // HTTP's own authentication schemes are written in any case.
            if head != "Basic " {
                bad.push(head.to_uppercase() + signature);
            }
            // Mollie's prefix may be absent.
            if row.name != "mollie" {
                bad.push(signature.to_owned());
            }
        }
        match scheme.encoding {
            Encoding::Hex => bad.push(format!("{head}{}", signature.to_uppercase())),
            Encoding::Base64 => {
                bad.push(format!("{head}{}", signature.trim_end_matches('=')));
                bad.push(format!("{head}{signature}="));
                bad.push(format!("{head}{}", signature.replacen('=', "", 1)));
                bad.push(format!("{head}{}", signature.to_lowercase()));
                let url_safe = signature.replace('+', "-").replace('/', "_");
                if url_safe != signature {
                    bad.push(format!("{head}{url_safe}"));
                }
            }
            _ => {}
        }
        for value in bad {
            let is_longer = value.strip_prefix(&good).is_some_and(|rest| is_a_list_with(scheme, rest));
            // A space before the first entry of a list of spaces is an empty entry.
            let is_led_by_space =
                scheme.signature.separator.as_deref() == Some(" ") && value.trim_start() == good;
            if value == good || is_longer || is_led_by_space {
                continue;
            }
            let verdict = case.with_header(&header, &value).verify();
            assert!(verdict.is_err(), "{}: {value:?}", row.name);
        }
        let joined = case.with_header(&header, &format!("{good}, {good}")).verify();
        // Two headers made one by an HTTP library: of a list, entries that fit are left over.
        assert!(scheme.signature.separator.is_some() || joined.is_err(), "{}", row.name);
    }
}

/// Whether what follows a good entry is further entries, which are skipped.
fn is_a_list_with(scheme: &SchemeSpec, rest: &str) -> bool {
    scheme.signature.separator.as_deref().is_some_and(|separator| rest.starts_with(separator))
}

fn start_of_base64(good: &str, row: &Provider) -> usize {
    match row.name.as_str() {
        "chargebee" => "Basic ".len(),
        _ => good.find(',').map_or(0, |at| at + 1),
    }
}

#[test]
fn an_authentication_scheme_of_http_is_written_in_any_case() {
    let mut rows = 0;
    for (row, _, header) in in_header().filter(|(.., header)| header.eq_ignore_ascii_case("Authorization")) {
        let case = case(row);
        let good = case.signed.headers.get(&header).unwrap().to_owned();
        let Some(credentials) = good.strip_prefix("Basic ") else { continue };
        rows += 1;
        for scheme in ["Basic", "basic", "BASIC", "bASIC"] {
            let verdict = case.with_header(&header, &format!("{scheme} {credentials}")).verify();
            assert_eq!(verdict, Ok("1".to_owned()), "{}: {scheme}", row.name);
        }
        for bad in ["Basic  ", "Basic", "Basic\t", "Digest ", "Basics ", ""] {
            let verdict = case.with_header(&header, &format!("{bad}{credentials}")).verify();
            assert!(verdict.is_err(), "{}: {bad:?}", row.name);
        }
    }
    assert_eq!(rows, 1, "Chargebee");
}

#[test]
fn left_over_bits_of_base64_are_refused() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (row, scheme, header) in in_header().filter(|(_, scheme, _)| scheme.encoding == Encoding::Base64) {
        let case = case(row);
        let good = case.signed.headers.get(&header).unwrap().to_owned();
        let text = good.trim_end_matches('=');
        let (last, padding) = (text.len() - 1, good.len() - text.len());
        if padding == 0 {
            continue;
        }
        let place = ALPHABET.iter().position(|c| *c == good.as_bytes()[last]).unwrap();
        let spelled = char::from(ALPHABET[place + 1]);
        let value = format!("{}{spelled}{}", &good[..last], "=".repeat(padding));
        assert!(case.with_header(&header, &value).verify().is_err(), "{}: {scheme:?}", row.name);
    }
}

/// Everything that some parser takes for the same moment, or for one that passes.
fn other_spellings(text: &str) -> Vec<String> {
    let mut all = vec![
        format!("+{text}"),
        format!("-{text}"),
        format!(" {text}"),
        format!("{text} "),
        format!("{text}\n"),
        format!("0{text}"),
        format!("00{text}"),
        format!("{text}.0"),
        format!("{text}e0"),
        format!("{text}abc"),
        format!("{text},{text}"),
        format!("{}_{}", &text[..1], &text[1..]),
        text.chars().map(|c| c.to_digit(10).and_then(|d| char::from_u32(0x0660 + d)).unwrap_or(c)).collect(),
        text.chars().map(|c| c.to_digit(10).and_then(|d| char::from_u32(0xff10 + d)).unwrap_or(c)).collect(),
        "0x68e77ae0".to_owned(),
        "1.76e9".to_owned(),
        "NaN".to_owned(),
        "Infinity".to_owned(),
        "99999999999999999999".to_owned(),
        "-1".to_owned(),
        "0".to_owned(),
        String::new(),
    ];
    // Rows that read seconds are sent milliseconds, and the other way about.
    all.push(if text.len() == 13 { NOW.to_string() } else { (NOW * 1000).to_string() });
    all
}

#[test]
fn a_timestamp_has_one_spelling_however_well_it_is_signed() {
    let mut rows = 0;
    for (row, scheme, header) in in_header() {
        let (Some(timestamp), Algorithm::HmacSha256) = (&scheme.timestamp, scheme.algorithm) else {
            continue;
        };
        rows += 1;
        let case = case(row);
        let good = timestamp_text(&case, scheme, &header);
        for text in other_spellings(&good) {
            // Without a window of its own a row takes any moment, and milliseconds for seconds.
            let is_digits =
                text.len() > 1 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
            if timestamp.window.is_none() && (is_digits && text.len() <= 15 || text == "0") {
                continue;
            }
            let forged = signed_over(row, scheme, &case, &header, &good, &text);
            let verdict = forged.verify();
            assert!(verdict.is_err(), "{}: {text:?}", row.name);
            // The signature itself was good: nothing but the timestamp's form stood in its way.
            let told = forged.endpoint.explain(received(&forged.signed), &forged.keys, None, now());
            let matched = told.checks.iter().find(|check| check.name == "signature matches");
            let is_reached = !text.is_empty() && !text.contains(',');
            assert!(
                !is_reached || matched.is_some_and(|check| check.passed == Some(true)),
                "{}: {text:?}: {told:?}",
                row.name
            );
        }
        // The same code signs the good text well.
        assert!(signed_over(row, scheme, &case, &header, &good, &good).verify().is_ok(), "{}", row.name);
    }
    assert!(rows >= 11, "{rows} rows with a timestamp");
}

fn timestamp_text(case: &Case, scheme: &SchemeSpec, header: &str) -> String {
    let timestamp = scheme.timestamp.as_ref().unwrap();
    let family = scheme.families.first().map(String::as_str).unwrap_or_default();
    if let Some(name) = &timestamp.header {
        return case.signed.headers.get(&name.replacen('*', family, 1)).unwrap().to_owned();
    }
    let list = case.signed.headers.get(header).unwrap();
    let first = list.split(scheme.signature.separator.as_deref().unwrap()).next().unwrap();
    first.split_once('=').map_or(first, |(_, text)| text).to_owned()
}

/// The webhook with another timestamp, signed over it by hand.
fn signed_over(
    row: &Provider,
    scheme: &SchemeSpec,
    case: &Case,
    header: &str,
    good: &str,
    text: &str,
) -> Case {
    let family = scheme.families.first().map(String::as_str).unwrap_or_default();
    let stated = match scheme.timestamp.as_ref().unwrap().header.as_ref() {
        Some(name) => case.with_header(&name.replacen('*', family, 1), text),
        None => {
            let list = case.signed.headers.get(header).unwrap();
            case.with_header(header, &list.replacen(good, text, 1))
        }
    };
    let content =
        case.endpoint.explain(received(&case.signed), &case.keys, None, now()).signed_content.unwrap();
    let content = content.replacen(good, text, 1);
    let spec = tollgate_providers::scheme::KeyForm::Base64;
    let key = key_text(row, 1);
    let key = match scheme.key.form == spec {
        true => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(key.trim_start_matches("whsec_")).unwrap()
        }
        false => key.into_bytes(),
    };
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
    let encode = |bytes: &[u8]| match scheme.encoding {
        Encoding::Base64 => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        }
        _ => to_hex(bytes),
    };
    let old_content =
        case.endpoint.explain(received(&case.signed), &case.keys, None, now()).signed_content.unwrap();
    let old = encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), old_content.as_bytes()).as_ref());
    let value = stated.signed.headers.get(header).unwrap();
    assert!(value.contains(&old), "{}: {value} does not hold {old}", row.name);
    let value = value.replacen(&old, &encode(mac.as_ref()), 1);
    stated.with_header(header, &value)
}

#[test]
fn a_list_holds_sixteen_signatures_and_no_more() {
    let mut lists = 0;
    for (row, scheme, header) in in_header() {
        let Some(separator) = &scheme.signature.separator else { continue };
        lists += 1;
        let case = case(row);
        let good = case.signed.headers.get(&header).unwrap().to_owned();
        let entry = good.rsplit_once(separator.as_str()).map_or(good.as_str(), |(_, entry)| entry).to_owned();
        let signature_at = entry
            .rfind(['=', ',', '/'])
            .filter(|at| at + 1 < entry.len() && entry.contains("SHA256/") || entry[..*at].len() < 4);
        let wrong = match (scheme.encoding, signature_at) {
            (Encoding::Base64, _) => {
                format!("{}{}", &entry[..entry.find(',').unwrap() + 1], "A".repeat(43) + "=")
            }
            (_, Some(at)) => format!("{}{}", &entry[..=at], "0".repeat(64)),
            (_, None) => "0".repeat(64),
        };
        for (others, expected) in [(15, Ok("1".to_owned())), (16, Err(Refusal::TooManyCandidates))] {
            let list = [vec![good.clone()], vec![wrong.clone(); others]].concat().join(separator);
            assert_eq!(case.with_header(&header, &list).verify(), expected, "{}: {list}", row.name);
        }
    }
    assert!(lists >= 7, "{lists} lists");
}

#[test]
fn bytes_are_signed_as_they_are() {
    let bodies: [&[u8]; 7] = [
        b"\xef\xbb\xbf{}",
        b"{}\r\n",
        b"\0",
        b"a\0b",
        b"\xff\xfe\x80",
        "{\"a\":\"\u{1f4b6}\"}".as_bytes(),
        b" ",
    ];
    let signs_the_body = |row: &&Provider| {
        let takes_any = row.scheme.as_ref().is_none_or(|scheme| !scheme.require_json);
        row.info().unwrap().signed.contains("{body}") && takes_any || row.name == "plaid"
    };
    for row in signable().filter(signs_the_body) {
        let case = case(row);
        for body in bodies {
            let signed = crate::providers::sign(&case.endpoint, &case.keys, body, NOW);
            let verdict = |body: Vec<u8>| {
                let mut signed = signed.clone();
                signed.body = body;
                case.endpoint.verify(received(&signed), &case.keys, None, now()).is_ok()
            };
            assert!(verdict(body.to_vec()), "{}: {body:?}", row.name);
            for other in [
                body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec),
                Some([b"\xef\xbb\xbf", body].concat()),
                Some([body, b"\n"].concat()),
                body.strip_suffix(b"\r\n").map(|body| [body, b"\n"].concat()),
                body.split(|b| *b == 0).next().map(<[u8]>::to_vec),
                Some(String::from_utf8_lossy(body).into_owned().into_bytes()),
                Some(body.trim_ascii().to_vec()),
            ]
            .into_iter()
            .flatten()
            .filter(|other| other != body)
            {
                assert!(!verdict(other.clone()), "{}: {body:?} as {other:?}", row.name);
            }
        }
    }
}

#[test]
fn the_url_is_signed_character_for_character() {
    let case = case(tollgate_providers::catalogue::find("square").unwrap());
    for url in [
        "https://hooks.example.com/webhook/square/",
        "https://hooks.example.com:443/webhook/square",
        "http://hooks.example.com/webhook/square",
        "https://HOOKS.example.com/webhook/square",
        "https://hooks.example.com/webhook/squar%65",
        "https://hooks.example.com/webhook/square?",
        "https://hooks.example.com/webhook/square#x",
        "https://hooks.example.com/webhook//square",
    ] {
        let mut config = case.endpoint.config().clone();
        config.notification_url = Some(url.to_owned());
        let endpoint = tollgate_providers::Endpoint::new(config).unwrap();
        let verdict = endpoint.verify(received(&case.signed), &case.keys, None, now());
        assert_eq!(verdict.unwrap_err(), Refusal::Mismatch, "{url}");
    }
}

#[test]
fn the_query_is_read_decoded_and_once() {
    let case = case(tollgate_providers::catalogue::find("mercadopago").unwrap());
    for (query, expected) in [
        ("data.id=ord01&type=order", true),
        ("type=order&data.id=ord01", true),
        ("data%2Eid=ord%30%31", true),
        ("data.id=ORD01", true),
        ("data.id=%4Frd01", true),
        ("data.id=ord02", false),
        ("data.id=ord01&data.id=ord01", false),
        ("data.id=ord01%20", false),
        ("data.id=ord01+", false),
        ("data.id=ord01%3B", false),
        ("data.id=", false),
        ("id=ord01", false),
        ("", false),
        ("data.id=\u{ff4f}rd01", false),
    ] {
        let mut signed = case.signed.clone();
        signed.query = query.to_owned();
        let verdict = case.endpoint.verify(received(&signed), &case.keys, None, now());
        assert_eq!(verdict.is_ok(), expected, "{query}");
    }
}

/// HMACs of `content` with the row's first key, in hex: of a content that no signer of ours would make.
fn hex_mac(row: &Provider, content: &str) -> String {
    to_hex(
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key_text(row, 1).as_bytes()), content.as_bytes())
            .as_ref(),
    )
}

#[test]
fn a_value_of_any_case_is_signed_as_sent_or_in_lower_case() {
    let row = tollgate_providers::catalogue::find("mercadopago").unwrap();
    let case = case(row);
    let signed_over = |id: &str| {
        let mac = hex_mac(row, &format!("id:{id};request-id:r-1;ts:{NOW}000;"));
        case.with_header("x-signature", &format!("ts={NOW}000,v1={mac}"))
    };
    for (sent, signed, expected) in [
        ("ord01", "ord01", true),
        ("ORD01", "ord01", true),
        ("ORD01", "ORD01", true),
        ("oRd01", "ord01", true),
        // Nothing else than what was sent, or that in lower case.
        ("ord01", "ORD01", false),
        ("oRd01", "ORD01", false),
        ("ORD02", "ord01", false),
        // The case of ASCII letters alone.
        ("%C3%89", "\u{c9}", true),
        ("%C3%89", "\u{e9}", false),
    ] {
        let mut case = signed_over(signed);
        case.signed.query = format!("data.id={sent}&type=order");
        let told = case.endpoint.explain(received(&case.signed), &case.keys, None, now());
        assert_eq!(case.verify().is_ok(), expected, "{sent} signed as {signed}");
        assert_eq!(told.code.is_none(), expected, "{sent} signed as {signed}: {told:?}");
    }
}

#[test]
fn a_signature_of_nothing_of_the_webhook_is_refused_however_good() {
    let mut rows = 0;
    for (row, scheme, header) in in_header() {
        // Rows whose content may be without each value of a webhook.
        let required: String =
            scheme.signed.split('[').map(|part| part.rsplit(']').next().unwrap()).collect();
        let is_of_a_webhook = |text: &str| {
            ["{body}", "{header:", "{query", "{form:", "{json:"].iter().any(|part| text.contains(part))
        };
        if !is_of_a_webhook(&scheme.signed) || is_of_a_webhook(&required) {
            continue;
        }
        rows += 1;
        let content = required.replace("{timestamp}", &format!("{NOW}000"));
        let mac = hex_mac(row, &content);
        for (query, request_id) in [("", None), ("data.id=", None), ("type=order", Some(""))] {
            let mut case = case(row).with_header(&header, &format!("ts={NOW}000,v1={mac}"));
            case.signed.query = query.to_owned();
            case.signed.headers.remove("x-request-id");
            if let Some(value) = request_id {
                case.signed.headers.push("x-request-id", value);
            }
            assert_eq!(case.verify(), Err(Refusal::Missing("data.id".to_owned())), "{}: {content}", row.name);
        }
        // Each of the values alone is enough.
        for (content, query, request_id) in [
            (format!("id:ord01;{content}"), "data.id=ord01", ""),
            (format!("request-id:r-1;{content}"), "", "r-1"),
        ] {
            let signature = format!("ts={NOW}000,v1={}", hex_mac(row, &content));
            let mut case = case(row).with_header(&header, &signature).with_header("x-request-id", request_id);
            case.signed.query = query.to_owned();
            assert_eq!(case.verify(), Ok("1".to_owned()), "{}: {content}", row.name);
        }
    }
    assert_eq!(rows, 1, "Mercado Pago");
}
