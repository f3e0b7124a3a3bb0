//! The reconciler's settings.

use tollgate_aws::names::Names;
use tollgate_lambda::settings::{Reader, SettingsError, Source};

/// What the environment says. The tables and buckets have their usual names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) names: Names,
    pub(crate) account: String,
}

impl Settings {
    pub(crate) fn read(source: &dyn Source) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(source);
        let (environment, account) = (reader.text("ENVIRONMENT"), reader.text("ACCOUNT_ID"));
        reader.finish(())?;
        let names = Names::new(environment);
        let names = names.map_err(|problem| SettingsError(vec![format!("ENVIRONMENT: {problem}")]))?;
        Ok(Self { names, account })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_missing_is_reported_together() {
        let mut source = BTreeMap::from([("ENVIRONMENT", "dev"), ("ACCOUNT_ID", "111122223333")]);
        assert!(Settings::read(&source).is_ok());
        source.insert("ENVIRONMENT", "Dev");
        assert!(Settings::read(&source).unwrap_err().to_string().contains("ENVIRONMENT"));
        let problems = Settings::read(&BTreeMap::new()).unwrap_err().to_string();
        for name in source.keys() {
            assert!(problems.contains(name), "{problems}");
        }
    }
}
