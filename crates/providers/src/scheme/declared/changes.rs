//! What is commonly done to a body between its provider and us: for the operator's tool.

/// Takes one change of a body back; `None` where it cannot have happened.
type Undo = fn(&[u8]) -> Option<Vec<u8>>;

/// The common change of a body that, taken back, makes `is_good` true of it.
pub(super) fn undone(body: &[u8], is_good: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    let attempts: [(&'static str, Undo); 8] = [
        ("a newline was added at the end of the body", |body| {
            body.strip_suffix(b"\r\n").or(body.strip_suffix(b"\n")).map(<[u8]>::to_vec)
        }),
        ("a newline was removed from the end of the body", |body| Some([body, b"\n"].concat())),
        ("a CR and newline were removed from the end of the body", |body| Some([body, b"\r\n"].concat())),
        ("line ends were changed to CRLF", |body| {
            let text = std::str::from_utf8(body).ok()?;
            text.contains("\r\n").then(|| text.replace("\r\n", "\n").into_bytes())
        }),
        ("line ends were changed from CRLF", |body| {
            let text = std::str::from_utf8(body).ok()?;
            (text.contains('\n') && !text.contains('\r')).then(|| text.replace('\n', "\r\n").into_bytes())
        }),
        ("a byte order mark was added", |body| body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec)),
        ("the body was parsed and written anew", |body| white_space(body, "", "")),
        ("the body was parsed and written anew", |body| white_space(body, " ", " ")),
    ];
    attempts.into_iter().find_map(|(how, undo)| undo(body).filter(|body| is_good(body)).map(|_| how))
}

/// The JSON text with other white space around its colons and commas: the tokens stay as they are written.
fn white_space(body: &[u8], after_colon: &str, after_comma: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            out.push(c);
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            ':' => out.extend([":", after_colon]),
            ',' => out.extend([",", after_comma]),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    (out.as_bytes() != body).then(|| out.into_bytes())
}
