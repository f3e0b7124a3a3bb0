//! `tollgate endpoints new`: a row of the endpoints file, of options or of answers on a terminal.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use serde_json::{Map, Value, json};
use tollgate_providers::{Endpoint, SpecError, catalogue};

use super::file;

/// What `scheme` is where it is no provider's.
const CUSTOM: &str = "custom";

/// The suffix with which a row is checked: any will do.
const SUFFIX: &str = "dev";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The endpoint's name: the last part of its URL
    id: Option<String>,
    /// A provider's name, generic for senders of our own schema, or custom
    #[arg(long)]
    scheme: Option<String>,
    /// Append the row to this file [default: print it]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the key is kept [default: secretsmanager:tollgate/{suffix}/ID]
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
    /// Which intake: fast or ordered
    #[arg(long)]
    delivery: Option<String>,
    /// The URL that the sender signs, exactly as it is registered there
    #[arg(long, value_name = "URL")]
    notification_url: Option<String>,
    /// Whose bodies are sent: generic for our own schema, or a provider's name
    #[arg(long)]
    normaliser: Option<String>,
    /// What events call the sender of a custom scheme
    #[arg(long)]
    name: Option<String>,
    /// Custom: the header that carries the signature
    #[arg(long, value_name = "HEADER")]
    signature_header: Option<String>,
    /// Custom: what separates the entries of that header, where it is a list
    #[arg(long, value_name = "TEXT")]
    separator: Option<String>,
    /// Custom: how the signature is written there
    #[arg(long, value_name = "TEXT")]
    entry: Option<String>,
    /// Custom: what makes the signature
    #[arg(long)]
    algorithm: Option<String>,
    /// Custom: how the signature's bytes are written
    #[arg(long)]
    encoding: Option<String>,
    /// Custom: the header of the signed timestamp
    #[arg(long, value_name = "HEADER")]
    timestamp_header: Option<String>,
    /// Custom: the signed timestamp's entry in the list of the signature
    #[arg(long, value_name = "TEXT")]
    timestamp_entry: Option<String>,
    /// Custom: how the timestamp is written
    #[arg(long, value_name = "UNIT")]
    timestamp_unit: Option<String>,
    /// Custom: how old or how far ahead the timestamp may be
    #[arg(long, value_name = "SECONDS")]
    window: Option<String>,
    /// Custom: the signed content
    #[arg(long, value_name = "TEMPLATE")]
    signed: Option<String>,
    /// Custom: how a key's text becomes its bytes
    #[arg(long, value_name = "FORM")]
    key_form: Option<String>,
}

/// What is known, by the settings' paths. An empty text: the setting is left out.
type Answers = BTreeMap<&'static str, String>;

/// One setting that is asked for.
struct Question {
    at: &'static str,
    option: &'static str,
    text: &'static str,
    /// Whether it is asked for beside the answers before it.
    is_wanted: fn(&Answers) -> bool,
    /// What an empty answer means; an error where there must be one.
    usual: fn(&Answers) -> Option<String>,
}

const QUESTIONS: &[Question] = &[
    Question {
        at: "id",
        option: "ID",
        text: "Name of the endpoint, the last part of its URL (a-z, 0-9, - and _)",
        is_wanted: |_| true,
        usual: |_| None,
    },
    Question {
        at: "scheme",
        option: "--scheme",
        text: "Scheme: a provider's name (`tollgate providers`), generic for senders of our own schema, or custom",
        is_wanted: |_| true,
        usual: |_| None,
    },
    Question {
        at: "scheme.name",
        option: "--name",
        text: "Name of the sender, which events give as their provider",
        is_wanted: is_custom,
        usual: |answers| answers.get("id").cloned(),
    },
    Question {
        at: "scheme.signature.header",
        option: "--signature-header",
        text: "Header that carries the signature",
        is_wanted: is_custom,
        usual: |_| None,
    },
    Question {
        at: "scheme.signature.separator",
        option: "--separator",
        text: "What separates its entries, where it is a list as t=1,v1=2 (empty: it is one signature)",
        is_wanted: is_custom,
        usual: |_| Some(String::new()),
    },
    Question {
        at: "scheme.signature.entry",
        option: "--entry",
        text: "How the signature is written there, as sha256={signature}",
        is_wanted: is_custom,
        usual: |_| Some("{signature}".to_owned()),
    },
    Question {
        at: "scheme.algorithm",
        option: "--algorithm",
        text: "Algorithm: hmac-sha256, hmac-sha512, hmac-sha1, ed25519, ecdsa-p256-sha256, rsa-pkcs1-sha256, sha256, sha512, \
               or token for a text that is always the same",
        is_wanted: is_custom,
        usual: |_| Some("hmac-sha256".to_owned()),
    },
    Question {
        at: "scheme.encoding",
        option: "--encoding",
        text: "How the signature's bytes are written: hex, hex_upper, base64, base64_url, hex_or_base64, or text for a token",
        is_wanted: is_custom,
        usual: |answers| {
            Some(if is(answers, "scheme.algorithm", "token") { "text" } else { "hex" }.to_owned())
        },
    },
    Question {
        at: "scheme.timestamp.entry",
        option: "--timestamp-entry",
        text: "How the signed timestamp is written in that list, as t={timestamp} (empty: it is not there)",
        is_wanted: |answers| is_custom(answers) && has(answers, "scheme.signature.separator"),
        usual: |_| Some(String::new()),
    },
    Question {
        at: "scheme.timestamp.header",
        option: "--timestamp-header",
        text: "Header of the signed timestamp (empty: none is signed, and whoever has seen a webhook can send it again)",
        is_wanted: |answers| {
            is_custom(answers)
                && !has(answers, "scheme.timestamp.entry")
                && !is(answers, "scheme.algorithm", "token")
        },
        usual: |_| Some(String::new()),
    },
    Question {
        at: "scheme.timestamp.unit",
        option: "--timestamp-unit",
        text: "How it is written: seconds, milliseconds, either, rfc3339",
        is_wanted: has_timestamp,
        usual: |_| Some("seconds".to_owned()),
    },
    Question {
        at: "scheme.timestamp.window",
        option: "--window",
        text: "How many seconds old or ahead it may be",
        is_wanted: has_timestamp,
        usual: |_| Some("300".to_owned()),
    },
    Question {
        at: "scheme.signed",
        option: "--signed",
        text: "Signed content, of {body}, {timestamp}, {url}, {secret}, {header:NAME}, {query:NAME} and text between",
        is_wanted: is_custom,
        usual: |answers| {
            let algorithm = answers.get("scheme.algorithm").map(String::as_str);
            let content = match algorithm {
                Some("token") => "{secret}",
                Some("sha256" | "sha512") => "{body}{secret}",
                _ if has_timestamp(answers) => "{timestamp}.{body}",
                _ => "{body}",
            };
            Some(content.to_owned())
        },
    },
    Question {
        at: "scheme.key.form",
        option: "--key-form",
        text: "How a key's text becomes its bytes: utf8, hex, base64, or pem for a public key",
        is_wanted: is_custom,
        usual: |answers| {
            let algorithm = answers.get("scheme.algorithm").map_or("", String::as_str);
            let is_public = ["ed25519", "ecdsa-p256-sha256", "rsa-pkcs1-sha256"].contains(&algorithm);
            Some(if is_public { "pem" } else { "utf8" }.to_owned())
        },
    },
    Question {
        at: "notification_url",
        option: "--notification-url",
        text: "URL that the sender signs, exactly as it is registered there",
        is_wanted: signs_url,
        usual: |_| None,
    },
    Question {
        at: "normaliser",
        option: "--normaliser",
        text: "Whose bodies it sends: generic for our own schema (docs/senders.md), or a provider's name (-: nobody's, and each \
               webhook becomes payment.unrecognized)",
        is_wanted: is_custom,
        usual: |_| Some("generic".to_owned()),
    },
];

fn is(answers: &Answers, at: &str, value: &str) -> bool {
    answers.get(at).is_some_and(|known| known == value)
}

fn has(answers: &Answers, at: &str) -> bool {
    answers.get(at).is_some_and(|known| !known.is_empty())
}

fn is_custom(answers: &Answers) -> bool {
    is(answers, "scheme", CUSTOM)
}

fn has_timestamp(answers: &Answers) -> bool {
    has(answers, "scheme.timestamp.header") || has(answers, "scheme.timestamp.entry")
}

fn signs_url(answers: &Answers) -> bool {
    let row = answers.get("scheme").and_then(|name| catalogue::find(name));
    row.is_some_and(|row| row.info().is_ok_and(|info| info.signs_url))
        || answers.get("scheme.signed").is_some_and(|content| content.contains("{url}"))
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = args.file.clone();
    let mut answers = given(args);
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    let is_asked = input.is_terminal() && output.is_terminal();
    let mut ask = |question: &str| -> anyhow::Result<Option<String>> {
        write!(output, "{question}: ")?;
        output.flush()?;
        let mut line = String::new();
        // Nothing more can be asked at the end of the input.
        let read = input.read_line(&mut line).context("reading the answer")?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    };
    let ask: Option<&mut Ask<'_>> = if is_asked { Some(&mut ask) } else { None };
    let Some(row) = row_of(&mut answers, ask)? else { return Ok(ExitCode::FAILURE) };
    let before = match &file {
        Some(path) if path.exists() => {
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
        }
        _ => String::new(),
    };
    let gap = if before.is_empty() || before.ends_with("\n\n") { "" } else { "\n" };
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let text = format!("{before}{end}{gap}{row}");
    if let Err(problems) = file::read(&text, SUFFIX) {
        problems.iter().for_each(|problem| complain!("{problem}"));
        complain!("nothing was written");
        return Ok(ExitCode::FAILURE);
    }
    match &file {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
            complain!("{}: written. Now `tollgate endpoints apply {}`", path.display(), path.display());
        }
        None => show!("{row}"),
    }
    tell_key(&answers);
    Ok(ExitCode::SUCCESS)
}

/// Where the key comes from.
fn tell_key(answers: &Answers) {
    let id = answers.get("id").map_or("", String::as_str);
    match answers.get("scheme").and_then(|name| catalogue::find(name)) {
        Some(row) => complain!(
            "the key is {}. `tollgate endpoints rotate {id} --secret-file KEY` stores it",
            row.key_text
        ),
        None => complain!(
            "`tollgate endpoints rotate {id} --secret-file KEY` stores the key that the sender signs with"
        ),
    }
}

/// What the options say.
fn given(args: Args) -> Answers {
    let of = [
        ("id", args.id),
        ("scheme", args.scheme),
        ("secret", args.secret),
        ("delivery", args.delivery),
        ("notification_url", args.notification_url),
        ("normaliser", args.normaliser),
        ("scheme.name", args.name),
        ("scheme.signature.header", args.signature_header),
        ("scheme.signature.separator", args.separator),
        ("scheme.signature.entry", args.entry),
        ("scheme.algorithm", args.algorithm),
        ("scheme.encoding", args.encoding),
        ("scheme.timestamp.header", args.timestamp_header),
        ("scheme.timestamp.entry", args.timestamp_entry),
        ("scheme.timestamp.unit", args.timestamp_unit),
        ("scheme.timestamp.window", args.window),
        ("scheme.signed", args.signed),
        ("scheme.key.form", args.key_form),
    ];
    of.into_iter().filter_map(|(at, value)| Some((at, value?))).collect()
}

/// Asks one question of a person; `None` when nobody answers any more.
type Ask<'a> = dyn FnMut(&str) -> anyhow::Result<Option<String>> + 'a;

/// The row, as soon as it can serve. Where nobody can be asked, what is missing or wrong is told, and there is none.
fn row_of(answers: &mut Answers, mut ask: Option<&mut Ask<'_>>) -> anyhow::Result<Option<String>> {
    loop {
        let mut missing = Vec::new();
        for question in QUESTIONS {
            if answers.contains_key(question.at) || !(question.is_wanted)(answers) {
                continue;
            }
            let usual = (question.usual)(answers);
            let answer = match (&mut ask, usual) {
                (None, None) => {
                    missing.push(question.option);
                    continue;
                }
                (None, Some(usual)) => usual,
                (Some(ask), usual) => match answer_to(question, usual, ask)? {
                    Some(answer) => answer,
                    None => return Ok(None),
                },
            };
            answers.insert(question.at, answer);
        }
        if !missing.is_empty() {
            complain!("there is no terminal to ask on: {} must be given", missing.join(", "));
            return Ok(None);
        }
        let mistakes = match Endpoint::read(settings(answers)) {
            Ok(_) => return Ok(Some(written(answers))),
            Err(mistakes) => mistakes,
        };
        mistakes.iter().for_each(|mistake| complain!("{mistake}"));
        if ask.is_none() || !forget(answers, &mistakes) {
            complain!("nothing was written");
            return Ok(None);
        }
    }
}

/// A person's answer: what an empty one stands for is shown in brackets.
fn answer_to(
    question: &Question,
    usual: Option<String>,
    ask: &mut Ask<'_>,
) -> anyhow::Result<Option<String>> {
    let shown = usual.as_deref().filter(|usual| !usual.is_empty());
    let text = shown.map_or_else(|| question.text.to_owned(), |usual| format!("{} [{usual}]", question.text));
    loop {
        match (ask(&text)?, &usual) {
            (None, _) => return Ok(None),
            (Some(answer), _) if !answer.is_empty() => return Ok(Some(answer)),
            (Some(_), Some(usual)) => return Ok(Some(usual.clone())),
            (Some(_), None) => {}
        }
    }
}

/// Forgets the answers that the mistakes are about, so that they are asked for again; whether there are any.
fn forget(answers: &mut Answers, mistakes: &[SpecError]) -> bool {
    let before = answers.len();
    let is_about = |at: &str| {
        mistakes.iter().any(|mistake| {
            let within =
                |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
            // A mistake of the scheme as a whole is not one of its name in the catalogue.
            mistake.at == at || within(at, &mistake.at) && at != "scheme"
        })
    };
    answers.retain(|at, _| !is_about(at));
    answers.len() < before
}

/// The setting's value, where it is not left out. The one number is written as such.
fn value_of(at: &str, answers: &Answers) -> Option<Value> {
    let text = answers.get(at).filter(|text| !text.is_empty())?;
    match at {
        "normaliser" if text == "-" => None,
        "scheme.timestamp.window" => {
            Some(text.parse::<u32>().map_or_else(|_| json!(text), |number| json!(number)))
        }
        _ => Some(json!(text)),
    }
}

fn secret_of(answers: &Answers) -> Value {
    let id = answers.get("id").map_or("", String::as_str);
    value_of("secret", answers).unwrap_or_else(|| json!(format!("secretsmanager:tollgate/{{suffix}}/{id}")))
}

/// The tables of a custom scheme, in the order in which they are written.
const TABLES: [(&str, &[&str]); 3] = [
    ("signature", &["header", "separator", "entry"]),
    ("timestamp", &["header", "entry", "unit", "window"]),
    ("key", &["form"]),
];
const FIELDS: [&str; 4] = ["name", "signed", "algorithm", "encoding"];

/// The row as it is read.
fn settings(answers: &Answers) -> Value {
    let mut row = Map::new();
    for at in ["id", "scheme", "delivery", "notification_url", "normaliser"] {
        row.extend(value_of(at, answers).map(|value| (at.to_owned(), value)));
    }
    row.insert("secret".to_owned(), secret_of(answers));
    if is_custom(answers) {
        let mut scheme = Map::new();
        for field in FIELDS {
            scheme
                .extend(value_of(&format!("scheme.{field}"), answers).map(|value| (field.to_owned(), value)));
        }
        for (table, fields) in TABLES {
            let values = fields.iter().filter_map(|field| {
                Some(((*field).to_owned(), value_of(&format!("scheme.{table}.{field}"), answers)?))
            });
            let values: Map<String, Value> = values.collect();
            if !values.is_empty() {
                scheme.insert(table.to_owned(), values.into());
            }
        }
        row.insert("scheme".to_owned(), scheme.into());
    }
    row.into()
}

/// The row as it stands in the file. JSON's texts and numbers are TOML's.
fn written(answers: &Answers) -> String {
    let mut row = "[[endpoints]]\n".to_owned();
    let mut line = |name: &str, value: &Value| {
        // Writing to memory does not fail.
        let _ = writeln!(row, "{name} = {value}");
    };
    let settings = settings(answers);
    let at = |name: &str| settings.get(name).filter(|value| !value.is_object());
    for name in ["id", "scheme", "secret", "delivery", "notification_url", "normaliser"] {
        at(name).into_iter().for_each(|value| line(name, value));
    }
    let Some(Value::Object(scheme)) = settings.get("scheme") else { return row };
    row += "[endpoints.scheme]\n";
    for (name, value) in scheme {
        let _ = match value {
            Value::Object(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                writeln!(row, "{name} = {{ {} }}", fields.join(", "))
            }
            value => writeln!(row, "{name} = {value}"),
        };
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written with these options and these answers, and how many of the answers were taken.
    fn asked(options: &[(&'static str, &str)], replies: &[&str]) -> (Option<String>, usize) {
        let mut answers: Answers = options.iter().map(|(at, value)| (*at, (*value).to_owned())).collect();
        let mut replies_left = replies.iter();
        let mut ask = |_: &str| Ok(replies_left.next().map(|reply| (*reply).to_owned()));
        let row = row_of(&mut answers, Some(&mut ask)).unwrap();
        (row, replies.len() - replies_left.len())
    }

    fn applies(row: &str) -> Endpoint {
        let mut endpoints = file::read(row, SUFFIX).unwrap_or_else(|problems| panic!("{problems:?}\n{row}"));
        assert_eq!(endpoints.len(), 1, "{row}");
        endpoints.remove(0)
    }

    #[test]
    fn a_custom_scheme_is_asked_for_and_applies() {
        let replies = [
            "acme-pay",
            "custom",
            "",
            "X-Acme",
            ",",
            "v1={signature}",
            "",
            "",
            "t={timestamp}",
            "",
            "",
            "",
            "",
            "",
        ];
        let (row, taken) = asked(&[], &replies);
        assert_eq!(taken, replies.len());
        let row = row.unwrap();
        assert_eq!(
            row,
            r#"[[endpoints]]
id = "acme-pay"
secret = "secretsmanager:tollgate/{suffix}/acme-pay"
normaliser = "generic"
[endpoints.scheme]
algorithm = "hmac-sha256"
encoding = "hex"
key = { form = "utf8" }
name = "acme-pay"
signature = { entry = "v1={signature}", header = "X-Acme", separator = "," }
signed = "{timestamp}.{body}"
timestamp = { entry = "t={timestamp}", unit = "seconds", window = 300 }
"#
        );
        assert!(applies(&row).warnings().is_empty());
    }

    #[test]
    fn a_wrong_answer_is_asked_for_again() {
        let custom = [
            ("id", "a"),
            ("scheme", "custom"),
            ("scheme.signature.header", "X A"),
            ("scheme.algorithm", "md5"),
        ];
        let mut replies = vec!["", "", "", "", "", "", "", ""];
        assert_eq!(asked(&custom, &replies), (None, replies.len()), "nobody answers for the wrong ones");
        // What cannot be read first, and then what cannot serve.
        replies.extend(["hmac-sha512", "X-A"]);
        let (row, _) = asked(&custom, &replies);
        let row = row.unwrap();
        assert!(row.contains(r#"header = "X-A""#) && row.contains(r#"algorithm = "hmac-sha512""#), "{row}");
        applies(&row);
        assert_eq!(asked(&[("scheme", "generic")], &["Not A Name"]).0, None, "nobody answers any more");
    }

    #[test]
    fn without_a_terminal_what_is_missing_is_none_of_a_row() {
        let row = |options: &[(&'static str, &str)]| {
            let mut answers: Answers = options.iter().map(|(at, value)| (*at, (*value).to_owned())).collect();
            row_of(&mut answers, None).unwrap()
        };
        assert_eq!(row(&[("id", "a")]), None);
        assert_eq!(row(&[("id", "a"), ("scheme", "square")]), None, "its URL is missing");
        assert_eq!(row(&[("id", "a"), ("scheme", "nobody")]), None);
        assert_eq!(row(&[("id", "a"), ("scheme", "custom")]), None);
        let square = row(&[("id", "a"), ("scheme", "square"), ("notification_url", "https://h/\"")]);
        assert_eq!(applies(&square.unwrap()).config().notification_url.as_deref(), Some("https://h/\""));
        for algorithm in ["hmac-sha256", "hmac-sha1", "ed25519", "rsa-pkcs1-sha256", "sha512", "token"] {
            let custom = [
                ("id", "a"),
                ("scheme", "custom"),
                ("scheme.signature.header", "X-A"),
                ("scheme.algorithm", algorithm),
                ("normaliser", "-"),
            ];
            let row = row(&custom).unwrap_or_else(|| panic!("{algorithm}"));
            assert_eq!(applies(&row).config().normaliser, None);
        }
    }

    #[test]
    fn every_provider_of_the_catalogue_applies() {
        for provider in catalogue::providers() {
            let options = [("id", "a"), ("scheme", provider.name.as_str())];
            let (row, _) = asked(&options, &["https://h/"]);
            applies(&row.unwrap_or_else(|| panic!("{}", provider.name)));
        }
    }
}
