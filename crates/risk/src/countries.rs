//! Country codes, as providers send them.

/// Whether two countries are different for certain. Only two alpha-2 codes are compared: nothing is known of a
/// name or an alpha-3 code.
pub(crate) fn differ(card: Option<&str>, billing: Option<&str>) -> bool {
    match (card.and_then(alpha2), billing.and_then(alpha2)) {
        (Some(card), Some(billing)) => card != billing,
        _ => false,
    }
}

/// ISO 3166 alpha-2 in upper case. `UK` and `EL`, which ISO reserves for the United Kingdom and the European
/// Union uses for Greece, are read as `GB` and `GR`.
fn alpha2(text: &str) -> Option<[u8; 2]> {
    let mut code: [u8; 2] = text.trim().as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    match &code {
        b"UK" => Some(*b"GB"),
        b"EL" => Some(*b"GR"),
        _ if code.iter().all(u8::is_ascii_uppercase) => Some(code),
        _ => None,
    }
}
