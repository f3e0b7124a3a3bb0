//! An account that a server on loopback plays.

use std::collections::BTreeMap;

use tollgate_operate::aws::{Aws, Place, Platform};

/// Of a local platform the account alone: there are no logs.
pub async fn at(aws_endpoint: String) -> Aws {
    let platform = Platform {
        aws_endpoint,
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        suffix: "dev".to_owned(),
        api_url: String::new(),
        runner_url: None,
        log_dir: None,
        duckdb: None,
        functions: BTreeMap::new(),
    };
    Place { platform: Some(platform), ..Place::default() }.connect().await.unwrap()
}
