//! HTTP as far as the console needs it: requests whose fields are read whole, and answers.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use maud::Markup;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;

use crate::acts::Acts;

/// A form's fields, at most.
const MOST_FORM_BYTES: usize = 64 * 1024;

/// An answer with its whole body.
pub(crate) type Response = hyper::Response<Full<Bytes>>;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The parts of the path, decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: Fields,
    pub(crate) headers: HeaderMap,
    /// What a form sent; nothing where it was too long.
    pub(crate) form: Fields,
}

impl Request {
    async fn read(request: hyper::Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let form = match head.method {
            Method::POST => {
                Limited::new(body, MOST_FORM_BYTES).collect().await.ok().map(|whole| whole.to_bytes())
            }
            _ => None,
        };
        let form = form.unwrap_or_default();
        Self {
            path: head.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect(),
            query: Fields::read(head.uri.query().unwrap_or_default()),
            form: Fields::read(std::str::from_utf8(&form).unwrap_or_default()),
            method: head.method,
            headers: head.headers,
        }
    }
}

/// Fields by their names, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// `application/x-www-form-urlencoded`.
    pub(crate) fn read(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
        };
        Self(pairs.map(pair).collect())
    }

    /// The first of that name, trimmed; nothing is an empty text.
    pub(crate) fn one(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The first of that name that says something.
    pub(crate) fn some(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All of that name that say something, trimmed.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let own = self.0.iter().filter(move |(other, _)| other == name);
        own.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A page.
pub(crate) fn html(status: StatusCode, page: Markup) -> Response {
    with(status, "text/html; charset=utf-8", page.into_string())
}

/// Any content.
pub(crate) fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Where there is no answer, since making it panicked.
fn broken() -> Response {
    with(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "That is a fault of the console.\n")
}

/// Another page of ours, to be got.
pub(crate) fn see(path: &str) -> Response {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    match HeaderValue::from_str(path) {
        Ok(path) => drop(answer.headers_mut().insert(LOCATION, path)),
        Err(_) => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    answer
}

/// Serves connections until it is dropped, within a `LocalSet`. What a form asks for is one of the `acts`: where the browser goes
/// away, the connection and with it the answer end, and not what is done.
pub(crate) async fn serve<S, F, A>(listener: TcpListener, state: Arc<S>, acts: Arc<Acts>, handle: F)
where
    S: 'static,
    F: Fn(Arc<S>, Request) -> A + Copy + 'static,
    A: Future<Output = Response> + 'static,
{
    // Dropping the set ends the connections with the listener.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let (state, acts) = (Arc::clone(&state), Arc::clone(&acts));
                let service = service_fn(move |request| {
                    let (state, acts) = (Arc::clone(&state), Arc::clone(&acts));
                    async move {
                        let request = Request::read(request).await;
                        let only_reads = request.method.is_safe();
                        let answer = handle(state, request);
                        let answer = if only_reads { Some(answer.await) } else { acts.whole(answer).await };
                        Ok::<_, Infallible>(answer.unwrap_or_else(broken))
                    }
                });
                connections.spawn_local(async move {
                    // The browser went away: nobody's error.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::TcpStream,
        sync::atomic::{AtomicBool, Ordering},
    };

    use tokio::{sync::Notify, task::LocalSet};

    use super::*;

    #[derive(Default)]
    struct Seen {
        begun: Notify,
        go_on: Notify,
        is_dropped: Notify,
        is_done: AtomicBool,
    }

    /// Says that it is no more, whatever ended it.
    struct Held(Arc<Seen>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.is_dropped.notify_one();
        }
    }

    async fn slow(seen: Arc<Seen>, _: Request) -> Response {
        let held = Held(seen);
        held.0.begun.notify_one();
        held.0.go_on.notified().await;
        held.0.is_done.store(true, Ordering::Relaxed);
        Response::default()
    }

    #[tokio::test]
    async fn what_a_form_asks_for_is_done_to_its_end_though_the_browser_goes_away() {
        let all = async {
            for (method, is_done) in [("GET", false), ("POST", true)] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let (seen, acts) = (Arc::new(Seen::default()), Arc::new(Acts::default()));
                let serving =
                    tokio::task::spawn_local(serve(listener, Arc::clone(&seen), Arc::clone(&acts), slow));
                let mut browser = TcpStream::connect(address).unwrap();
                let head = format!("{method} / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
                browser.write_all(head.as_bytes()).unwrap();
                seen.begun.notified().await;
                drop(browser);
                if is_done {
                    // The console ends meanwhile.
                    serving.abort();
                    seen.go_on.notify_one();
                    acts.end().await;
                } else {
                    seen.is_dropped.notified().await;
                    serving.abort();
                }
                assert_eq!(seen.is_done.load(Ordering::Relaxed), is_done, "{method}");
            }
        };
        LocalSet::new().run_until(all).await;
    }

    #[test]
    fn fields_are_decoded_and_empty_ones_say_nothing() {
        let fields = Fields::read("id=a%2Fb&text=one+two&text=%22&none=&x&bad=%ff&text= &=1");
        assert_eq!(fields.one("id"), "a/b");
        assert_eq!(fields.all("text").collect::<Vec<_>>(), ["one two", "\""]);
        assert_eq!((fields.some("none"), fields.some("x"), fields.one("y")), (None, None, ""));
        assert_eq!(fields.one("bad"), "\u{fffd}");
    }

    #[test]
    fn a_path_that_is_none_is_no_redirect() {
        assert_eq!(see("/a\r\nset-cookie: x").status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(see("/a").headers().get(LOCATION).map(HeaderValue::as_bytes), Some(&b"/a"[..]));
    }
}
