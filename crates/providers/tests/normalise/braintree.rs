//! Braintree's form, which is what goes over the wire.

/// A notification's XML as a webhook's body.
pub fn form(xml: &str) -> Vec<u8> {
    use base64::Engine as _;
    // Ruby's encoding, which Braintree uses: a line break after every 60 characters and at the end.
    let encoded = base64::engine::general_purpose::STANDARD.encode(xml);
    let mut payload = String::new();
    for line in encoded.as_bytes().chunks(60) {
        payload.push_str(std::str::from_utf8(line).unwrap());
        payload.push('\n');
    }
    let payload = payload.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace('\n', "%0A");
    format!("bt_signature=public%7C0123&bt_payload={payload}").into_bytes()
}
