//! The files that the pages name: compiled in, so that no page depends on anything else.

use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, HeaderValue},
};
use tollgate_core::id::hex_sha256;

use crate::http::{Response, with};

/// Where they are.
pub(crate) const FOLDER: &str = "assets";
const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");
const FILES: [(&str, &str, &str); 3] = [
    ("console.css", "text/css; charset=utf-8", STYLE),
    ("console.js", "text/javascript; charset=utf-8", SCRIPT),
    ("icon.svg", "image/svg+xml", ICON),
];

/// The address of a file. It is another one with each content, so that a browser may keep it.
pub(crate) fn address(name: &str) -> String {
    let content = FILES.iter().find(|(known, ..)| *known == name).map_or("", |(.., content)| content);
    let digest = hex_sha256(content.as_bytes());
    format!("/{FOLDER}/{name}?{}", digest.get(..12).unwrap_or_default())
}

/// One of them. They hold nothing that is anybody's.
pub(crate) fn file(name: &str) -> Option<Response> {
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == name)?;
    let mut answer = with(StatusCode::OK, kind, *content);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    Some(answer)
}
