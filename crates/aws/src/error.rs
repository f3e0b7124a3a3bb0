//! SDK errors as port errors.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tollgate_pipeline::ports::PortError;

/// Error codes that a later try will meet again: what is asked for is wrong in itself, or is not there. Everything else
/// is worth another try, because a wrong "permanent" loses the chance and a wrong "retryable" only costs a receive. That
/// goes for what is forbidden or not set up too (`AccessDenied`, `ResourceNotFoundException`): a role, a key's policy or a
/// table that is missing for a minute must not make poison of every webhook of that minute.
const PERMANENT: [&str; 8] = [
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

/// Whether an error of [`port_error`] says that we may not, which passes only when somebody lets us.
pub(crate) fn is_forbidden(problem: &PortError) -> bool {
    matches!(problem, PortError::Retryable { detail, .. } if detail.starts_with("AccessDenied"))
}

/// A request that the SDK's own builder refuses.
pub(crate) fn build_error(service: &'static str) -> PortError {
    PortError::permanent(service, "request cannot be built")
}
