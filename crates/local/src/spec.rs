//! What a function is: the body of `PUT /functions/{name}`, checked, and the environment that follows from it.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::clock;

/// What every function on this machine shares.
#[derive(Debug)]
pub struct Host {
    /// For ARNs.
    pub account_id: String,
    /// From the start of a process to its first request for work.
    pub init_timeout: Duration,
    /// One log file a function.
    pub log_dir: PathBuf,
    /// The one variable that is inherited.
    pub path: OsString,
    /// For the environment and ARNs.
    pub region: String,
}

/// A function's settings, with Lambda's own bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The executable, by its absolute path.
    pub binary: PathBuf,
    /// Its arguments: none for a function, and the image for what runs a function's image.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Processes that run it: 1 to [`MAX_COPIES`].
    pub copies: usize,
    /// Told to the function; not enforced. 128 to 10,240.
    pub memory_mb: u32,
    /// A copy that takes longer over one invocation is killed: 1 to 900.
    pub timeout_seconds: u32,
    /// The function's own variables and the credentials that its role would give it.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The file that says how far the function's clock is from ours (scripts/prove/clock.c). Its deadlines are told by its
    /// own clock, as Lambda, on one machine with the function, tells them.
    #[serde(default)]
    pub clock: Option<PathBuf>,
}

/// The most copies of one function.
pub const MAX_COPIES: usize = 64;

impl Spec {
    /// The first setting that cannot serve, in words.
    pub fn check(&self) -> Result<(), String> {
        if !self.binary.is_absolute() || !self.binary.is_file() {
            return Err(format!("binary: {} is not the absolute path of a file", self.binary.display()));
        }
        if !(1..=MAX_COPIES).contains(&self.copies) {
            return Err(format!("copies: 1 to {MAX_COPIES}"));
        }
        if !(128..=10_240).contains(&self.memory_mb) {
            return Err("memory_mb: 128 to 10240".into());
        }
        if !(1..=900).contains(&self.timeout_seconds) {
            return Err("timeout_seconds: 1 to 900".into());
        }
        let bad = |(name, value): &(&String, &String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        match self.environment.iter().find(bad) {
            Some((name, _)) => Err(format!("environment: {name:?} cannot be a variable")),
            None => Ok(()),
        }
    }

    /// When an invocation that begins now must have ended, by the function's clock: milliseconds since the epoch.
    pub fn deadline_ms(&self) -> u128 {
        let end = clock::since_epoch() + self.timeout();
        let apart = self.clock.as_deref().map_or(0, clock::seconds_apart);
        end.as_millis().saturating_add_signed(i128::from(apart).saturating_mul(1_000))
    }

    /// The time that one invocation may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }

    /// Everything a copy finds in its environment. Lambda's reserved names win over the function's own.
    ///
    /// Source: AWS Lambda developer guide, "Defined runtime environment variables". Left out: what names a
    /// managed runtime (`AWS_EXECUTION_ENV`) and the address of an X-Ray daemon, which is not there.
    pub fn environment(
        &self,
        host: &Host,
        name: &str,
        runtime_api: &str,
        stream: &str,
    ) -> Vec<(OsString, OsString)> {
        let task_root = self.binary.parent().unwrap_or(&self.binary).as_os_str().to_owned();
        let handler = self.binary.file_name().unwrap_or_default().to_owned();
        let own = self.environment.iter().map(|(name, value)| (name.into(), value.into()));
        let defined: [(&str, OsString); 15] = [
            ("AWS_DEFAULT_REGION", host.region.clone().into()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.memory_mb.to_string().into()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.into()),
            ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.into()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}").into()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", stream.into()),
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.into()),
            ("AWS_REGION", host.region.clone().into()),
            ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR".into()),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime".into()),
            ("LAMBDA_TASK_ROOT", task_root),
            ("PATH", host.path.clone()),
            ("TZ", ":UTC".into()),
            ("_HANDLER", handler),
        ];
        own.chain(defined.map(|(name, value)| (name.into(), value))).collect()
    }
}

/// There are no published versions here.
pub const VERSION: &str = "$LATEST";

/// Whether `name` can be a function's: 1 to 64 of letters, digits, `-` and `_`.
pub fn is_function_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let body = r#"{"binary":"/bin/sh","copies":2,"memory_mb":512,"timeout_seconds":3,
            "environment":{"LEDGER_TABLE":"t","AWS_REGION":"mars-1"}}"#;
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn each_bound_is_checked() {
        assert_eq!(spec().check(), Ok(()));
        let wrong = [
            Spec { binary: "sh".into(), ..spec() },
            Spec { binary: "/bin".into(), ..spec() },
            Spec { copies: 0, ..spec() },
            Spec { copies: MAX_COPIES + 1, ..spec() },
            Spec { memory_mb: 127, ..spec() },
            Spec { timeout_seconds: 901, ..spec() },
            Spec { environment: [("A=B".into(), String::new())].into(), ..spec() },
        ];
        for spec in wrong {
            assert!(spec.check().is_err(), "{spec:?}");
        }
    }

    #[test]
    fn reserved_names_win() {
        let host = Host {
            account_id: "0".into(),
            init_timeout: Duration::from_secs(10),
            log_dir: "/tmp".into(),
            path: "/bin".into(),
            region: "us-east-1".into(),
        };
        let environment = spec().environment(&host, "f", "127.0.0.1:1", "s");
        let last = |name: &str| {
            environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        assert_eq!(last("AWS_REGION"), Some("us-east-1".into()));
        assert_eq!(last("LEDGER_TABLE"), Some("t".into()));
        assert_eq!(last("AWS_LAMBDA_FUNCTION_NAME"), Some("f".into()));
    }

    #[test]
    fn function_names() {
        assert!(is_function_name("webhook-validator-test"));
        for bad in ["", "a/b", "a b", &"x".repeat(65)] {
            assert!(!is_function_name(bad), "{bad}");
        }
    }
}
