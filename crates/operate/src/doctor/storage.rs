//! What holds data: tables and buckets, and what protects them.

use anyhow::Context;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TimeToLiveStatus};
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus};
use futures_util::{future::join_all, join};

use super::model::{Finding, told};
use crate::{aws::Aws, described};

const TABLES: &str = "tables";
const BUCKETS: &str = "buckets";
/// The attribute by which items expire (infra/tollgate.yaml).
const EXPIRY: &str = "expires_at";
const DEPLOY: &str = "`make deploy` again";

pub(super) async fn check(aws: &Aws) -> Vec<Finding> {
    let names = [aws.names.ledger_table(), aws.names.transactions_table()];
    let tables = join_all(names.iter().map(|name| of_table(aws, name)));
    let (tables, buckets) = join!(tables, buckets(aws));
    tables.into_iter().flatten().chain(told(BUCKETS, "all", buckets)).collect()
}

async fn of_table(aws: &Aws, name: &str) -> Vec<Finding> {
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config);
    let mut found = told(TABLES, name, table(aws, name).await);
    if aws.platform.is_some() {
        // The peer keeps no backups, and makes no expiry of the template's.
        found.push(Finding::left_out(TABLES, name));
        return found;
    }
    let (recovery, expiry) = join!(recovery(&dynamodb, name), expiry(&dynamodb, name));
    found.extend(told(TABLES, name, recovery));
    found.extend(told(TABLES, name, expiry));
    found
}

async fn buckets(aws: &Aws) -> anyhow::Result<Vec<Finding>> {
    let account = aws.account().await?;
    let names = [
        aws.names.archive_bucket(&account),
        aws.names.payload_bucket(&account),
        aws.names.endpoints_bucket(&account),
    ];
    let s3 = tollgate_aws::s3_client(&aws.config);
    let of_each = names.iter().map(async |name| {
        let mut found = told(BUCKETS, name, versions(&s3, name).await);
        if aws.platform.is_some() {
            // The peer takes no lifecycle and no policy of a bucket (infra/README.md).
            found.push(Finding::left_out(BUCKETS, name));
            return found;
        }
        let (lifecycle, access) = join!(lifecycle(&s3, name), access(&s3, name));
        found.extend(told(BUCKETS, name, lifecycle));
        found.extend(told(BUCKETS, name, access));
        found
    });
    Ok(join_all(of_each).await.into_iter().flatten().collect())
}

async fn table(aws: &Aws, name: &str) -> anyhow::Result<Vec<Finding>> {
    let table = described::table(aws, name).await?;
    if !matches!(table.table_status.as_str(), "ACTIVE" | "UPDATING") {
        let detail = format!("its status is {}", table.table_status);
        return Ok(vec![Finding::fail(TABLES, name, detail, "docs/runbook.md#restore-a-table")]);
    }
    let said = ["active, protected from deletion", "active; anybody who may, deletes it at once"];
    let remedy = "set DeletionProtection in infra/params, unless the environment is to go";
    let mut found = Finding::of_property(TABLES, name, table.is_protected(), said, remedy);
    if aws.platform.is_some() && !table.is_protected() {
        found = Finding::ok(TABLES, name, "active");
    }
    Ok(vec![found])
}

async fn recovery(dynamodb: &aws_sdk_dynamodb::Client, name: &str) -> anyhow::Result<Vec<Finding>> {
    let answer = dynamodb.describe_continuous_backups().table_name(name).send().await;
    let answer = answer.map_err(aws_sdk_dynamodb::Error::from).context("asking for its backups")?;
    let described = answer.continuous_backups_description();
    let status =
        described.and_then(|one| one.point_in_time_recovery_description()?.point_in_time_recovery_status());
    let is_on = status == Some(&PointInTimeRecoveryStatus::Enabled);
    let said = ["can be restored to any second", "has no point-in-time recovery"];
    Ok(vec![Finding::of_property(TABLES, name, is_on, said, "docs/runbook.md#restore-a-table")])
}

async fn expiry(dynamodb: &aws_sdk_dynamodb::Client, name: &str) -> anyhow::Result<Vec<Finding>> {
    let answer = dynamodb.describe_time_to_live().table_name(name).send().await;
    let answer = answer.map_err(aws_sdk_dynamodb::Error::from).context("asking for its expiry")?;
    let is_on = answer.time_to_live_description().is_some_and(|one| {
        one.time_to_live_status() == Some(&TimeToLiveStatus::Enabled) && one.attribute_name() == Some(EXPIRY)
    });
    let said = ["forgets what has expired", "never forgets: it grows, and holds what should be gone"];
    Ok(vec![Finding::of_property(TABLES, name, is_on, said, "docs/runbook.md#restore-a-table")])
}

async fn versions(s3: &aws_sdk_s3::Client, name: &str) -> anyhow::Result<Vec<Finding>> {
    let answer = s3.get_bucket_versioning().bucket(name).send().await;
    let answer = answer.map_err(aws_sdk_s3::Error::from).context("asking for its versions")?;
    let is_on = answer.status() == Some(&BucketVersioningStatus::Enabled);
    let said = ["keeps versions", "keeps no versions: what is overwritten is gone"];
    Ok(vec![Finding::of_property(BUCKETS, name, is_on, said, DEPLOY)])
}

async fn lifecycle(s3: &aws_sdk_s3::Client, name: &str) -> anyhow::Result<Vec<Finding>> {
    let answer = s3.get_bucket_lifecycle_configuration().bucket(name).send().await;
    let is_on = match answer.map_err(aws_sdk_s3::Error::from) {
        Ok(answer) => answer.rules().iter().any(|rule| rule.status() == &ExpirationStatus::Enabled),
        Err(problem) if code(&problem) == Some("NoSuchLifecycleConfiguration") => false,
        Err(problem) => return Err(problem).context("asking for its lifecycle"),
    };
    let said = ["has a lifecycle", "has no lifecycle: nothing ever leaves it"];
    Ok(vec![Finding::of_property(BUCKETS, name, is_on, said, DEPLOY)])
}

async fn access(s3: &aws_sdk_s3::Client, name: &str) -> anyhow::Result<Vec<Finding>> {
    let answer = s3.get_public_access_block().bucket(name).send().await;
    let is_closed = match answer.map_err(aws_sdk_s3::Error::from) {
        Ok(answer) => answer.public_access_block_configuration().is_some_and(|block| {
            [
                block.block_public_acls(),
                block.block_public_policy(),
                block.ignore_public_acls(),
                block.restrict_public_buckets(),
            ]
            .iter()
            .all(|one| *one == Some(true))
        }),
        Err(problem) if code(&problem) == Some("NoSuchPublicAccessBlockConfiguration") => false,
        Err(problem) => return Err(problem).context("asking for its public access"),
    };
    let answer = s3.get_bucket_policy_status().bucket(name).send().await;
    let has_policy = match answer.map_err(aws_sdk_s3::Error::from) {
        Ok(answer) => answer.policy_status().and_then(|status| status.is_public()) == Some(false),
        Err(problem) if code(&problem) == Some("NoSuchBucketPolicy") => false,
        Err(problem) => return Err(problem).context("asking for its policy"),
    };
    Ok(vec![
        Finding::of_property(
            BUCKETS,
            name,
            is_closed,
            ["is closed to the public", "may be opened to the public"],
            DEPLOY,
        ),
        Finding::of_property(
            BUCKETS,
            name,
            has_policy,
            ["has a policy, which is not public", "has no policy, or a public one"],
            DEPLOY,
        ),
    ])
}

fn code(problem: &aws_sdk_s3::Error) -> Option<&str> {
    aws_sdk_s3::error::ProvideErrorMetadata::code(problem)
}
