//! The endpoints of a campaign: one of every provider in the catalogue, and some on the ordered queue; and their keys.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, anyhow};
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::{SecureRandom, SystemRandom},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tollgate_core::{Delivery, EndpointConfig, id::to_hex};
use tollgate_providers::{
    Endpoint, KeyMaterial, Secret,
    catalogue::{self, Provider},
    scheme::{Algorithm, KeyForm},
};

/// Square and others sign the URL that is registered with them.
const URL: &str = "https://webhooks.example.com/prove";
/// In seconds.
const LEAST_WINDOW: u32 = 300;
/// Of these there is an ordered endpoint as well.
const ORDERED: [&str; 8] =
    ["adyen", "generic", "gocardless", "paddle", "razorpay", "square", "standard_webhooks", "stripe"];

/// Writes `endpoints.toml` for `tollgate endpoints apply`, and the key of each endpoint into `keys/`.
///
/// # Errors
///
/// When a file cannot be written, or the system has no random bytes.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let mut text = "# The endpoints of one campaign, written by `tollgate-prove endpoints`.\n".to_owned();
    fs::create_dir_all(folder.join("keys"))?;
    for row in catalogue::providers() {
        let name = format!("prove-{}", row.name.replace('_', "-"));
        let ordered = ORDERED.contains(&row.name.as_str()).then(|| format!("{name}-ordered"));
        for name in [Some(name), ordered].into_iter().flatten() {
            text.push_str(&described(row, &name));
            write_key(&folder.join("keys").join(&name), &new_key(row)?)?;
        }
    }
    fs::write(folder.join("endpoints.toml"), text)?;
    Ok(())
}

fn described(row: &Provider, name: &str) -> String {
    let delivery = if name.ends_with("-ordered") { "ordered" } else { "fast" };
    // Paddle's are good for five seconds. On a machine that does everything at once some come later.
    let window = row.info().ok().and_then(|info| info.window).filter(|window| *window < LEAST_WINDOW);
    let tolerance = window.map(|_| format!("tolerance_seconds = {LEAST_WINDOW}\n")).unwrap_or_default();
    format!(
        "\n[[endpoints]]\nid = \"{name}\"\nscheme = \"{}\"\nsecret = \"secretsmanager:tollgate/{{suffix}}/{name}\"\n\
         delivery = \"{delivery}\"\nnotification_url = \"{URL}\"\n{tolerance}",
        row.name
    )
}

/// For nobody else to read.
fn write_key(path: &Path, key: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(key.as_bytes())?)
}

/// A new key for an endpoint, in the file that `tollgate endpoints rotate --secret-file` takes.
///
/// # Errors
///
/// When its provider is unknown, or as [`write`].
pub(crate) fn write_new_key(folder: &Path, endpoint: &str, to: &Path) -> anyhow::Result<()> {
    let endpoints = read(folder)?;
    let endpoint = endpoints.iter().find(|one| one.id().as_str() == endpoint).context("no such endpoint")?;
    let row = catalogue::find(endpoint.provider().as_str()).context("no such provider")?;
    write_key(to, &new_key(row)?)
}

/// A random key of the form that this provider gives.
fn new_key(row: &Provider) -> anyhow::Result<String> {
    let mut bytes = [0; 64];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no random bytes"))?;
    let (half, _) = bytes.split_at(32);
    let text = format!("user:{}", to_hex(half));
    let form = row.scheme.as_ref().map(|scheme| (scheme.key.form, scheme.algorithm, scheme.key.bytes));
    let key = match form {
        None if row.name == "adyen" => to_hex(half),
        None => text,
        Some((KeyForm::Pem, ..)) => rsa_key()?,
        Some((KeyForm::Base64, Algorithm::Ed25519, _)) => format!("whsk_{}", STANDARD.encode(half)),
        Some((KeyForm::Base64, ..)) => format!("whsec_{}", STANDARD.encode(half)),
        Some((KeyForm::Hex, _, length)) => {
            to_hex(bytes.get(..length.unwrap_or(32)).context("a longer key than any")?)
        }
        Some((KeyForm::Utf8, ..)) => text,
    };
    if !row.keys_have_ids {
        return Ok(key);
    }
    let id = to_hex(half.get(..4).unwrap_or_default());
    Ok(serde_json::json!({"keys": [{"id": id, "value": key}]}).to_string())
}

fn rsa_key() -> anyhow::Result<String> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key can be made"))?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("the RSA key cannot be written"))?;
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref())))
}

#[derive(Deserialize)]
struct File {
    endpoints: Vec<EndpointConfig>,
}

/// The endpoints that [`write()`] wrote.
///
/// # Errors
///
/// When the file is not there or no list of endpoints.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<Endpoint>> {
    let path = folder.join("endpoints.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file: File = toml::from_str(&text)?;
    file.endpoints.into_iter().map(|config| Ok(Endpoint::new(config)?)).collect()
}

/// Whether it is on the ordered queue.
pub(crate) fn is_ordered(endpoint: &Endpoint) -> bool {
    endpoint.delivery() == Delivery::Ordered
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    value: String,
}

/// The endpoint's key as its file has it now.
///
/// # Errors
///
/// When there is no such file.
pub(crate) fn key(folder: &Path, endpoint: &Endpoint) -> anyhow::Result<Vec<KeyMaterial>> {
    let path = folder.join("keys").join(endpoint.id().as_str());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(materials(&text))
}

/// A key that is not the endpoint's.
///
/// # Errors
///
/// As [`write()`].
pub(crate) fn forgers_key(endpoint: &Endpoint) -> anyhow::Result<Vec<KeyMaterial>> {
    let row = catalogue::find(endpoint.provider().as_str()).context("no such provider")?;
    Ok(materials(&new_key(row)?))
}

fn materials(text: &str) -> Vec<KeyMaterial> {
    match serde_json::from_str::<Keys>(text) {
        Ok(keys) => {
            keys.keys.into_iter().map(|key| KeyMaterial::new(key.id, Secret::new(key.value))).collect()
        }
        Err(_) => vec![KeyMaterial::unnamed("current", Secret::new(text))],
    }
}
