//! Records of what operators did, in the archive's bucket.

use aws_sdk_s3::{error::ProvideErrorMetadata, primitives::ByteStream};
use serde_json::json;
use tollgate_core::Timestamp;
use tollgate_e2e::Platform;
use tollgate_operate::{
    audit::{Act, Found, PREFIX, Step, Wanted, each},
    aws::{Aws, Place},
};

/// The platform, as the operator's library knows it.
pub(crate) async fn aws(platform: &Platform) -> Aws {
    let place = Place {
        suffix: Some(platform.suffix().to_owned()),
        endpoint_url: Some(platform.setting("aws_endpoint").to_owned()),
        region: Some(platform.setting("region").to_owned()),
        platform: None,
        profile: None,
    };
    place.connect().await.unwrap()
}

async fn found(aws: &Aws, wanted: &Wanted) -> Vec<Found> {
    let mut all = Vec::new();
    each(aws, wanted, |found| {
        all.push(found);
        std::ops::ControlFlow::Continue(())
    })
    .await
    .unwrap();
    all
}

#[tokio::test]
async fn a_record_is_written_once_and_found_by_what_it_names() {
    let platform = Platform::open().await;
    let aws = aws(&platform).await;
    let (now, id) = (platform.now(), platform.unique("audited"));
    let reason = "a consumer's table was mended".parse().unwrap();
    let mut act = Act::begin(&aws, now, "dlq redrive", reason, vec![], json!({"most": 2})).await.unwrap();
    act.part(now, vec![id.clone()], json!({})).await.unwrap();
    act.end(now, vec![], json!({"sent": 1})).await.unwrap();

    let later = Timestamp::from_second(now.as_second() + 2).unwrap();
    let wanted = Wanted { from: now, to: later, action: Some("dlq".to_owned()), id: Some(id) };
    let of_id = found(&aws, &wanted).await;
    assert_eq!(of_id.len(), 1, "{of_id:?}");
    let wanted = Wanted { id: Some(act.name().to_owned()), ..wanted };
    let of_act = found(&aws, &wanted).await;
    let mut steps: Vec<Step> = of_act.iter().map(|one| one.record.as_ref().unwrap().step).collect();
    steps.sort_by_key(|step| *step != Step::Begun);
    assert_eq!(steps.len(), 3);
    assert!([Step::Begun, Step::Part(1), Step::Ended].iter().all(|step| steps.contains(step)), "{steps:?}");
    for one in &of_act {
        let record = one.record.as_ref().unwrap();
        assert!(record.actor.starts_with("arn:") && record.reason.as_str().contains("mended"), "{record:?}");
    }
    assert!(found(&aws, &Wanted { action: Some("allow".to_owned()), ..wanted.clone() }).await.is_empty());
    assert!(found(&aws, &Wanted { to: now, ..wanted }).await.is_empty(), "the time's end is not of it");

    // As the bucket's policy asks of every write.
    let again = platform
        .s3()
        .put_object()
        .bucket(platform.output("AuditBucket"))
        .key(&of_id[0].key)
        .if_none_match("*")
        .body(ByteStream::from_static(b"{}"));
    let refused = again.send().await.expect_err("it is there already");
    assert_eq!(refused.into_service_error().code(), Some("PreconditionFailed"));
}

#[tokio::test]
async fn what_is_no_record_is_told_and_hides_no_other() {
    let platform = Platform::open().await;
    let aws = aws(&platform).await;
    // A day of this test's own.
    let at: Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    let key = format!("{PREFIX}date=2001-02-03/{}.json", platform.unique("235959-other"));
    let newer = platform.s3().put_object().bucket(platform.output("AuditBucket")).key(&key);
    newer.body(ByteStream::from_static(br#"{"format": "tollgate.audit/2"}"#)).send().await.unwrap();
    let act = Act::begin(&aws, at, "allow", "known".parse().unwrap(), vec![], json!({})).await.unwrap();
    let later = Timestamp::from_second(at.as_second() + 1).unwrap();
    let all = found(&aws, &Wanted { from: at, to: later, action: None, id: None }).await;
    assert!(all.iter().any(|one| one.key == key && one.record.is_err()), "{all:?}");
    assert!(all.iter().any(|one| one.record.as_ref().is_ok_and(|record| record.act == act.name())));
}
