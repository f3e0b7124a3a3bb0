//! What every page has, and how texts, times, ids and states look on it.

use std::{fmt, sync::Arc};

use hyper::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_core::{Money, PaymentEvent, Timestamp};
use tollgate_operate::{shown::escaped, way::Progress};

use crate::{
    assets,
    http::{self, Response},
    state::{Console, Place},
};

/// What stays as it is in a part of an address.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The screens, in the order of the navigation: the address, the name, the key behind `g`, and what it answers.
pub(crate) const SCREENS: [Screen; 10] = [
    Screen { path: "/", name: "Now", key: "n", about: "what comes in, what waits, and who has gone silent" },
    Screen { path: "/webhooks", name: "Webhooks", key: "w", about: "find them by anything they say" },
    Screen {
        path: "/dead-letters",
        name: "Dead letters",
        key: "d",
        about: "why they stopped, and sending them back",
    },
    Screen {
        path: "/refusals",
        name: "Refusals",
        key: "r",
        about: "what was refused and is kept, and taking it in",
    },
    Screen { path: "/conflicts", name: "Conflicts", key: "c", about: "two sets of facts, and which is true" },
    Screen {
        path: "/endpoints",
        name: "Endpoints",
        key: "e",
        about: "how they are set, and when they were heard",
    },
    Screen {
        path: "/reconciliation",
        name: "Reconciliation",
        key: "l",
        about: "what a provider sent, beside what took effect",
    },
    Screen {
        path: "/runs",
        name: "Replays and redrives",
        key: "p",
        about: "what was sent again, past and under way",
    },
    Screen { path: "/audit", name: "Audit", key: "a", about: "who did what, and why" },
    Screen { path: "/cost", name: "Cost", key: "o", about: "what a time cost, against the design" },
];

/// A page of the navigation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) path: &'static str,
    name: &'static str,
    key: &'static str,
    about: &'static str,
}

/// Headers whose values prove the sender by themselves.
pub(crate) const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// A screen's answer.
pub(crate) type Answer = Result<Response, Problem>;

/// A page as an answer.
pub(crate) fn shows(page: Markup) -> Answer {
    Ok(http::html(StatusCode::OK, page))
}

/// A page: its title, and the path of the screen that it belongs to.
pub(crate) fn page(console: &Arc<Console>, title: &str, screen: &str, content: Markup) -> Markup {
    let Place { suffix, account, region, is_local } = &console.place;
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href="/" { (mark()) span { "Tollgate" } }
                    p.place title={ "account " (account) ", " (region) } {
                        strong { (suffix) }
                        @if *is_local { span.tag { "local platform" } }
                        @else { span.tag.aws { "AWS " (region) } }
                        @if console.settings.is_writing { span.tag.write { "writing" } }
                        @else { span.tag { "read-only" } }
                    }
                    form.find action="/find" role="search" {
                        label.unseen for="find" { "Find an id" }
                        input #find name="id" type="search" placeholder="Find any id: wh_…, evt_…, pi_…" autocomplete="off"
                            spellcheck="false" maxlength="1024";
                        kbd aria-hidden="true" { "/" }
                    }
                    div.tools {
                        button.tool #palette-open type="button" title="Commands (Ctrl K)" { "Commands" kbd aria-hidden="true" { "Ctrl K" } }
                        button.tool #theme type="button" title="Dark or light (t)" aria-label="Dark or light" { (theme_mark()) }
                    }
                }
                nav.screens aria-label="Screens" {
                    @for one in SCREENS {
                        a href=(one.path) aria-current=[(one.path == screen).then_some("page")] {
                            (one.name) kbd aria-hidden="true" { "g " (one.key) }
                        }
                    }
                }
                main #content tabindex="-1" {
                    // What is heard is there before it says anything.
                    p.status #no-answer role="status" {}
                    p.unseen #said role="status" {}
                    (content)
                }
                (palette())
            }
        }
    }
}

/// A page without a session: it says nothing of the environment.
pub(crate) fn bare(title: &str, text: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body.bare { main { h1 { (mark()) (title) } p { (text) } } }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (shown(title)) " · Tollgate" }
        link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
        link rel="stylesheet" href=(assets::address("console.css"));
        script src=(assets::address("console.js")) {}
    }
}

/// Two posts and a raised bar.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path d="M4 21V9h3v12zM7 9.5 21 3l1 2.4L8 12z";
            path.post d="M17 21v-8h3v8z";
        }
    }
}

fn theme_mark() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" {
            path d="M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 2a8 8 0 0 1 0 16z" fill-rule="evenodd";
        }
    }
}

/// The command palette: links, which the script filters and chooses from.
fn palette() -> Markup {
    html! {
        dialog #palette aria-label="Commands" {
            input #palette-input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list"
                aria-label="Command or id" placeholder="A screen, a command, or any id" autocomplete="off" spellcheck="false";
            ul #palette-list role="listbox" aria-label="Commands" {
                @for one in SCREENS {
                    li role="option" data-href=(one.path) { span { (one.name) } small { (one.about) } kbd { "g " (one.key) } }
                }
                li role="option" data-href="/webhooks?outcome=set_aside" { span { "Webhooks that were set aside" } small { "of the last days" } }
                li role="option" data-href="/webhooks?outcome=conflict" { span { "Webhooks that conflict" } small { "of the last days" } }
                li role="option" data-href="/tail?new=1" { span { "Follow events live" } small { "as they are published" } }
                li role="option" data-act="theme" { span { "Dark or light" } small { "until it is chosen again" } kbd { "t" } }
                li role="option" data-act="letters" { span { "Keys of one letter, on or off" } small { "they are " span.letters-are { "on" } } }
                li role="option" data-act="keys" { span { "Keys" } small { "what the keyboard does" } kbd { "?" } }
                li role="option" data-find="/find?id=" hidden { span { "Find the id " b {} } small { "in tables and archive" } }
                li role="option" data-find="/webhooks?text=" hidden { span { "Search bodies for " b {} } small { "in the archive" } }
            }
            dl #palette-keys hidden {
                dt { kbd { "Ctrl K" } } dd { "commands" }
                dt { kbd { "/" } } dd { "find an id" }
                @for one in SCREENS { dt { kbd { "g " (one.key) } } dd { (one.name) } }
                dt { kbd { "j" } " " kbd { "k" } } dd { "next and previous row" }
                dt { kbd { "Enter" } } dd { "open the row" }
                dt { "a letter" } dd { "these keys are " span.letters-are { "on" } ": a command turns them off" }
                dt { kbd { "t" } } dd { "dark or light" }
                dt { kbd { "Esc" } } dd { "close" }
            }
        }
    }
}

/// A page that says why there is no other.
pub(crate) struct Problem {
    status: StatusCode,
    console: Arc<Console>,
    screen: &'static str,
    title: &'static str,
    text: String,
}

impl Problem {
    /// AWS did not answer, or not as it was asked to.
    pub(crate) fn of(console: &Arc<Console>, screen: &'static str, problem: &anyhow::Error) -> Self {
        let (status, title) = (StatusCode::BAD_GATEWAY, "There is no answer");
        Self { status, console: Arc::clone(console), screen, title, text: format!("{problem:#}") }
    }

    /// What was asked for is not of its form.
    pub(crate) fn asked(console: &Arc<Console>, screen: &'static str, text: impl fmt::Display) -> Self {
        let (status, title) = (StatusCode::BAD_REQUEST, "That cannot be asked");
        Self { status, console: Arc::clone(console), screen, title, text: text.to_string() }
    }

    /// There is no such page.
    pub(crate) fn nothing(console: &Arc<Console>) -> Self {
        let (status, title) = (StatusCode::NOT_FOUND, "There is no such page");
        let text = "The navigation has all that there are.".to_owned();
        Self { status, console: Arc::clone(console), screen: "", title, text }
    }

    /// The page.
    pub(crate) fn answer(self) -> Response {
        let content = html! { h1 { (self.title) } div.note.bad { p { (shown(&self.text)) } } };
        http::html(self.status, page(&self.console, self.title, self.screen, content))
    }

    /// It may not be done.
    pub(crate) fn refused(console: &Arc<Console>, screen: &'static str, text: &str) -> Self {
        let (status, title) = (StatusCode::FORBIDDEN, "That is not done");
        Self { status, console: Arc::clone(console), screen, title, text: text.to_owned() }
    }
}

/// A text of others: what a browser would obey in it is shown, and markup is text.
pub(crate) fn shown(text: impl fmt::Display) -> String {
    escaped(text)
}

/// A part of an address.
pub(crate) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// A time, to the millisecond, in UTC.
pub(crate) fn time(at: Timestamp) -> Markup {
    let text = at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    html! { time datetime=(at) title={ (at) } { (text) } }
}

/// So long, in the two largest units that are not zero.
pub(crate) fn span(milliseconds: i64) -> String {
    let all = milliseconds.max(0);
    match all {
        0..1_000 => format!("{all} ms"),
        1_000..60_000 if all % 1_000 == 0 => format!("{} s", all / 1_000),
        1_000..60_000 => format!("{}.{:02} s", all / 1_000, all % 1_000 / 10),
        60_000..3_600_000 => format!("{} min {} s", all / 60_000, all % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", all / 3_600_000, all % 3_600_000 / 60_000),
        _ => format!("{} d {} h", all / 86_400_000, all % 86_400_000 / 3_600_000),
    }
}

/// How long before now.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.as_millisecond().saturating_sub(at.as_millisecond())))
}

/// An id, which can be copied where what is copied is what is seen, and no more than a line: a terminal runs a line that ends.
pub(crate) fn id(text: &str) -> Markup {
    let is_as_seen = shown(text) == text && !text.contains(['\n', '\t']);
    html! {
        code.id { (shown(text)) }
        @if is_as_seen { button.copy type="button" data-copy=(text) aria-label={ "Copy " (shown(text)) } { "copy" } }
    }
}

/// An id that leads to its page.
pub(crate) fn id_link(path: &str, text: &str) -> Markup {
    html! { a.id href={ (path) (quoted(text)) } { (shown(text)) } }
}

/// The address of an act's records, from where it began on: the audit is kept by days, and a page of it reads a part of one.
pub(crate) fn audit_of(act: &str, began: Timestamp) -> String {
    let began = Timestamp::from_second(began.as_second()).unwrap_or(began);
    format!("/audit?since={began}&id={}", quoted(act))
}

/// An act that leads to its records.
pub(crate) fn act_link(act: &str, began: Timestamp) -> Markup {
    html! { a href=(audit_of(act, began)) { (shown(act)) } }
}

/// A webhook's id that leads to its page: its ends, by which people tell one from another.
pub(crate) fn webhook_link(id: &str) -> Markup {
    let (first, last) = (id.get(..7), id.len().checked_sub(7).and_then(|place| id.get(place..)));
    let short = first.zip(last).map_or_else(|| id.to_owned(), |(first, last)| format!("{first}…{last}"));
    html! { a.id href={ "/webhook/" (quoted(id)) } title=(shown(id)) { (shown(short)) } }
}

/// A further value of a filter, which a form's own field does not show: it stays until it is taken out.
pub(crate) fn kept(name: &str, value: &str) -> Markup {
    html! { label.check { input type="checkbox" name=(name) value=(value) checked; span { "or " (name) " " (shown(value)) } } }
}

/// So many of something.
pub(crate) fn many(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// An amount as it is written, with its currency.
pub(crate) fn amount(amount: &Money) -> String {
    let value = amount.to_decimal().unwrap_or_else(|| amount.minor_units().to_string());
    format!("{value} {}", amount.currency().code())
}

/// An event's type in words: `payment.succeeded` is "Payment succeeded".
pub(crate) fn words(kind: &str) -> String {
    let text = kind.replace(['.', '_'], " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What an event says, in a line.
pub(crate) fn headline(event: &PaymentEvent<'_>) -> String {
    let what = words(event.kind.as_str());
    event.amount.as_ref().map_or(what.clone(), |money| format!("{what}, {}", amount(money)))
}

/// A state: a sign, a colour and a word, so that none of them is needed alone.
pub(crate) fn state(progress: Progress) -> Markup {
    let (class, sign) = look(progress);
    html! { span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (progress.as_str()) } }
}

/// A state's class and sign.
pub(crate) fn look(progress: Progress) -> (&'static str, &'static str) {
    match progress {
        Progress::Done => ("done", "✓"),
        Progress::Implied => ("implied", "∴"),
        Progress::Waiting => ("waiting", "…"),
        Progress::Stopped => ("stopped", "✕"),
        Progress::Missing => ("missing", "!"),
        Progress::LeftOut => ("left-out", "–"),
        Progress::Unknown => ("unknown", "?"),
    }
}

/// How a webhook ended, as a state.
pub(crate) fn outcome(text: &str) -> Markup {
    let (class, sign) = match text {
        "processed" => ("done", "✓"),
        "duplicate" => ("implied", "="),
        "conflict" => ("stopped", "≠"),
        "set_aside" => ("stopped", "✕"),
        "received" => ("waiting", "…"),
        _ => ("unknown", "?"),
    };
    html! { span class={ "state " (class) } { span.sign aria-hidden="true" { (sign) } (shown(text.replace('_', " "))) } }
}

/// JSON with its parts coloured: keys, texts, numbers. It is ours or masked; what is no JSON is shown as it is.
pub(crate) fn json(text: &str) -> Markup {
    html! { pre.json tabindex="0" { code { (coloured(&shown(text))) } } }
}

fn coloured(text: &str) -> Markup {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, class) = token(rest, first);
        let (one, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let one = html! { (one) }.into_string();
        match class {
            Some("t") if after.starts_with(':') => out.push_str(&format!("<b>{one}</b>")),
            Some(class) => out.push_str(&format!("<i class=\"{class}\">{one}</i>")),
            None => out.push_str(&one),
        }
        rest = after;
    }
    PreEscaped(out)
}

/// How long the token is that stands first, and its class.
fn token(text: &str, first: char) -> (usize, Option<&'static str>) {
    let until = |end: fn(char) -> bool| text.find(end).unwrap_or(text.len());
    match first {
        '"' => {
            let mut is_escaped = false;
            let end = text.char_indices().skip(1).find(|(_, c)| {
                let is_end = *c == '"' && !is_escaped;
                is_escaped = *c == '\\' && !is_escaped;
                is_end || *c == '\n'
            });
            (end.map_or(text.len(), |(place, c)| place + c.len_utf8()), Some("t"))
        }
        '-' | '0'..='9' => (until(|c| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9')), Some("n")),
        'a'..='z' => {
            let end = until(|c| !c.is_ascii_alphanumeric());
            let is_word = matches!(text.get(..end), Some("true" | "false" | "null"));
            (end, is_word.then_some("w"))
        }
        _ => {
            let end = text.char_indices().skip(1);
            let end = end.into_iter().find(|(_, c)| matches!(c, '"' | '-' | '0'..='9' | 'a'..='z'));
            (end.map_or(text.len(), |(place, _)| place), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_coloured_and_stays_text() {
        for (text, shown) in [
            (r#"{"a": 1}"#, "{<b>&quot;a&quot;</b>: <i class=\"n\">1</i>}"),
            (r#"["<b>", true]"#, "[<i class=\"t\">&quot;&lt;b&gt;&quot;</i>, <i class=\"w\">true</i>]"),
            (r#""a\"b" x"#, "<i class=\"t\">&quot;a\\&quot;b&quot;</i> x"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(<i class=\"n\">1</i>)&lt;/script&gt;"),
            ("\"open", "<i class=\"t\">&quot;open</i>"),
            ("é\"", "é<i class=\"t\">&quot;</i>"),
        ] {
            assert_eq!(coloured(text).into_string(), shown, "{text}");
        }
    }

    #[test]
    fn an_act_is_looked_for_on_its_day() {
        let began = "2026-01-31T23:59:59.75Z".parse().unwrap();
        assert_eq!(audit_of("0a0b", began), "/audit?since=2026-01-31T23:59:59Z&id=0a0b");
    }

    #[test]
    fn spans_are_for_people() {
        let spans = [-5, 12, 1_234, 2_000, 61_000, 3_600_000, 90_000_000].map(span);
        assert_eq!(spans, ["0 ms", "12 ms", "1.23 s", "2 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn what_is_copied_is_what_is_seen() {
        for (text, is_copied) in [
            ("pi_1", true),
            ("Zo\u{eb} <b>", true),
            ("pi_1\nrm -r .", false),
            ("pi\t1", false),
            ("pi\u{202e}1", false),
            ("pi\u{200b}1", false),
            ("\u{1b}[2J", false),
        ] {
            assert_eq!(id(text).into_string().contains("data-copy"), is_copied, "{text:?}");
        }
    }

    #[test]
    fn what_a_browser_obeys_is_shown() {
        assert_eq!(shown("a\u{202e}b"), "a\\u202eb");
        assert_eq!(quoted("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    }
}
