//! How the endpoints of an environment differ from those of a file.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;
use tollgate_core::{EndpointConfig, EndpointId};

/// One endpoint that is not as the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Drift {
    /// The environment has it, and the file has not.
    OnlyDeployed {
        /// Its name.
        id: EndpointId,
    },
    /// The file has it, and the environment has not.
    OnlyInFile {
        /// Its name.
        id: EndpointId,
    },
    /// Some of its settings differ.
    Differs {
        /// Its name.
        id: EndpointId,
        /// Their names.
        settings: Vec<String>,
    },
}

impl Drift {
    /// Of which endpoint.
    pub fn id(&self) -> EndpointId {
        match self {
            Self::OnlyDeployed { id } | Self::OnlyInFile { id } | Self::Differs { id, .. } => *id,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyDeployed { .. } => f.write_str("the environment alone has it"),
            Self::OnlyInFile { .. } => f.write_str("the file alone has it"),
            Self::Differs { settings, .. } => write!(f, "differs in {}", settings.join(", ")),
        }
    }
}

/// Every difference, by the endpoints' names. Settings that stand for the same, as a default that one of them writes out, do
/// not differ.
pub fn drift(file: &[EndpointConfig], deployed: &[EndpointConfig]) -> Vec<Drift> {
    let by_id = |all: &[EndpointConfig]| -> BTreeMap<EndpointId, EndpointConfig> {
        all.iter().map(|one| (one.id, one.clone())).collect()
    };
    let (file, mut deployed) = (by_id(file), by_id(deployed));
    let mut found: Vec<Drift> = file
        .into_iter()
        .filter_map(|(id, wanted)| match deployed.remove(&id) {
            None => Some(Drift::OnlyInFile { id }),
            Some(has) if has == wanted => None,
            Some(has) => Some(Drift::Differs { id, settings: settings(&wanted, &has) }),
        })
        .collect();
    found.extend(deployed.into_keys().map(|id| Drift::OnlyDeployed { id }));
    found.sort_by_key(Drift::id);
    found
}

fn settings(one: &EndpointConfig, other: &EndpointConfig) -> Vec<String> {
    let fields = |config: &EndpointConfig| match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (one, other) = (fields(one), fields(other));
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: &str, more: &str) -> EndpointConfig {
        let text =
            format!(r#"{{"id":"{id}","scheme":"stripe","secret":"ssm:/tollgate/dev/secrets/a"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_difference_is_named() {
        let file = [config("a", ""), config("b", r#","tolerance_seconds":60"#), config("c", "")];
        let deployed = [config("d", ""), config("b", r#","delivery":"ordered""#), config("c", "")];
        let found: Vec<String> =
            drift(&file, &deployed).iter().map(|one| format!("{} {one}", one.id())).collect();
        assert_eq!(
            found,
            [
                "a the file alone has it",
                "b differs in delivery, tolerance_seconds",
                "d the environment alone has it"
            ]
        );
        assert_eq!(drift(&file, &file), []);
    }
}
