//! SDK errors as port errors.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tollgate_pipeline::ports::{PortError, PortResult};

use crate::LONGEST_CALL;

/// Error codes of permanent failures: the request is wrong, or what it names is not there. Every other error is
/// retryable: a wrong "permanent" gives up a webhook that could pass, a wrong "retryable" costs one more receive. Calls
/// that are forbidden or need a resource that is not set up are retryable too (`AccessDenied`, `ResourceNotFoundException`): a role, a key's policy or a
/// table that is missing for a minute must not make poison of every webhook of that minute.
const PERMANENT: [&str; 10] = [
    // Of a batch of one: `batched` makes no batch that is too long.
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "BatchRequestTooLong",
    "InvalidMessageContents",
    "InvalidParameterException",
    "InvalidParameterValue",
    "NoSuchKey",
    "ParameterNotFound",
    "ParameterVersionNotFound",
    "SerializationException",
    "ValidationException",
];

/// Classifies an SDK error. The detail is the service's error code, never its message, which may quote data.
pub fn port_error<E: ProvideErrorMetadata, R>(service: &'static str, error: &SdkError<E, R>) -> PortError {
    let code = match error {
        SdkError::ServiceError(inner) => inner.err().code().unwrap_or("service error"),
        SdkError::TimeoutError(_) => "timed out",
        SdkError::DispatchFailure(_) => "not reached",
        SdkError::ResponseError(_) => "unreadable response",
        SdkError::ConstructionFailure(_) => return PortError::permanent(service, "request cannot be built"),
        _ => "failed",
    };
    if PERMANENT.contains(&code) {
        PortError::permanent(service, code)
    } else {
        PortError::retryable(service, code)
    }
}

/// `call`, or a failure once a call has taken as long as it may. The SDK's own bound ends where an answer's body begins.
pub(crate) async fn in_time<T>(
    service: &'static str,
    call: impl Future<Output = PortResult<T>>,
) -> PortResult<T> {
    let late = |_| Err(PortError::retryable(service, "not answered in time"));
    // An SDK's call is large, and a worker's stack of 2 MiB holds a few of its moves: in a box it is moved no more.
    tokio::time::timeout(LONGEST_CALL, Box::pin(call)).await.unwrap_or_else(late)
}

/// Whether an error of [`port_error`] says that the call is not permitted: it stays so until a policy changes.
pub(crate) fn is_forbidden(problem: &PortError) -> bool {
    matches!(problem, PortError::Retryable { detail, .. } if detail.starts_with("AccessDenied"))
}

/// A request that the SDK's own builder refuses.
pub(crate) fn build_error(service: &'static str) -> PortError {
    PortError::permanent(service, "request cannot be built")
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{error::ErrorMetadata, operation::get_item::GetItemError};
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    #[test]
    fn only_what_is_wrong_in_itself_is_permanent() {
        let answered = |code: &str| {
            let problem = GetItemError::generic(ErrorMetadata::builder().code(code).message("data").build());
            port_error("dynamodb", &SdkError::service_error(problem, ()))
        };
        for code in [
            "AWS.SimpleQueueService.BatchRequestTooLong",
            "ValidationException",
            "InvalidMessageContents",
            "NoSuchKey",
            "ParameterNotFound",
        ] {
            assert_eq!(answered(code), PortError::permanent("dynamodb", code));
        }
        // What a role, a key's policy or a table that is missing for a moment forbids, throttling, and the unknown.
        for code in [
            "AccessDenied",
            "AccessDeniedException",
            "KMSAccessDeniedException",
            "ResourceNotFoundException",
            "ProvisionedThroughputExceededException",
            "BrandNewException",
        ] {
            assert_eq!(answered(code), PortError::retryable("dynamodb", code));
        }
        let unanswered: [(SdkError<GetItemError, ()>, PortError); 4] = [
            (SdkError::timeout_error("slow"), PortError::retryable("dynamodb", "timed out")),
            (
                SdkError::dispatch_failure(ConnectorError::io("down".into())),
                PortError::retryable("dynamodb", "not reached"),
            ),
            (SdkError::response_error("odd", ()), PortError::retryable("dynamodb", "unreadable response")),
            (
                SdkError::construction_failure("no key"),
                PortError::permanent("dynamodb", "request cannot be built"),
            ),
        ];
        for (problem, expected) in unanswered {
            assert_eq!(port_error("dynamodb", &problem), expected);
        }
    }
}
