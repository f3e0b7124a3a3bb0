//! The endpoints file.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::Deserialize;
use tollgate_aws::names::Names;
use tollgate_core::EndpointConfig;
use tollgate_providers::{Endpoint, SpecError};

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
        match check(&row, &names) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(found) => problems.extend(found.iter().map(|problem| format!("endpoint {name}: {problem}"))),
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

/// The endpoint of a row, or everything that is wrong with it.
fn check(row: &toml::Value, names: &Names) -> Result<Endpoint, Vec<String>> {
    let secret = row.get("secret").and_then(toml::Value::as_str).and_then(|it| secret_problem(it, names));
    let row = serde_json::to_value(row).map_err(|problem| vec![problem.to_string()])?;
    with(secret, Endpoint::read(row))
}

/// The endpoint, if the environment's functions take it, or everything for which they do not.
pub(super) fn check_config(config: EndpointConfig, names: &Names) -> Result<Endpoint, Vec<String>> {
    let secret = secret_problem(&config.secret, names);
    with(secret, Endpoint::check(config))
}

fn with(secret: Option<String>, checked: Result<Endpoint, Vec<SpecError>>) -> Result<Endpoint, Vec<String>> {
    let mut problems = Vec::from_iter(secret);
    match checked {
        Ok(endpoint) if problems.is_empty() => return Ok(endpoint),
        Ok(_) => {}
        Err(mistakes) => problems.extend(mistakes.iter().map(ToString::to_string)),
    }
    Err(problems)
}

/// What is wrong with where a key is kept. The text is not repeated: people paste keys.
fn secret_problem(secret: &str, names: &Names) -> Option<String> {
    let suffix = names.suffix();
    match Reference::parse(secret) {
        Err(problem) => Some(format!("secret: {problem}")),
        Ok(_) if names.is_own_secret(secret) => None,
        Ok(_) => Some(format!(
            "secret: not the platform's: secretsmanager:tollgate/{suffix}/NAME or ssm:/tollgate/{suffix}/secrets/NAME"
        )),
    }
}

/// The endpoints of a file, for an environment.
///
/// # Errors
///
/// When it cannot be read, or has mistakes: all of them.
pub(crate) fn of_file(file: &std::path::Path, suffix: &str) -> anyhow::Result<Vec<EndpointConfig>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    match read(&text, suffix) {
        Ok(endpoints) => Ok(endpoints.iter().map(|endpoint| endpoint.config().clone()).collect()),
        Err(problems) => anyhow::bail!("{}: {}", file.display(), problems.join("; ")),
    }
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
            delivery = "slow"
        "#;
        let problems = read(text, "dev").unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(problems[0].contains("Shop"));
        assert!(problems[1].contains("secret") && !problems[1].contains("whsec_"));
        assert!(problems[2].contains("delivery") && problems[2].contains("`slow`"));
        assert!(problems[3].contains("on_duplcate"));
        assert!(problems[4].contains("twice"));
        assert!(read("", "dev").is_err());
    }

    #[test]
    fn every_example_of_the_page_of_custom_schemes_applies() {
        let page = include_str!("../../../../docs/custom-schemes.md");
        let examples = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let examples: Vec<&str> = examples.collect();
        assert!(examples.len() > 3, "only {} examples were found", examples.len());
        for example in examples {
            let endpoints = read(example, "dev").unwrap_or_else(|problems| panic!("{problems:?}\n{example}"));
            let warnings = endpoints.iter().flat_map(Endpoint::warnings).collect::<Vec<_>>();
            assert!(warnings.is_empty(), "{warnings:?}\n{example}");
        }
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
