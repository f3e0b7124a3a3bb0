//! A provider's webhooks: which there are, and making one.

use std::{collections::BTreeSet, fmt};

use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::{
    client::{Ask, Client, ENCODED, FORM, JSON},
    error::ApiError,
    spec::Register,
};

/// A webhook, as the provider lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id; empty where nobody knows here where the provider has it.
    pub id: String,
    /// Where it leads.
    pub url: String,
    /// The types that it is sent; `*` is all of them.
    pub types: BTreeSet<String>,
    /// Whether it is switched off.
    pub is_off: bool,
}

impl Webhook {
    /// Whether its URL ends in `/webhook/ENDPOINT`.
    pub fn leads_to(&self, endpoint: &str) -> bool {
        let path = self.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        path.strip_suffix(endpoint).is_some_and(|rest| rest.ends_with("/webhook/"))
    }
}

/// A webhook that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where it leads.
    pub url: String,
    /// What it is called, where the provider takes a name.
    pub name: String,
    /// The types that it is sent; `*` is all of them.
    pub types: BTreeSet<String>,
}

/// A key that webhooks are verified with. Not printable.
#[derive(Clone)]
pub struct WebhookKey(String);

impl WebhookKey {
    /// The text itself, which belongs in no output.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

impl Client {
    /// Its webhooks.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn webhooks(&mut self) -> Result<Vec<Webhook>, ApiError> {
        let how = self.api().subscriptions.as_ref();
        let how = how.ok_or(ApiError::NotAsDocumented("it lists no webhooks"))?;
        let answer = read(&self.ask(&how.path, None).await?.unwrap_or_default())?;
        let webhooks = match answer.pointer(&how.items) {
            // Square leaves an empty list out.
            None if answer.as_object().is_some_and(serde_json::Map::is_empty) => Some(&[] as &[Value]),
            webhooks => webhooks.and_then(Value::as_array).map(Vec::as_slice),
        };
        let webhooks = webhooks.ok_or(ApiError::NotAsDocumented("it has no list of webhooks"))?;
        let id = self.api().register.as_ref().map(|register| register.id.as_str());
        let one = |webhook: &Value| {
            let text = |pointer: &str| webhook.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let types = webhook.pointer(&how.types).and_then(Value::as_array);
            let types = types.ok_or(ApiError::NotAsDocumented("a webhook has no list of types"))?;
            Ok(Webhook {
                id: id.map(text).unwrap_or_default().to_owned(),
                url: text(&how.url).to_owned(),
                types: names(types, how.type_name.as_deref()),
                is_off: how.off.as_ref().is_some_and(|(pointer, off)| text(pointer) == off),
            })
        };
        webhooks.iter().map(one).collect()
    }

    /// The types that a webhook can be sent; `None` where the provider does not list them.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn available(&mut self) -> Result<Option<BTreeSet<String>>, ApiError> {
        let available = self.api().register.as_ref().and_then(|register| register.available.as_ref());
        let Some(how) = available else { return Ok(None) };
        let answer = read(&self.ask(&how.path, None).await?.unwrap_or_default())?;
        let types = answer.pointer(&how.items).and_then(Value::as_array);
        let types = types.ok_or(ApiError::NotAsDocumented("it has no list of types"))?;
        Ok(Some(names(types, how.type_name.as_deref())))
    }

    /// Makes a webhook, and gives its id and its key. `once` is a text of this webhook alone.
    ///
    /// # Errors
    ///
    /// [`ApiError`]; by [`ApiError::Unknown`] it may have been made.
    pub async fn make(&mut self, webhook: &NewWebhook, once: &str) -> Result<(String, WebhookKey), ApiError> {
        let how = self.register()?;
        let body: Value =
            serde_json::from_str(&how.body).map_err(|_| ApiError::NotAsDocumented("our own data"))?;
        let type_name = self.api().subscriptions.as_ref().and_then(|how| how.type_name.as_deref());
        let body = filled(&body, webhook, type_name, once);
        let body = if how.is_form { (form(&body), FORM) } else { (body.to_string(), JSON) };
        let ask = Ask {
            body: Some(body),
            header: how.once_header.as_deref().map(|name| (name, once)),
            is_done_once: how.once_header.is_some() || how.body.contains("{once}"),
            problem: Some(&how.problem),
            ..Ask::new("POST", &how.path)
        };
        let answer = self.ask_for(&ask).await.map_err(|problem| match problem {
            // The last of several tries: an earlier one may have been heard.
            ApiError::NoAnswer(_) | ApiError::Status(500..) => ApiError::Unknown(problem.to_string()),
            problem => problem,
        })?;
        let answer = read(&answer.unwrap_or_default())?;
        let id = answer.pointer(&how.item).and_then(|item| item.pointer(&how.id)).and_then(Value::as_str);
        let id = id.ok_or(ApiError::NotAsDocumented("it has no id of the webhook"))?.to_owned();
        Ok((id, key(how, &answer)?))
    }

    /// The key of a webhook that was made before; `None` where the provider shows it once.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn key_again(&mut self, id: &str) -> Result<Option<WebhookKey>, ApiError> {
        let how = self.register()?;
        let Some(path) = &how.again else { return Ok(None) };
        let answer = self.ask(&at(path, id), None).await?;
        key(how, &read(&answer.unwrap_or_default())?).map(Some)
    }

    /// Removes a webhook. One that is not there is no failure.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn remove(&mut self, id: &str) -> Result<(), ApiError> {
        let how = self.register()?;
        let path = how.remove.as_ref().ok_or(ApiError::NotAsDocumented("it removes no webhook"))?;
        match self.ask_for(&Ask { problem: Some(&how.problem), ..Ask::new("DELETE", &at(path, id)) }).await {
            Ok(_) | Err(ApiError::Status(404) | ApiError::Said(404, _)) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    fn register(&self) -> Result<&'static Register, ApiError> {
        self.api().register.as_ref().ok_or(ApiError::NotAsDocumented("it makes no webhooks by its API"))
    }
}

fn read(answer: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(answer).map_err(|_| ApiError::NotAsDocumented("it is no JSON"))
}

fn at(path: &str, id: &str) -> String {
    path.replace("{id}", &utf8_percent_encode(id, ENCODED).to_string())
}

fn key(how: &Register, answer: &Value) -> Result<WebhookKey, ApiError> {
    let key = answer.pointer(&how.item).and_then(|item| item.pointer(&how.key)).and_then(Value::as_str);
    let key = key.filter(|key| !key.is_empty()).ok_or(ApiError::NotAsDocumented("it has no key"))?;
    Ok(WebhookKey(key.to_owned()))
}

fn names(types: &[Value], type_name: Option<&str>) -> BTreeSet<String> {
    let name = |one: &Value| {
        let text = type_name.map_or(Some(one), |pointer| one.pointer(pointer));
        text.and_then(Value::as_str).map(str::to_owned)
    };
    types.iter().filter_map(name).collect()
}

/// A body's template with what its texts stand for.
fn filled(template: &Value, webhook: &NewWebhook, type_name: Option<&str>, once: &str) -> Value {
    match template {
        Value::String(text) if text == "{types}" => {
            let one = |name: &String| match type_name.and_then(|pointer| pointer.strip_prefix('/')) {
                Some(member) => serde_json::json!({ member: name }),
                None => name.as_str().into(),
            };
            webhook.types.iter().map(one).collect()
        }
        Value::String(text) => match text.as_str() {
            "{url}" => webhook.url.as_str().into(),
            "{name}" => webhook.name.as_str().into(),
            "{once}" => once.into(),
            text => text.into(),
        },
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, webhook, type_name, once)))
            .collect(),
        other => other.clone(),
    }
}

/// A form's fields, of an object's members. A list's members are fields of the same name.
fn form(body: &Value) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut fields = Vec::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::Array(all) => fields.extend(
                all.iter()
                    .filter_map(Value::as_str)
                    .map(|one| format!("{}={}", encoded(&format!("{name}[]")), encoded(one))),
            ),
            value => fields.extend(value.as_str().map(|one| format!("{}={}", encoded(name), encoded(one)))),
        }
    }
    fields.join("&")
}
