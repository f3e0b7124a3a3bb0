//! Answers: who asks, what is asked for, and what every answer has.

use std::sync::Arc;

use hyper::{
    Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use crate::{
    assets,
    guard::OPEN,
    http::{Request, Response, html, see},
    page::{self, Problem},
    screens::{
        audit, conflicts, cost, dead_letters, endpoints, find, now, payment, reconciliation, refusals,
        replay, runs, tail, way, webhooks,
    },
    state::Console,
};

/// Nothing of other sites, nothing inline, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Answers a request, or refuses it, and puts the same headers on every answer.
pub(crate) async fn answer(console: Arc<Console>, request: Request) -> Response {
    let refused = console.guard.refuses(&request.method, &request.headers);
    let is_open = matches!(request.path.first().map(String::as_str), Some(OPEN | assets::FOLDER));
    let mut answer = match refused {
        Some(why) => html(StatusCode::FORBIDDEN, page::bare("Not from here", why)),
        None if is_open || console.guard.is_session(&request.headers) => screen(&console, &request).await,
        None => {
            let why = "Open the address that `tollgate console` printed. It is good for one browser; then it prints another one.";
            html(StatusCode::UNAUTHORIZED, page::bare("No session", why))
        }
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Not `no-referrer`: then the browser would not say the origin of our own forms.
    headers.insert(REFERRER_POLICY, SAME_ORIGIN);
    headers.insert("cross-origin-opener-policy", SAME_ORIGIN);
    headers.insert("cross-origin-resource-policy", SAME_ORIGIN);
    // Customers' data is in no cache of the browser.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Changes the printed address's ticket for the session's cookie.
fn open(console: &Console, ticket: &str) -> anyhow::Result<Response> {
    if !console.guard.takes_ticket(ticket)? {
        let why = "This address was used before. `tollgate console` printed a newer one.";
        return Ok(html(StatusCode::UNAUTHORIZED, page::bare("No session", why)));
    }
    (console.settings.tell)(&console.guard.address());
    let mut answer = see("/");
    answer.headers_mut().insert(SET_COOKIE, HeaderValue::from_str(&console.guard.cookie())?);
    Ok(answer)
}

/// Answers a request that was let in.
async fn screen(console: &Arc<Console>, request: &Request) -> Response {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let answer = match (&request.method, path.as_slice()) {
        (&Method::GET, [OPEN]) => {
            let opened = open(console, request.query.one("ticket"));
            opened.map_err(|problem| Problem::of(console, "", &problem))
        }
        (&Method::GET, [assets::FOLDER, name]) => assets::file(name).ok_or_else(|| Problem::nothing(console)),
        (&Method::GET, ["find"]) => find::find(console, request).await,
        (&Method::GET, []) => now::now(console).await,
        (&Method::GET, ["webhooks"]) => webhooks::webhooks(console, request).await,
        (&Method::GET, ["webhooks.csv"]) => webhooks::export(console, request, true).await,
        (&Method::GET, ["webhooks.json"]) => webhooks::export(console, request, false).await,
        (&Method::GET, ["tail"]) => tail::tail(console, request),
        (&Method::POST, ["tail"]) => tail::listen(console, request),
        (&Method::POST, ["tail", "cancel"]) => tail::cancel(console, request),
        (&Method::GET, ["replay"]) => replay::replay(console, request).await,
        (&Method::POST, ["replay"]) => replay::begin(console, request).await,
        (&Method::GET, ["replay", number]) => replay::run(console, number),
        (&Method::POST, ["replay", number, "cancel"]) => replay::cancel(console, number, request),
        (&Method::POST, ["searches"]) => webhooks::save(console, request).await,
        (&Method::GET, ["dead-letters"]) => dead_letters::dead_letters(console, request).await,
        (&Method::GET, ["dead-letters", "letter"]) => dead_letters::letter(console, request).await,
        (&Method::GET, ["dead-letters", "redrive"]) => dead_letters::redrive(console, request).await,
        (&Method::POST, ["dead-letters", "redrive"]) => dead_letters::begin(console, request).await,
        (&Method::GET, ["dead-letters", "runs", number]) => dead_letters::run(console, number),
        (&Method::POST, ["dead-letters", "runs", number, "cancel"]) => {
            dead_letters::cancel(console, number, request)
        }
        (&Method::GET, ["refusals"]) => refusals::refusals(console, request).await,
        (&Method::GET, ["refusals", "group"]) => refusals::group(console, request).await,
        (&Method::GET, ["refusals", "one"]) => refusals::one(console, request).await,
        (&Method::POST, ["refusals", "ingest"]) => refusals::ingest(console, request).await,
        (&Method::GET, ["conflicts"]) => conflicts::conflicts(console, request).await,
        (&Method::GET, ["conflicts", "one"]) => conflicts::one(console, request).await,
        (&Method::POST, ["conflicts", "keep"]) => conflicts::keep(console, request).await,
        (&Method::POST, ["conflicts", "take"]) => conflicts::take(console, request).await,
        (&Method::GET, ["endpoints"]) => endpoints::endpoints(console).await,
        (&Method::GET, ["reconciliation"]) => reconciliation::reconciliation(console).await,
        (&Method::POST, ["reconciliation"]) => reconciliation::ask(console, request).await,
        (&Method::POST, ["reconciliation", "ingest"]) => reconciliation::ingest(console, request).await,
        (&Method::GET, ["reconciliation", "runs", number]) => reconciliation::run(console, number),
        (&Method::GET, ["reconciliation", "runs", number, kind @ ("csv" | "json")]) => {
            reconciliation::export(console, number, *kind == "csv")
        }
        (&Method::POST, ["reconciliation", "runs", number, "cancel"]) => {
            reconciliation::cancel(console, number, request)
        }
        (&Method::GET, ["runs"]) => runs::runs(console, request).await,
        (&Method::GET, ["cost"]) => cost::cost(console, request).await,
        (&Method::GET, ["audit"]) => audit::audit(console, request).await,
        (&Method::GET, ["webhook", id]) => way::webhook(console, id).await,
        (&Method::GET, ["payment", endpoint, id]) => payment::payment(console, endpoint, id).await,
        _ => Err(Problem::nothing(console)),
    };
    answer.unwrap_or_else(Problem::answer)
}
