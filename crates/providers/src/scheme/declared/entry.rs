//! Entries of a signature header: `v1={signature}`, `{key_id}/SHA256/{signature}`, `t={timestamp}`.

/// How an entry is written, compiled: text, perhaps a key id and more text, then the value to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    head: String,
    key_id_end: Option<String>,
    /// The head may be written in any case.
    any_case: bool,
}

/// An entry that fits its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key_id: Option<&'a str>,
    pub(crate) value: &'a str,
}

impl Pattern {
    /// Reads `text`, whose value is called `name`.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, &'static str> {
        let value = format!("{{{name}}}");
        let Some(before) = text.strip_suffix(value.as_str()) else {
            return Err("it must end in the value's name in braces");
        };
        let (head, key_id_end) = match before.split_once("{key_id}") {
            Some((_, "")) => return Err("text is wanted between the key id and the value"),
            Some((head, end)) => (head, Some(end)),
            None => (before, None),
        };
        if [head, key_id_end.unwrap_or_default()].iter().any(|text| text.contains(['{', '}'])) {
            return Err("unknown name in braces");
        }
        Ok(Self { head: head.to_owned(), key_id_end: key_id_end.map(str::to_owned), any_case: false })
    }

    /// The same as a value of HTTP's `Authorization`: an authentication scheme before its credentials (`Basic …`,
    /// `Bearer …`) is written in any case, by RFC 9110, 11.1, and RFC 7617, 2. A head of a provider's own form is not.
    pub(crate) fn in_authorization(self) -> Self {
        let scheme = self.head.strip_suffix(' ').filter(|_| self.key_id_end.is_none());
        let is_scheme = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let any_case = scheme.is_some_and(is_scheme);
        Self { any_case, ..self }
    }

    pub(crate) fn has_key_id(&self) -> bool {
        self.key_id_end.is_some()
    }

    /// Reads one entry; `None` when it does not fit.
    pub(crate) fn read<'a>(&self, entry: &'a str) -> Option<Entry<'a>> {
        let (head, rest) = entry.split_at_checked(self.head.len())?;
        if head != self.head && !(self.any_case && head.eq_ignore_ascii_case(&self.head)) {
            return None;
        }
        match &self.key_id_end {
            None => Some(Entry { key_id: None, value: rest }),
            Some(end) => {
                let (key_id, value) = rest.split_once(end.as_str())?;
                (!key_id.is_empty()).then_some(Entry { key_id: Some(key_id), value })
            }
        }
    }

    /// Writes one entry.
    pub(crate) fn write(&self, key_id: &str, value: &str) -> String {
        match &self.key_id_end {
            None => format!("{}{value}", self.head),
            Some(end) => format!("{}{key_id}{end}{value}", self.head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fit_exactly() {
        let stripe = Pattern::parse("v1={signature}", "signature").unwrap();
        assert_eq!(stripe.read("v1=ab"), Some(Entry { key_id: None, value: "ab" }));
        for bad in ["V1=ab", " v1=ab", "v1", "v0=ab", ""] {
            assert_eq!(stripe.read(bad), None, "{bad}");
        }
        let worldpay = Pattern::parse("{key_id}/SHA256/{signature}", "signature").unwrap();
        assert_eq!(worldpay.read("3/SHA256/ab"), Some(Entry { key_id: Some("3"), value: "ab" }));
        assert_eq!(worldpay.read("/SHA256/ab"), None);
        assert_eq!(worldpay.write("3", "ab"), "3/SHA256/ab");
    }

    #[test]
    fn an_authentication_scheme_is_written_in_any_case_and_nothing_else_is() {
        let read = |pattern: &str, entry: &str| {
            let pattern = Pattern::parse(pattern, "signature").unwrap().in_authorization();
            pattern.read(entry).map(|entry| entry.value.to_owned())
        };
        for scheme in ["Basic", "basic", "BASIC", "bAsIc"] {
            assert_eq!(read("Basic {signature}", &format!("{scheme} dTpw")), Some("dTpw".to_owned()));
        }
        for bad in ["Basicd dTpw", "Basi dTpw", "Basic", "Basic\tdTpw", "Bàsic dTpw", " Basic dTpw", ""] {
            assert_eq!(read("Basic {signature}", bad), None, "{bad}");
        }
        let of_its_own = "V2-HMAC-SHA256, Signature: {signature}";
        assert_eq!(read(of_its_own, "V2-HMAC-SHA256, Signature: ab"), Some("ab".to_owned()));
        assert_eq!(read(of_its_own, "v2-hmac-sha256, signature: ab"), None);
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_an_error() {
        for bad in ["v1=", "{signature} ", "{key_id}{signature}", "{kid}/{signature}", "{signature}x"] {
            assert!(Pattern::parse(bad, "signature").is_err(), "{bad}");
        }
    }
}
