//! Form-encoded bodies (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use super::content::ContentError;
use crate::text::form_field;

/// The most fields that are read.
const MAX_FIELDS: usize = 512;

/// The fields of a form, decoded when asked for.
#[derive(Clone, Copy)]
pub(super) struct Form<'a>(&'a str);

impl<'a> Form<'a> {
    /// A form in `bytes`.
    ///
    /// # Errors
    ///
    /// [`ContentError::NotJson`] when it is not UTF-8, empty or has more than [`MAX_FIELDS`] fields.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ContentError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ContentError::NotJson)?;
        let fields = text.bytes().filter(|byte| *byte == b'&').count();
        if text.is_empty() || fields >= MAX_FIELDS { Err(ContentError::NotJson) } else { Ok(Self(text)) }
    }

    /// The value of `name`, if it is there and not empty. Verification reads it by the same function.
    ///
    /// # Errors
    ///
    /// [`ContentError::InvalidField`] when the name comes twice or its value is not UTF-8.
    pub(super) fn get(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, ContentError> {
        let value = form_field(self.0.as_bytes(), name).map_err(|_| ContentError::InvalidField(name))?;
        Ok(value.filter(|value| !value.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_strictly() {
        let form = Form::new(b"a=1%2B1&%62=two+words&c=&d=%C3%A9&e=%ff&f=1&f=2&g").unwrap();
        let value = |name| form.get(name).map(|value| value.map(Cow::into_owned));
        assert_eq!(value("a"), Ok(Some("1+1".to_owned())));
        assert_eq!(value("b"), Ok(Some("two words".to_owned())));
        assert_eq!((value("c"), value("g"), value("x")), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(value("d"), Ok(Some("é".to_owned())));
        assert_eq!(value("e"), Err(ContentError::InvalidField("e")));
        assert_eq!(value("f"), Err(ContentError::InvalidField("f")));
        assert!(Form::new(b"").is_err());
        assert!(Form::new("a&".repeat(1_000).as_bytes()).is_err());
    }
}
