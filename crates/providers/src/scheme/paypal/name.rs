//! The common name in a certificate's subject: as much DER as that takes.

/// OID 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The one common name of `subject` (its relative distinguished names, with or without the sequence around them);
/// `None` when there is none, or more than one.
pub(super) fn common_name(subject: &[u8]) -> Option<&str> {
    let mut rest = match element(subject)? {
        (SEQUENCE, inside, []) => inside,
        _ => subject,
    };
    let mut found = None;
    while !rest.is_empty() {
        let (SET, mut attributes, after) = element(rest)? else { return None };
        while !attributes.is_empty() {
            let (SEQUENCE, attribute, more) = element(attributes)? else { return None };
            let (OBJECT_IDENTIFIER, oid, value) = element(attribute)? else { return None };
            if oid == COMMON_NAME {
                let (UTF8_STRING | PRINTABLE_STRING, text, []) = element(value)? else { return None };
                if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                    return None;
                }
            }
            attributes = more;
        }
        rest = after;
    }
    found
}

/// The first element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let ([high, low], rest) = rest.split_first_chunk::<2>()?;
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_one_common_name() {
        let cn = [0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x02, b'a', b'b'];
        assert_eq!(common_name(&cn), Some("ab"));
        let wrapped = [&[0x30, 13][..], &cn].concat();
        assert_eq!(common_name(&wrapped), Some("ab"));
        assert_eq!(common_name(&[&cn[..], &cn].concat()), None);
        assert_eq!(common_name(&[]), None);
        for cut in 0..cn.len() {
            assert_eq!(common_name(&cn[..cut]), None);
        }
    }
}
