//! Public material over https: the certificates that some schemes name in their headers, and the keys that Plaid's API
//! gives to account holders.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_http_client::{
    Connector, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings},
    orchestrator::HttpRequest,
};
use tollgate_core::EndpointId;
use tollgate_pipeline::ports::{MaterialStore, Materials, PortError, PortResult, StoredMaterial};
use tollgate_providers::{KeyRequest, Material, MaterialRequest};
use tracing::error;

use crate::error::{in_time, port_error};

const SERVICE: &str = "materials";
/// A certificate chain is some 6 KB of PEM, a key half a kilobyte of JSON.
const MAX_BYTES: usize = 65_536;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Plaid's code for a key id that it does not know (plaid.com/docs/errors/invalid-input).
const UNKNOWN_KEY_ID: &[u8] = b"INVALID_WEBHOOK_VERIFICATION_KEY_ID";

/// Material from the URL that a scheme has checked to be its provider's.
#[derive(Debug)]
pub struct HttpsMaterials {
    /// Made when it is first used: few endpoints need it, and it reads every certificate that the system trusts.
    connector: LazyLock<Connector, Box<dyn FnOnce() -> Connector + Send>>,
}

/// An answer, read whole.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Default for HttpsMaterials {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpsMaterials {
    /// A client that connects only when it is first asked, through the proxy of the environment (`HTTPS_PROXY`), as all calls
    /// of AWS do.
    pub fn new() -> Self {
        Self::with(Connector::builder().proxy_config(ProxyConfig::from_env()), TlsContext::default())
    }

    fn with(builder: ConnectorBuilder, trust: TlsContext) -> Self {
        let settings =
            HttpConnectorSettings::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).build();
        let tls = builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(trust);
        Self { connector: LazyLock::new(Box::new(|| tls.connector_settings(settings).build())) }
    }

    async fn certificate(&self, url: &str) -> PortResult<Vec<u8>> {
        let request = HttpRequest::get(url).map_err(|_| PortError::permanent(SERVICE, "not a URL"))?;
        match self.call(request).await? {
            Answer { status: 200, body } => Ok(body),
            // The sender made the URL up, or the certificate was withdrawn.
            Answer { status: 404 | 410, .. } => Err(PortError::permanent(SERVICE, "no such certificate")),
            Answer { status, .. } => Err(PortError::retryable(SERVICE, format!("status {status}"))),
        }
    }

    async fn json_web_key(&self, wanted: &KeyRequest) -> PortResult<Vec<u8>> {
        let mut request = HttpRequest::new(SdkBody::from(wanted.body().as_str()));
        let is_set = request.set_method("POST").is_ok() && request.set_uri(wanted.url()).is_ok();
        if !is_set {
            return Err(PortError::permanent(SERVICE, "not a URL"));
        }
        request.headers_mut().insert("content-type", "application/json");
        match self.call(request).await? {
            Answer { status: 200, body } => Ok(body),
            Answer { status: 400, body } if contains(&body, UNKNOWN_KEY_ID) => {
                Err(PortError::permanent(SERVICE, "no such key"))
            }
            // Wrong credentials are among these answers: the webhook may be genuine, so its sender must retry.
            Answer { status, .. } => Err(PortError::retryable(SERVICE, format!("status {status}"))),
        }
    }

    async fn call(&self, request: HttpRequest) -> PortResult<Answer> {
        if !request.uri().starts_with("https://") {
            return Err(PortError::permanent(SERVICE, "not https"));
        }
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|_| PortError::retryable(SERVICE, "not reached"))?;
        let status = answer.status().as_u16();
        let mut stream = ByteStream::new(answer.into_body());
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(|_| PortError::retryable(SERVICE, "cut off"))?);
            if body.len() > MAX_BYTES {
                return Err(PortError::permanent(SERVICE, "too large"));
            }
        }
        Ok(Answer { status, body })
    }
}

impl Materials for HttpsMaterials {
    async fn fetch(&self, request: &MaterialRequest) -> PortResult<Material> {
        let fetch = async {
            match request {
                MaterialRequest::Certificate { url } => self.certificate(url).await,
                MaterialRequest::JsonWebKey(request) => self.json_web_key(request).await,
            }
        };
        in_time(SERVICE, fetch).await.map(Material)
    }
}

/// What was good, in the payload bucket: one object for each endpoint.
#[derive(Debug, Clone)]
pub struct S3Materials {
    config: SdkConfig,
    /// Made when it is first used: few endpoints need it.
    client: OnceLock<aws_sdk_s3::Client>,
    bucket: String,
}

/// Under which no webhook's body is kept: those begin with a year.
const PREFIX: &str = "materials/";

impl S3Materials {
    /// Materials in `bucket`.
    pub fn new(config: SdkConfig, bucket: impl Into<String>) -> Self {
        Self { config, client: OnceLock::new(), bucket: bucket.into() }
    }

    fn client(&self) -> &aws_sdk_s3::Client {
        self.client.get_or_init(|| crate::s3_client(&self.config))
    }
}

impl MaterialStore for S3Materials {
    async fn load(&self, endpoint: &EndpointId) -> PortResult<Vec<StoredMaterial>> {
        in_time("s3", async {
            let key = format!("{PREFIX}{endpoint}.json");
            let object = self.client().get_object().bucket(&self.bucket).key(key).send().await;
            let object = match object.map_err(|problem| port_error("s3", &problem)) {
                Ok(object) => object,
                Err(PortError::Permanent { detail, .. }) if detail == "NoSuchKey" => return Ok(Vec::new()),
                // The bucket's old objects are archived. What nobody wrote for so long is not missed.
                Err(PortError::Retryable { detail, .. }) if detail == "InvalidObjectState" => {
                    return Ok(Vec::new());
                }
                Err(problem) => return Err(problem),
            };
            let bytes = object.body.collect().await.map_err(|_| PortError::retryable("s3", "body cut off"))?;
            Ok(serde_json::from_slice(&bytes.into_bytes()).unwrap_or_else(|problem| {
                error!(%endpoint, line = problem.line(), column = problem.column(), "stored materials cannot be read");
                Vec::new()
            }))
        })
        .await
    }

    async fn save(&self, endpoint: &EndpointId, materials: &[StoredMaterial]) -> PortResult<()> {
        let body = serde_json::to_vec(materials)
            .map_err(|_| PortError::permanent("s3", "materials cannot be written"))?;
        let put = self.client().put_object().bucket(&self.bucket).key(format!("{PREFIX}{endpoint}.json"));
        let put = put.content_type("application/json").body(ByteStream::from(body)).send().await;
        put.map(drop).map_err(|problem| port_error("s3", &problem))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::TcpListener,
        sync::Arc,
        thread::JoinHandle,
    };

    use aws_smithy_http_client::tls::TrustStore;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
    use tollgate_core::Timestamp;
    use tollgate_pipeline::{
        materials::{Asker, KeptMaterials},
        ports::Clock,
    };
    use tollgate_providers::{
        Endpoint, Headers, KeyMaterial, KeyRing, Received, Refusal, Secret, SignedWebhook, ToSign,
    };

    use super::*;

    const NOW: i64 = 1_760_000_000;
    const HOST: &str = "production.plaid.com";
    /// RFC 7515, appendix A.3.
    const KEY: &str = r#"{"kid":"k-1","kty":"EC","crv":"P-256","alg":"ES256","use":"sig","expired_at":null,
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

    /// A host on the internet, as a proxy shows it to its client: a tunnel, TLS under a name, one answer to one
    /// request. Gives back what it was asked for.
    fn host(name: &str, answer: Vec<u8>) -> (HttpsMaterials, JoinHandle<(String, String)>) {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let trusted = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&authority, &authority_key)).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = ProxyConfig::https(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let served = std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let (tunnel, _) = read_request(&mut tcp);
            tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
            let (head, body) = read_request(&mut tls);
            // A client that has read enough hangs up.
            let _ = tls.write_all(&answer).and_then(|()| tls.flush());
            tls.conn.send_close_notify();
            let _ = tls.flush();
            (tunnel, format!("{head}{body}"))
        });
        let trust = TlsContext::builder()
            .with_trust_store(TrustStore::empty().with_pem_certificate(trusted))
            .build()
            .unwrap();
        (HttpsMaterials::with(Connector::builder().proxy_config(proxy), trust), served)
    }

    fn read_request(stream: &mut impl Read) -> (String, String) {
        let mut reader = BufReader::with_capacity(1, stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            assert!(reader.read_line(&mut head).unwrap() > 0, "cut off: {head}");
            if let Some(value) = head[begin..].to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn answer(status: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// What Plaid answers: the public half, wrapped.
    fn key_answer(expired_at: &str) -> Vec<u8> {
        let (public, _) = KEY.split_once(",\n        \"d\"").unwrap();
        let public = public.replace(r#""expired_at":null"#, &format!(r#""expired_at":{expired_at}"#));
        answer("200 OK", &format!(r#"{{"key":{public}}},"request_id":"r-1"}}"#))
    }

    struct Webhook {
        endpoint: Endpoint,
        keys: KeyRing,
        signed: SignedWebhook,
    }

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn webhook() -> Webhook {
        let config = r#"{"id":"bank","scheme":"plaid","secret":"ssm:bank"}"#;
        let endpoint = Endpoint::new(serde_json::from_str(config).unwrap()).unwrap();
        let ring = |text: &str| endpoint.keys(vec![KeyMaterial::new("current", Secret::new(text))]).unwrap();
        let to_sign =
            ToSign { headers: &Headers::new(), query: "", body: br#"{"webhook_type":"ITEM"}"#, url: None };
        let signed = endpoint.sign(to_sign, &ring(KEY), now()).unwrap();
        let keys = ring("a1client:b2secret");
        Webhook { endpoint, keys, signed }
    }

    impl Webhook {
        fn received(&self) -> Received<'_> {
            Received { headers: &self.signed.headers, query: "", body: &self.signed.body }
        }

        fn wanted(&self) -> MaterialRequest {
            self.endpoint.material_for(self.received(), &self.keys, now()).unwrap().unwrap()
        }

        fn verify(&self, material: &Material) -> Result<String, Refusal> {
            let verdict = self.endpoint.verify(self.received(), &self.keys, Some(material), now());
            verdict.map(|verified| verified.key_id().to_owned())
        }
    }

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            now()
        }
    }

    #[derive(Debug)]
    struct Nowhere;

    impl MaterialStore for Nowhere {
        async fn load(&self, _: &EndpointId) -> PortResult<Vec<StoredMaterial>> {
            Ok(Vec::new())
        }

        async fn save(&self, _: &EndpointId, _: &[StoredMaterial]) -> PortResult<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_key_of_plaids_is_fetched_once_and_verifies() {
        let webhook = webhook();
        let (materials, served) = host(HOST, key_answer("null"));
        let materials = KeptMaterials::new(materials, Nowhere, Still);
        let asker = Asker { endpoint: webhook.endpoint.id(), source_ip: "203.0.113.9" };
        let material = materials.fetch(asker, &webhook.wanted()).await.unwrap();
        assert_eq!(webhook.verify(&material), Ok("current".to_owned()));
        let (tunnel, asked) = served.join().unwrap();
        assert!(tunnel.starts_with("CONNECT production.plaid.com:443 "), "{tunnel}");
        assert!(asked.starts_with("POST /webhook_verification_key/get HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_ascii_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{asked}");
        let body = r#"{"client_id":"a1client","secret":"b2secret","key_id":"k-1"}"#;
        assert!(asked.ends_with(&format!("\r\n\r\n{body}")), "{asked}");
        // The host is gone by now.
        assert_eq!(materials.fetch(asker, &webhook.wanted()).await, Ok(material));
    }

    #[tokio::test]
    async fn a_retired_key_does_not_verify() {
        let webhook = webhook();
        let (materials, _served) = host(HOST, key_answer("1759999999"));
        let material = materials.fetch(&webhook.wanted()).await.unwrap();
        assert_eq!(webhook.verify(&material), Err(Refusal::MaterialUntrusted("it has expired")));
    }

    #[tokio::test]
    async fn an_answer_without_a_key_is_an_error() {
        let too_large = "x".repeat(MAX_BYTES + 1);
        let unknown = r#"{"error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}"#;
        let cases = [
            (answer("400 Bad Request", unknown), PortError::permanent(SERVICE, "no such key")),
            (
                answer("400 Bad Request", r#"{"error_code":"INVALID_API_KEYS"}"#),
                PortError::retryable(SERVICE, "status 400"),
            ),
            (answer("500 Oh", ""), PortError::retryable(SERVICE, "status 500")),
            (answer("302 Found", ""), PortError::retryable(SERVICE, "status 302")),
            (answer("200 OK", &too_large), PortError::permanent(SERVICE, "too large")),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
                PortError::retryable(SERVICE, "cut off"),
            ),
        ];
        for (answer, expected) in cases {
            let (materials, _served) = host(HOST, answer);
            assert_eq!(materials.fetch(&webhook().wanted()).await, Err(expected));
        }
    }

    #[tokio::test]
    async fn a_certificate_that_does_not_exist_is_not_waited_for() {
        let none = PortError::permanent(SERVICE, "no such certificate");
        for (status, expected) in [
            ("404 Not Found", none.clone()),
            ("410 Gone", none),
            ("503 Busy", PortError::retryable(SERVICE, "status 503")),
        ] {
            let (materials, _served) = host("api.paypal.com", answer(status, ""));
            let url = "https://api.paypal.com/v1/notifications/certs/CERT-1".to_owned();
            let fetched = materials.fetch(&MaterialRequest::Certificate { url }).await;
            assert_eq!(fetched, Err(expected), "{status}");
        }
    }

    #[tokio::test]
    async fn another_host_is_told_nothing() {
        let (materials, served) = host("production.plaid.com.evil.example", key_answer("null"));
        let problem = materials.fetch(&webhook().wanted()).await.unwrap_err();
        assert_eq!(problem, PortError::retryable(SERVICE, "not reached"));
        assert!(served.join().is_err(), "the handshake ended before any request");
    }
}
