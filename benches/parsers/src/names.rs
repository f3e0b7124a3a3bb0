//! The names of the fields that a provider's normaliser reads, out of its source.

use std::{collections::BTreeMap, fs, path::Path};

/// What a normaliser does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It reads the value.
    Value,
    /// It reads fields of the object, or of the objects in the list.
    Inside,
}

/// The fields of one normaliser, found by length and bytes.
#[derive(Debug, Default)]
pub struct Names(Vec<Vec<(Vec<u8>, Use)>>);

impl Names {
    /// What is done with the field of that name; `None` when it is passed over.
    pub fn find(&self, name: &str) -> Option<Use> {
        let of_length = self.0.get(name.len())?;
        of_length.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, found)| *found)
    }

    fn insert(&mut self, name: String, found: Use) {
        if self.0.len() <= name.len() {
            self.0.resize_with(name.len() + 1, Vec::new);
        }
        let of_length = &mut self.0[name.len()];
        if !of_length.iter().any(|(known, _)| *known == name.as_bytes()) {
            of_length.push((name.into_bytes(), found));
        }
    }
}

/// The names by normaliser's file: `stripe`, `checkout_com`, …
pub fn all(root: &Path) -> BTreeMap<String, Names> {
    let folder = root.join("crates/providers/src/normalise");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, read(&fs::read_to_string(&path).unwrap()))
        })
        .collect()
}

/// Fields stand as `name: Type,` in structs that derive `Deserialize`; serde's `rename` and `rename_all` come before.
fn read(source: &str) -> Names {
    let mut names = Names::default();
    let (mut is_read, mut is_inside, mut is_camel, mut renamed) = (false, false, false, None);
    for line in source.lines() {
        if line.starts_with("#[derive(") {
            (is_read, is_camel) = (line.contains("Deserialize"), false);
        } else if line.starts_with("#[serde(") {
            is_camel |= line.contains("camelCase");
        } else if line.starts_with("struct ") {
            is_inside = is_read;
        } else if line.starts_with('}') {
            (is_read, is_inside) = (false, false);
        } else if is_inside {
            if let Some((_, rest)) = line.split_once("rename = \"") {
                renamed = rest.split('"').next().map(str::to_owned);
            } else if let Some((name, kind)) = line.trim_start().split_once(": ") {
                let is_object =
                    ["Object<", "First<", "Items<", "Up<", "Refunds<"].iter().any(|it| kind.starts_with(it));
                let name =
                    renamed.take().unwrap_or_else(|| if is_camel { camel(name) } else { name.to_owned() });
                names.insert(name, if is_object { Use::Inside } else { Use::Value });
            }
        }
    }
    names
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut whole, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        whole.push_str(&initial.to_ascii_uppercase());
        whole.push_str(rest);
        whole
    })
}
