use std::borrow::Cow;

use super::*;
use crate::{Customer, EventType, PaymentMethod};

fn masked(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    mask(&mut text);
    text.into_owned()
}

/// Test numbers that schemes and providers publish.
const CARDS: [&str; 17] = [
    "4242424242424242",
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "30569309025904",
    "36227206271667",
    "3566002020360505",
    "6011111111111117",
    "6200000000000005",
    "6759649826438453",
    "6759180000005546",
    "2200000000000004",
    "6062826786276634",
    "5019717010103742",
];

#[test]
fn card_numbers_are_masked_however_they_are_written() {
    for card in CARDS {
        let (first, last) = (&card[..6], &card[card.len() - 4..]);
        let hidden = format!("{first}{}{last}", "*".repeat(card.len() - 10));
        assert_eq!(masked(card), hidden);
        for around in [
            "card {}!",
            "PAN{}",
            "x{}",
            "%B{}^ADA/L^",
            ";{}=",
            "a\"{}\"",
            "cus_{}",
            "no:{},",
            "é{}",
            "{}x",
            "VISA{}EXP",
            "pan%3D{}%26",
        ] {
            assert_eq!(masked(&around.replace("{}", card)), around.replace("{}", &hidden), "{around}");
        }
        // Nobody sees some of them, and a URL has others in escapes.
        for separator in [
            " ",
            "-",
            ".",
            "_",
            " - ",
            "\u{a0}",
            "\u{2009}",
            "\u{2013}",
            "\u{200b}",
            "\u{200d}",
            "\u{2060}",
            "\u{feff}",
            "\u{ad}",
            "\u{fe0f}",
            "\u{20e3}",
            "\0",
            " \u{200b}",
            "%20",
            "%C2%A0",
            "%e2%80%8b",
            "%2D",
        ] {
            for size in [1, 2, 3, 4, 5, 6] {
                let parts: Vec<String> = card
                    .as_bytes()
                    .chunks(size)
                    .map(|part| String::from_utf8(part.to_vec()).unwrap())
                    .collect();
                let text = masked(&parts.join(separator));
                assert_eq!(text.replace(separator, ""), hidden, "{card} by {size} with {separator:?}");
            }
        }
    }
    assert_eq!(masked("４２４２４２４２４２４２４２４２"), "４２４２４２******４２４２");
}

#[test]
fn card_numbers_are_masked_in_their_usual_groups_whatever_is_between() {
    for groups in ["4242 4242 4242 4242", "3782 822463 10005", "3056 930902 5904", "6200 0000 0000 0000 000"]
    {
        let hidden = masked(groups);
        assert_ne!(hidden, groups);
        for separator in ["/", ",", "+", ":", "|", "*", ", ", " / ", "\",\"", "%2F", "%2C", "%3A", "%2B"] {
            for around in ["{}", "pan={}", "card:{}", "({})", "VISA{}"] {
                let of = |groups: &str| around.replace("{}", &groups.replace(' ', separator));
                assert_eq!(masked(&of(groups)), of(&hidden));
            }
        }
        let mixed = groups.replacen(' ', "/", 1).replace(' ', ":");
        assert_eq!(masked(&mixed), mixed);
    }
}

#[test]
fn what_stands_beside_a_card_number_is_masked_with_it() {
    for (text, expected) in [
        ("4242424242424242D25121011000", "424242******4242D***********"),
        ("4242424242424242d2512101123456789F", "424242******4242d****************F"),
        ("378282246310005D2512101", "378282*****0005D*******"),
        ("VISA4242424242424242EXP1225", "VISA424242******4242EXP****"),
        ("4242424242424242exp1225", "424242******4242exp****"),
        ("PAN4242424242424242ExpDate122025CVV123", "PAN424242******4242ExpDate******CVV***"),
        ("n%204242424242424242%20exp%2012%2F25", "n%20424242******4242%20exp%20**%2F**"),
        ("4242%204242%204242%204242", "4242%2042**%20****%204242"),
        ("4242|4242|4242|4242|12|25|123", "4242|42**|****|4242|**|**|***"),
        ("4242/4242/4242/4242/1225/123", "4242/42**/****/4242/****/***"),
        ("4242 4242 4242 4242 exp 12/30 cvv 123", "4242 42** **** 4242 exp **/** cvv ***"),
        ("123 4242424242424242", "*** 424242******4242"),
        ("4242424242424242,378282246310005", "424242******4242,378282*****0005"),
        ("4242 4242 4242 4242EUR", "4242 42** **** 4242EUR"),
        ("order 7: 4242-4242-4242-4242", "order *: 4242-42**-****-4242"),
    ] {
        assert_eq!(masked(text), expected);
    }
}

#[test]
fn what_is_no_card_number_stays_as_it_is() {
    for text in [
        "",
        "4242424242424241",
        "1234567812345670",
        "9999999999999995",
        "42424242424242424242",
        "94242424242424242",
        "424242424242",
        "1767323045000",
        "2026-01-02T03:04:05.000000000Z",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        // Hashes and ids in which the digits are a part of a word with letters and other digits.
        "a4242424242424242b7",
        "a4242424242424242D25121011000b",
        "4242424242424242b7c6d5",
        "pi_3Abc4242424242424242def1",
        "pi_Abc4242424242424242dEf3",
        "4242424242424242exp123456789",
        "4242424242424242D121225",
        "1f4242424242424242",
        "T2206202020325589144911",
        "DE89370400440532013000",
        // A UUID whose groups pass for a card number's.
        "42424242-4242-4242-8abc-0123456789ab",
        // Marks between groups that no card has, or more of them.
        "424242424242,4242",
        "4,2,4,2,4,2,4,2,4,2,4,2,4,2,4,2",
        "4242,4242,4242,4242,4242,4242",
        "4001,4242,4242,4242,4242",
        "4242:4242,4242:4242",
    ] {
        assert_eq!(masked(text), text);
    }
}

/// The quick look and the long one agree: no text is passed over.
#[test]
fn every_text_with_digits_enough_or_an_at_sign_is_looked_at() {
    for c in '\0'..='\u{ffff}' {
        for (before, after) in [(0, 12), (5, 7), (12, 0)] {
            let text = format!("{}{c}{}", "7".repeat(before), "0".repeat(after));
            let Signs { digits, at } = signs(&text);
            assert_eq!(digits, c.is_ascii_digit() || !c.is_ascii(), "{text:?}");
            assert_eq!(at, c == '@', "{text:?}");
        }
    }
    for len in 0..40 {
        assert_eq!(signs(&"9".repeat(len)).digits, len >= 13, "{len}");
        assert!(!signs(&"/:".repeat(len)).digits && !signs(&"/:".repeat(len)).at);
        assert!(signs(&format!("{}@{}", "?".repeat(len), "A".repeat(40 - len))).at);
    }
}

#[test]
fn addresses_are_replaced_by_their_hash() {
    let hidden = masked("ada@example.com");
    assert!(hidden.len() == 38 && hidden.starts_with("email:"), "{hidden}");
    assert_eq!(masked("Ada@Example.com"), hidden);
    assert_ne!(masked("eve@example.com"), hidden);
    for around in ["<{}>", "cus:{}:7", "a {} b {}", "mailto:{}, {}."] {
        assert_eq!(
            masked(&around.replace("{}", "ada@example.com")),
            around.replace("{}", &hidden),
            "{around}"
        );
    }
    for text in ["@ada", "ada@", "a@b", "name@okbank", "1@2.3", "a @ b.com"] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn names_of_verification_data_are_known_in_any_form() {
    for key in [
        "cvv",
        "CVV2",
        "cvc",
        "card_cvc",
        "cardCvv",
        "cardcvv",
        "card[cvv]",
        "payment.card.cvc2",
        "cvv-code",
        "CVVCode",
        "cid",
        "CID",
        "card_cid",
        "csc",
        "cvn",
        "cvd",
        "cav2",
        "pin",
        "PIN",
        "cardPin",
        "pin_block",
        "PinBlock",
        "securityCode",
        "card_security_code",
        "CardSecurityCode",
        "card verification value",
        "cardVerificationCode",
        "track1",
        "track_2",
        "Track2Data",
        "track_data",
        "magstripe",
        "MagStripeData",
        "magnetic_stripe",
    ] {
        assert!(names_verification_data(key), "{key}");
    }
    for key in [
        "",
        "id",
        "order",
        "cart",
        "shipping",
        "spin",
        "pinterest",
        "tracking",
        "track_title",
        "acid",
        "incident",
        "decided",
        "customer_id",
        "clientId",
        "code",
        "security",
        "verified",
        "machine",
        "coupon_code",
        "cavv",
        "placid",
        "descend",
    ] {
        assert!(!names_verification_data(key), "{key}");
    }
}

fn facts() -> Facts<'static> {
    Facts {
        transaction_id: Some("pi_1".into()),
        movement_id: Some("re_1".into()),
        ..Facts::new("evt_1", "paid", EventType::PaymentSucceeded)
    }
}

#[test]
fn no_text_of_an_event_holds_a_card_number() {
    const CARD: &str = "4242 4242 4242 4242";
    let some = || Some(Cow::Borrowed(CARD));
    let mut all = Facts {
        event_type: CARD.into(),
        aliases: vec!["ch_1".into(), CARD.into()],
        customer: Customer { id: some(), country: some() },
        method: PaymentMethod { kind: some(), brand: some(), country: some() },
        metadata: vec![("card".into(), CARD.into()), (CARD.into(), "x".into())],
        ..facts()
    };
    assert_eq!(cleanse(&mut all, Rules::default()), Ok(()));
    let told = format!("{all:?}");
    assert!(!told.contains(CARD) && told.contains("4242 42** **** 4242"), "{told}");
    assert_eq!(all.aliases, ["ch_1"]);
}

#[test]
fn a_card_number_in_a_customers_id_is_masked_as_in_any_text() {
    let customer = |id: &str, ids: CardsInIds| {
        let customer = Customer { id: Some(Cow::Owned(id.to_owned())), country: None };
        let mut facts = Facts { customer, ..facts() };
        cleanse(&mut facts, Rules { ids, ..Rules::default() }).unwrap();
        facts.customer.id.unwrap().into_owned()
    };
    for id in [
        "card4242424242424242",
        "x4242424242424242",
        "VISA4242424242424242EXP1225",
        "4242424242424242D25121011000",
        "4242/4242/4242/4242",
        "42 42424242 424242",
        "4242424242424242",
        "4222222222222 a",
    ] {
        for ids in [CardsInIds::Any, CardsInIds::NotNumbers] {
            assert_eq!(customer(id, ids), masked(id));
            assert!(masked(id).contains('*'), "{id}");
        }
        assert_eq!(customer(id, CardsInIds::Never), id);
    }
    for id in
        ["4222222222222", "cus_NffrFeUfNV2Hib", "a4242424242424242b7", "42424242-4242-4242-8abc-0123456789ab"]
    {
        assert_eq!(customer(id, CardsInIds::Any), id);
    }
}

#[test]
fn an_id_that_holds_a_card_number_is_no_id() {
    let card = || Cow::Borrowed("card-4242424242424242");
    let cases = [
        ("event_id", Facts { event_id: card(), ..facts() }),
        ("transaction_id", Facts { transaction_id: Some(card()), ..facts() }),
        ("movement_id", Facts { movement_id: Some(card()), ..facts() }),
        ("occurrence", Facts { occurrence: Some(card()), ..facts() }),
    ];
    for (name, mut facts) in cases {
        let before = facts.clone();
        for ids in [CardsInIds::Any, CardsInIds::NotNumbers] {
            let rules = Rules { ids, ..Rules::default() };
            assert_eq!(cleanse(&mut facts, rules), Err(CardInId(name)));
            assert_eq!(facts, before);
        }
        let rules = Rules { ids: CardsInIds::Never, ..Rules::default() };
        assert_eq!(cleanse(&mut facts, rules), Ok(()));
        assert_eq!(facts, before);
    }
}

fn is_id(id: &str) -> bool {
    let mut facts = Facts { transaction_id: Some(Cow::Owned(id.to_owned())), ..facts() };
    cleanse(&mut facts, Rules::default()).is_ok()
}

#[test]
fn a_card_number_in_an_id_is_found_in_one_and_in_its_usual_groups() {
    for card in CARDS.into_iter().filter(|card| card.len() > 13) {
        for around in ["{}", "card-{}", "order_{}_7", "a:{}:b", "é {}", "7.{}", "a:{}EUR"] {
            assert!(!is_id(&around.replace("{}", card)), "{around} {card}");
        }
        for around in ["T{}", "{}x1", "x1{}"] {
            let id = around.replace("{}", card);
            assert!(is_id(&id), "{id}");
        }
    }
    for groups in ["4242-4242-4242-4242", "3782-822463-10005", "3056-930902-5904", "6200-0000-0000-0000-000"]
    {
        for separator in ["-", " ", ".", "_", "\u{a0}", "\u{2013}"] {
            for around in ["{}", "card{s}{}", "{}{s}1230"] {
                let id = around.replace("{}", groups).replace("{s}", "-").replace('-', separator);
                assert!(!is_id(&id), "{id}");
            }
        }
        assert!(is_id(&groups.replacen('-', ".", 1)), "{groups}");
        assert!(is_id(&format!("T{groups}")) && is_id(&format!("{groups}a1")), "{groups}");
    }
    assert!(!is_id("４２４２４２４２４２４２４２４２"));
}

/// Numbers and texts, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % bound
    }

    fn text(&mut self, alphabet: &str, len: usize) -> String {
        let chars = alphabet.as_bytes();
        let bound = u64::try_from(chars.len()).unwrap();
        (0..len).map(|_| char::from(chars[usize::try_from(self.below(bound)).unwrap()])).collect()
    }
}

const HEX: &str = "0123456789abcdef";
const BASE_62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Random ids as providers and merchants make them, 30,000 of each form: how many of them at most are taken for a text with a
/// card number.
#[test]
fn random_ids_are_taken_for_no_card_numbers() {
    type Form = fn(&mut Random) -> String;
    let forms: [(usize, Form); 12] = [
        (5, |random| random.text(HEX, 16)),
        (5, |random| random.text(HEX, 20)),
        (5, |random| random.text(HEX, 24)),
        (2, |random| random.text(HEX, 32)),
        (1, |random| random.text(HEX, 64).to_uppercase()),
        // MongoDB's, which begin with a time: those of 2025.
        (5, |random| format!("67{}", random.text(HEX, 22))),
        (0, |random| {
            let mut group = |len| random.text(HEX, len);
            format!("{}-{}-4{}-8{}-{}", group(8), group(4), group(3), group(3), group(12))
        }),
        (0, |random| format!("pi_3{}", random.text(BASE_62, 23))),
        (0, |random| format!("cus_{}", random.text(BASE_62, 14))),
        (0, |random| random.text(BASE_62, 22)),
        (0, |random| format!("01{}", random.text(CROCKFORD, 24))),
        (0, |random| random.text(CROCKFORD, 16)),
    ];
    for (most, form) in forms {
        let mut random = Random(7);
        let is_changed = |id: &String| masked(id) != *id;
        let changed: Vec<String> = (0..30_000).map(|_| form(&mut random)).filter(is_changed).collect();
        assert!(changed.len() <= most, "{changed:?}");
    }
}

/// Forms of ids that shops and systems make of several numbers, a thousand of each.
#[test]
fn ids_made_of_several_numbers_hold_no_card_number() {
    let mut random = Random(7);
    let mut below = |bound| random.below(bound);
    let mut taken_for_cards_in_texts = 0;
    for _ in 0..1_000 {
        let millis = 1_767_323_045_000 + below(100_000_000_000);
        let (user, count) = (1 + below(999_999), below(1_000_000));
        let day = format!("2{:03}{:02}{:02}", below(100), 1 + below(12), 1 + below(28));
        let ids = [
            format!("{user}-{millis}"),
            format!("{}-{millis}", 1 + user % 999),
            format!("{user}_{millis}_{}", count % 10),
            format!("order-{user}.{}", millis / 1_000),
            format!("{millis}-{user}"),
            format!("{}", millis * 1_000 + count),
            format!("{day}-{count:06}"),
            format!("{day}{count:06}"),
            format!("{user}-{day}-{count:06}"),
            format!("T{}{:06}{count:06}", 100 + below(900), below(1_000_000)),
            format!("GPA.{:04}-{:04}-{:04}-{:05}", below(9_999), below(9_999), below(9_999), below(99_999)),
            format!("{:03}-{:07}-{:07}", below(1_000), below(10_000_000), below(10_000_000)),
            format!(
                "{:08x}-{:04}-4{:03}-8{:03}-{:012}",
                count,
                below(9_999),
                below(999),
                below(999),
                millis / 10
            ),
        ];
        for id in ids {
            assert!(is_id(&id), "{id}");
            taken_for_cards_in_texts += usize::from(masked(&id) != id);
        }
    }
    assert!(taken_for_cards_in_texts > 50, "{taken_for_cards_in_texts}: the forms are easy ones");
}

#[test]
fn ids_that_are_numbers_stay_where_the_settings_say_so() {
    let with = |id: &'static str| Facts {
        event_id: id.into(),
        transaction_id: Some(id.into()),
        aliases: vec![id.into()],
        customer: Customer { id: Some(id.into()), country: None },
        metadata: vec![("order".into(), id.into())],
        ..facts()
    };
    let rules = Rules { ids: CardsInIds::Never, ..Rules::default() };
    let mut numbers = with("4242424242424242");
    assert_eq!(cleanse(&mut numbers, rules), Ok(()));
    let expected =
        Facts { metadata: vec![("order".into(), "424242******4242".into())], ..with("4242424242424242") };
    assert_eq!(numbers, expected);
    // A provider's ids may be numbers while its customers' are the merchant's.
    let rules = Rules { ids: CardsInIds::NotNumbers, ..rules };
    let composite = |event_id: &'static str| Facts { event_id: event_id.into(), ..with("5105105105105100") };
    let mut told = composite("4242424242424242:paid:5105105105105100::1099EUR");
    assert_eq!(cleanse(&mut told, rules), Ok(()));
    assert_eq!(told.event_id, "4242424242424242:paid:5105105105105100::1099EUR");
    assert_eq!(told.customer.id.as_deref(), Some("510510******5100"));
    for event_id in ["4242424242424242:4242 4242 4242 4242", "a:4242424242424242", "x_4242424242424242:1"] {
        assert_eq!(cleanse(&mut composite(event_id), rules), Err(CardInId("event_id")), "{event_id}");
    }
    // Of 13 digits everywhere.
    let mut short = with("4222222222222");
    assert_eq!(cleanse(&mut short, Rules::default()), Ok(()));
    assert_eq!(short.transaction_id.as_deref(), Some("4222222222222"));
    assert_eq!(short.metadata[0].1, "422222***2222");
}

#[test]
fn metadata_is_what_the_settings_name_and_never_verification_data() {
    let pairs = |pairs: &[(&'static str, &'static str)]| -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
        pairs.iter().map(|(key, value)| (Cow::Borrowed(*key), Cow::Borrowed(*value))).collect()
    };
    let all = pairs(&[
        ("order", "7"),
        ("email", "ada@example.com"),
        ("card_number", "4242424242424242"),
        ("cvv", "123"),
        ("raw", r#"{"card": {"cvc" : "123"}}"#),
        ("escaped", r#"["{\"cvc\":1}"]"#),
        ("list", r#"[{"sku":"1"}]"#),
        ("4242424242424242", "a"),
        ("4242420000004242", "b"),
    ]);
    let cleansed = |names: Option<&[String]>| {
        let mut facts = Facts { metadata: all.clone(), ..facts() };
        cleanse(&mut facts, Rules { metadata: names, ..Rules::default() }).unwrap();
        facts.metadata
    };
    let hidden = masked("ada@example.com");
    let kept = cleansed(None);
    let keys: Vec<&str> = kept.iter().map(|(key, _)| &**key).collect();
    assert_eq!(
        keys,
        ["order", "email", "card_number", "list", "424242******4242"],
        "of two that are one when masked the first is kept"
    );
    assert_eq!((&*kept[1].1, &*kept[2].1), (&*hidden, "424242******4242"));
    let names = ["email", "card_number", "cvv"].map(str::to_owned);
    let named = pairs(&[("email", "ada@example.com"), ("card_number", "424242******4242")]);
    assert_eq!(cleansed(Some(&names)), named);
    assert_eq!(cleansed(Some(&[])), pairs(&[]));
}
