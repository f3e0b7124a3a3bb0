//! The endpoints file.

use std::collections::BTreeSet;

use serde::Deserialize;
use tollgate_aws::names::Names;
use tollgate_core::EndpointConfig;
use tollgate_providers::Endpoint;

use super::keys::Reference;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    endpoints: Vec<toml::Value>,
}

/// Every endpoint of the file, or everything that is wrong with it.
pub(crate) fn read(text: &str, suffix: &str) -> Result<Vec<Endpoint>, Vec<String>> {
    let names = Names::new(suffix).map_err(|problem| vec![problem.to_string()])?;
    let file: File = toml::from_str(&text.replace("{suffix}", suffix))
        .map_err(|problem| vec![problem.to_string().trim_end().to_owned()])?;
    let (mut endpoints, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, row) in file.endpoints.into_iter().enumerate() {
        let id = row.get("id").and_then(toml::Value::as_str).map(str::to_owned);
        let name = id.clone().unwrap_or_else(|| format!("number {}", index + 1));
        match check(row, &names) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(problem) if problem.starts_with("endpoint ") => problems.push(problem),
            Err(problem) => problems.push(format!("endpoint {name}: {problem}")),
        }
        if !seen.insert(name.clone()) {
            problems.push(format!("endpoint {name}: described twice"));
        }
    }
    if endpoints.is_empty() && problems.is_empty() {
        problems.push("no [[endpoints]] in it".to_owned());
    }
    if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
}

fn check(row: toml::Value, names: &Names) -> Result<Endpoint, String> {
    let config: EndpointConfig =
        row.try_into().map_err(|problem: toml::de::Error| problem.message().to_owned())?;
    check_config(config, names)
}

/// The endpoint, if the environment's functions take it, or why they do not.
pub(super) fn check_config(config: EndpointConfig, names: &Names) -> Result<Endpoint, String> {
    Reference::parse(&config.secret).map_err(|problem| format!("secret: {problem}"))?;
    if !names.is_own_secret(&config.secret) {
        // The text is not repeated: people paste keys.
        let suffix = names.suffix();
        return Err(format!(
            "secret: not the platform's: secretsmanager:tollgate/{suffix}/NAME or ssm:/tollgate/{suffix}/secrets/NAME"
        ));
    }
    Endpoint::new(config).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_stands_in_names() {
        let text = r#"
            [[endpoints]]
            id = "shop"
            scheme = "stripe"
            secret = "secretsmanager:tollgate/{suffix}/shop"
        "#;
        let endpoints = read(text, "demo").unwrap();
        assert_eq!(endpoints.first().unwrap().config().secret, "secretsmanager:tollgate/demo/shop");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = r#"
            [[endpoints]]
            id = "Shop"
            scheme = "stripe"
            secret = "secretsmanager:tollgate/dev/a"
            [[endpoints]]
            id = "shop"
            scheme = "stripe"
            secret = "whsec_c2VjcmV0"
            [[endpoints]]
            id = "shop"
            scheme = "stripe"
            secret = "secretsmanager:tollgate/dev/a"
            on_duplcate = "conflict"
        "#;
        let problems = read(text, "dev").unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].contains("Shop"));
        assert!(problems[1].contains("secret") && !problems[1].contains("whsec_"));
        assert!(problems[2].contains("on_duplcate"));
        assert!(problems[3].contains("twice"));
        assert!(read("", "dev").is_err());
    }

    #[test]
    fn a_secret_of_another_platform_is_refused() {
        for secret in
            ["secretsmanager:prod/database", "secretsmanager:tollgate/prod/shop", "ssm:/tollgate/dev/key"]
        {
            let text = format!("[[endpoints]]\nid = \"shop\"\nscheme = \"stripe\"\nsecret = \"{secret}\"\n");
            let problems = read(&text, "dev").unwrap_err();
            assert!(problems[0].contains("not the platform's"), "{problems:?}");
            assert!(!problems[0].contains(secret), "{problems:?}");
        }
    }
}
