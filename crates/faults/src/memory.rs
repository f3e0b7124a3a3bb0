//! What stores have answered, so that an older answer can be given again.

use std::collections::VecDeque;

use hyper::{
    Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};

use crate::{call::Call, http::Answer, http::Whole};

/// Requests whose answers are kept; those that were made the longest ago are forgotten.
const MAX_REQUESTS: usize = 64;
/// Different answers to one request that are kept.
const MAX_VERSIONS: usize = 4;
/// The longest answer that is kept, in bytes: the endpoints' document is 1 MiB at most.
const MAX_BYTES: usize = 1024 * 1024;

/// The answers, those to the last request last.
#[derive(Debug, Default)]
pub struct Memory(VecDeque<(Vec<u8>, VecDeque<Version>)>);

#[derive(Debug, Clone)]
struct Version {
    body: bytes::Bytes,
    answer: Answer,
}

/// Whether the call reads a key or a document, of which an older version may be read.
pub fn reads(call: &Call) -> bool {
    matches!(
        (call.service.as_str(), call.operation.as_str()),
        ("secretsmanager", "GetSecretValue") | ("ssm", "GetParameter") | ("s3", "GetObject")
    )
}

impl Memory {
    /// Keeps a good answer, if it is another one than before.
    pub fn keep(&mut self, call: &Call, answer: &Answer, body: bytes::Bytes) {
        if !reads(call) || answer.status() != StatusCode::OK || body.len() > MAX_BYTES {
            return;
        }
        let key = call.key();
        let place = self.0.iter().position(|(known, _)| *known == key);
        let mut versions = place.and_then(|at| self.0.remove(at)).map_or_else(VecDeque::new, |(_, all)| all);
        if versions.back().is_none_or(|last| last.body != body) {
            versions.push_back(Version { body, answer: answer.clone() });
        }
        if versions.len() > MAX_VERSIONS {
            versions.pop_front();
        }
        self.0.push_back((key, versions));
        if self.0.len() > MAX_REQUESTS {
            self.0.pop_front();
        }
    }

    /// The oldest answer that is known, where there was another one since.
    pub fn older(&self, call: &Call) -> Option<Answer> {
        let key = call.key();
        let (_, versions) = self.0.iter().find(|(known, _)| *known == key)?;
        (versions.len() > 1).then(|| versions.front().map(|version| version.answer.clone())).flatten()
    }
}

/// An older object, as S3 would give it to whoever asks whether it has changed ("GetObject", Amazon S3 API reference).
pub fn conditional(request: &Whole, answer: Answer) -> Answer {
    let known = request.head.headers.get(IF_NONE_MATCH);
    if known.is_none() || known != answer.headers().get(ETAG) {
        return answer;
    }
    let (mut head, _) = answer.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(hyper::header::CONTENT_LENGTH);
    Response::from_parts(head, Default::default())
}
