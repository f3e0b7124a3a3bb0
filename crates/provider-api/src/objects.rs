//! Objects that a webhook only names, for the processor: one request each, of bounded time and length.

use std::time::Duration;

use tollgate_core::{ProviderId, Timestamp};
use tollgate_pipeline::ports::{ProviderObjects, Unfetched};
use tollgate_providers::{ApiKey, NamedObject};

use crate::{
    client::{JSON, USER_AGENT, asked_to_wait, is_for_a_while},
    spec::{ObjectKind, ObjectsApi, objects_of},
    transport::{Asked, NoAnswer, Transport},
};

/// How long an answer may take, connecting included. What takes longer is asked for again by the queue.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A payment of Mercado Pago has some 10 KB, an invoice of Stripe with its first ten lines some 30.
const MAX_BYTES: usize = 256 * 1024;

/// Providers' APIs over HTTPS, each at its own host.
#[derive(Debug)]
pub struct HttpsObjects {
    transport: Transport,
    /// Asked instead of every provider, with the provider's name behind it.
    test_url: Option<String>,
}

impl HttpsObjects {
    /// Connects when it is first asked. `test_url` is a server on this machine that is asked instead of every provider.
    pub fn new(test_url: Option<String>) -> Self {
        Self { transport: Transport::new(), test_url }
    }

    fn url(&self, api: &ObjectsApi, kind: &ObjectKind, object: &NamedObject<'_>) -> String {
        // The id is letters, digits and underscores.
        let path = kind.path.replace("{id}", &object.id);
        match &self.test_url {
            Some(url) => format!("{}/{}{path}", url.trim_end_matches('/'), api.name),
            None => format!("{}{path}", api.url),
        }
    }
}

impl ProviderObjects for HttpsObjects {
    async fn fetch(
        &self,
        provider: &ProviderId,
        key: &ApiKey,
        object: &NamedObject<'_>,
    ) -> Result<Vec<u8>, Unfetched> {
        let unknown = Unfetched::NotAsDocumented("nobody knows here how it is asked for");
        let api = objects_of(provider.as_str()).ok_or(unknown)?;
        let kind = api.kinds.iter().find(|kind| kind.name == object.kind).ok_or(unknown)?;
        let authorization = format!("Bearer {}", key.header_text());
        let mut headers =
            vec![("authorization", authorization.as_str()), ("accept", JSON), ("user-agent", USER_AGENT)];
        headers.extend(kind.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match (&object.context, &api.context_header) {
            (Some(context), Some(name)) => headers.push((name, context)),
            (Some(_), None) => return Err(unknown),
            (None, _) => {}
        }
        let url = self.url(api, kind, object);
        let asked = Asked {
            method: "GET",
            url: &url,
            headers: &headers,
            body: None,
            most_bytes: MAX_BYTES,
            within: TIMEOUT,
        };
        let answer = self.transport.ask(&asked).await.map_err(|problem| match problem {
            NoAnswer::TooLong => Unfetched::NotAsDocumented("it is too long"),
            NoAnswer::Request => Unfetched::NotAsDocumented("it cannot be asked for"),
            NoAnswer::NotReached | NoAnswer::BrokeOff | NoAnswer::TooSlow => Unfetched::Unavailable(None),
        })?;
        match answer.status {
            200 => Ok(answer.body),
            401 | 403 => Err(Unfetched::Refused(answer.status)),
            404 => Err(Unfetched::NotFound),
            // A date has to be held against the time, which is not known here: the pause is our own then.
            status if is_for_a_while(status) => {
                Err(Unfetched::Unavailable(asked_to_wait(&answer.headers, None, Timestamp::MAX)))
            }
            _ => Err(Unfetched::NotAsDocumented("its status is none that is documented")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_providers::normalise::kinds_of_objects;

    use super::*;

    #[test]
    fn an_object_is_asked_for_at_its_providers_own_host() {
        let https = HttpsObjects::new(None);
        for (provider, kind) in kinds_of_objects() {
            let api = objects_of(provider).unwrap();
            let known = api.kinds.iter().find(|known| known.name == kind).unwrap();
            let object = NamedObject { kind, id: "id_1".into(), context: None };
            let url = https.url(api, known, &object);
            let path = url.strip_prefix(&format!("{}/", api.url)).unwrap();
            assert!(path.ends_with("/id_1") && !path.contains(['?', '#', '{', '@']), "{url}");
        }
    }
}
