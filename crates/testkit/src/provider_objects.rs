//! Stand-ins for providers' APIs that tell objects: each answers as its provider documents (the pages are in
//! crates/provider-api/provider-apis.toml), and refuses what the provider would refuse.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use crate::loopback::{Request, Response, Server};

/// What is answered in place of what is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Instead {
    /// This status, with a header.
    Status(u16, Option<(&'static str, String)>),
    /// This object, whatever was asked for.
    Object(Value),
    /// So many bytes.
    Bytes(usize),
    /// Nothing, for so long.
    Silence(Duration),
    /// Another place.
    Redirect(String),
}

/// What a stand-in knows and was asked.
#[derive(Debug, Default)]
pub struct State {
    /// Objects by their paths.
    pub objects: BTreeMap<String, Value>,
    /// Answers before any other one: each is given once.
    pub instead: Vec<Instead>,
    /// Every request.
    pub requests: Vec<Request>,
}

/// The APIs of Stripe (under `/stripe`) and Mercado Pago (under `/mercadopago`), which take one key.
#[derive(Debug)]
pub struct Apis {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Apis {
    /// At an address of this machine.
    pub fn at(address: &str, key: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (known, key) = (Arc::clone(&state), key.to_owned());
        let server = Server::at(address, move |request| {
            let instead = {
                let mut state = known.lock().unwrap_or_else(PoisonError::into_inner);
                state.requests.push(request.clone());
                (!state.instead.is_empty()).then(|| state.instead.remove(0))
            };
            match instead {
                Some(instead) => answer_instead(instead),
                None => answer(request, &key, &known.lock().unwrap_or_else(PoisonError::into_inner)),
            }
        });
        Self { server, state }
    }

    /// Anywhere on this machine.
    pub fn start(key: &str) -> Self {
        Self::at("127.0.0.1:0", key)
    }

    /// Where they are.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The object at this path is this from now on.
    pub fn set(&self, path: &str, object: Value) {
        self.with(|state| state.objects.insert(path.to_owned(), object));
    }

    /// Looks at what is known, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer_instead(instead: Instead) -> Response {
    match instead {
        Instead::Status(status, header) => {
            let answer = Response::json(status, &json!({ "error": { "message": "as the test says" } }));
            match header {
                Some((name, value)) => answer.with(name, &value),
                None => answer,
            }
        }
        Instead::Object(object) => Response::json(200, &object),
        Instead::Bytes(length) => Response { status: 200, headers: Vec::new(), body: vec![b' '; length] },
        Instead::Silence(time) => {
            std::thread::sleep(time);
            Response::json(200, &json!({}))
        }
        Instead::Redirect(to) => Response::json(302, &json!({})).with("Location", &to),
    }
}

fn answer(request: &Request, key: &str, state: &State) -> Response {
    let is_stripe = request.path().starts_with("/stripe/v");
    let problem = |status: u16, text: &str| match is_stripe {
        // https://docs.stripe.com/api/errors
        true => {
            Response::json(status, &json!({ "error": { "type": "invalid_request_error", "message": text } }))
        }
        // https://www.mercadopago.com/developers/en/reference/payments/_payments_id/get
        false => Response::json(
            status,
            &json!({ "message": text, "error": "not_found", "status": status, "cause": [] }),
        ),
    };
    if request.header("authorization") != Some(&format!("Bearer {key}")) {
        return problem(401, "Invalid API Key provided");
    }
    if request.method != "GET" || !request.body.is_empty() {
        return problem(400, "this is read only");
    }
    // API v2 has no default version.
    if request.path().starts_with("/stripe/v2/") && request.header("stripe-version").is_none() {
        return problem(400, "Stripe-Version is required");
    }
    match state.objects.get(request.path()) {
        Some(object) => Response::json(200, object),
        None => problem(404, "No such object"),
    }
}
