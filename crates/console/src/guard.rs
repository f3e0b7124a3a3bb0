//! Who may ask: the browser that was opened with the printed address, from our own pages alone.
//!
//! Other programs of this machine can reach a loopback port, and other sites can have the browser ask for it. So a request must
//! name us as its host (a name that a foreign site had resolved to this machine is another one), come from no other site, and
//! have the session's cookie; one that does something must also have a token that was given out with its form and is used once.

use std::{collections::VecDeque, sync::Mutex};

use anyhow::Context;
use hyper::{
    HeaderMap, Method,
    header::{COOKIE, HOST, HeaderName, ORIGIN},
};
use subtle::ConstantTimeEq;

use crate::begun::held;

/// Where the printed address leads.
pub(crate) const OPEN: &str = "open";
/// Forms that were given out and not used yet, of which the oldest are forgotten. A page that asks for itself again and again has none,
/// or it would use them up.
const MOST_FORMS: usize = 256;
/// The secrets of one run.
#[derive(Debug)]
pub(crate) struct Guard {
    /// `127.0.0.1:8717`, as the address has it.
    host: String,
    /// The cookie's name. Browsers keep one of a name for all ports of a host, so it has the port: two consoles are two sessions.
    cookie: String,
    /// The cookie's value.
    session: String,
    /// What the printed address has; another one once it was used.
    ticket: Mutex<String>,
    forms: Mutex<VecDeque<(String, &'static str)>>,
}

impl Guard {
    pub(crate) fn new(host: String) -> anyhow::Result<Self> {
        let (session, ticket) = (random()?, Mutex::new(random()?));
        let port = host.rsplit(':').next().unwrap_or_default();
        let cookie = format!("tollgate_console_{port}");
        Ok(Self { host, cookie, session, ticket, forms: Mutex::default() })
    }

    /// The cookie that is the session.
    pub(crate) fn cookie(&self) -> String {
        format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie, self.session)
    }

    /// The address that opens the session, once.
    pub(crate) fn address(&self) -> String {
        format!("http://{}/{OPEN}?ticket={}", self.host, *held(&self.ticket))
    }

    /// Whether it is the printed address's; then that is used up.
    pub(crate) fn takes_ticket(&self, given: &str) -> anyhow::Result<bool> {
        let mut ticket = held(&self.ticket);
        let is_it = is_same(&ticket, given);
        if is_it {
            *ticket = random()?;
        }
        Ok(is_it)
    }

    /// A token for a form that does `act`: made where the form is shown.
    pub(crate) fn form(&self, act: &'static str) -> anyhow::Result<String> {
        let token = random()?;
        let mut forms = held(&self.forms);
        if forms.len() == MOST_FORMS {
            forms.pop_front();
        }
        forms.push_back((token.clone(), act));
        Ok(token)
    }

    /// Whether the token was given out for this act; then it is used up.
    pub(crate) fn takes_form(&self, act: &str, given: &str) -> bool {
        let mut forms = held(&self.forms);
        let place = forms.iter().position(|(token, of)| *of == act && is_same(token, given));
        place.and_then(|place| forms.remove(place)).is_some()
    }

    pub(crate) fn is_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().any(|(name, value)| name == self.cookie && is_same(&self.session, value))
    }

    /// Why a request is refused before anything of it is looked at.
    pub(crate) fn refuses(&self, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
        let one = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => Some(value.to_str().unwrap_or_default()),
                (Some(_), Some(_)) => Some(""),
                _ => None,
            }
        };
        if one(&HOST) != Some(self.host.as_str()) {
            return Some("The request names another host than the address that was printed.");
        }
        // What the browser says of where the request comes from ("Fetch Metadata Request Headers", W3C).
        let site = one(&HeaderName::from_static("sec-fetch-site"));
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return Some("The request comes from another site.");
        }
        let origin = one(&ORIGIN);
        let own = format!("http://{}", self.host);
        if origin.is_some_and(|origin| origin != own) || (origin.is_none() && !method.is_safe()) {
            return Some("The request comes from another site.");
        }
        None
    }
}

/// Compares secrets in a time that says nothing of them.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// 192 random bits, in hexadecimal.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 24];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_our_own_pages_ask() {
        let guard = Guard::new("127.0.0.1:8717".to_owned()).unwrap();
        let own = ("host", "127.0.0.1:8717");
        for (method, pairs, is_refused) in [
            (Method::GET, vec![own], false),
            (Method::GET, vec![own, ("sec-fetch-site", "none")], false),
            (Method::GET, vec![own, ("sec-fetch-site", "same-origin")], false),
            // Another port of this machine is the same site.
            (Method::GET, vec![own, ("sec-fetch-site", "same-site")], true),
            (Method::GET, vec![own, ("sec-fetch-site", "cross-site")], true),
            (Method::GET, vec![("host", "evil.test:8717")], true),
            (Method::GET, vec![("host", "127.0.0.1:8718")], true),
            (Method::GET, vec![("host", "localhost:8717")], true),
            (Method::GET, vec![own, own], true),
            (Method::GET, vec![], true),
            (Method::POST, vec![own, ("origin", "http://127.0.0.1:8717")], false),
            (Method::POST, vec![own, ("origin", "http://127.0.0.1:8718")], true),
            (Method::POST, vec![own, ("origin", "null")], true),
            (Method::POST, vec![own], true),
        ] {
            let refused = guard.refuses(&method, &headers(&pairs));
            assert_eq!(refused.is_some(), is_refused, "{method} {pairs:?}");
        }
    }

    #[test]
    fn a_session_is_its_cookie() {
        let of = |port: u16| Guard::new(format!("127.0.0.1:{port}")).unwrap();
        let (guard, other) = (of(1), of(2));
        let pair = |guard: &Guard| guard.cookie().split(';').next().unwrap().to_owned();
        // A browser has one cookie of a name for both ports.
        let both = format!("other=1; {}; {}", pair(&guard), pair(&other));
        assert_ne!(pair(&guard).split('=').next(), pair(&other).split('=').next());
        assert!([&guard, &other].iter().all(|guard| guard.is_session(&headers(&[("cookie", &both)]))));
        let name = &guard.cookie;
        for bad in
            ["", &format!("{name}="), &format!("{name}=00"), &format!("x={}", guard.session), &pair(&other)]
        {
            assert!(!guard.is_session(&headers(&[("cookie", bad)])), "{bad}");
        }
    }

    #[test]
    fn an_address_and_a_form_are_used_once() {
        let guard = Guard::new("127.0.0.1:1".to_owned()).unwrap();
        let address = guard.address();
        let ticket = address.rsplit('=').next().unwrap();
        assert!(!guard.takes_ticket("").unwrap());
        assert!(guard.takes_ticket(ticket).unwrap() && !guard.takes_ticket(ticket).unwrap());
        assert_ne!(guard.address(), address);
        let token = guard.form("redrive").unwrap();
        assert!(!guard.takes_form("reveal", &token) && !guard.takes_form("redrive", ""));
        assert!(guard.takes_form("redrive", &token) && !guard.takes_form("redrive", &token));
        let first = guard.form("redrive").unwrap();
        for _ in 0..MOST_FORMS {
            guard.form("redrive").unwrap();
        }
        assert!(!guard.takes_form("redrive", &first), "the oldest are forgotten");
    }
}
