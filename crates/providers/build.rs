//! Names what decides how bodies are read: a digest of the sources of the normalisers, and of what they are made of.
//! Nobody has to remember to raise a number.

use std::{fs, io, path::Path};

/// What a fact of an event may depend on, from this crate's folder.
const SOURCES: [&str; 9] = [
    "src/normalise",
    "src/text.rs",
    "src/headers.rs",
    "src/request.rs",
    "src/trusted.rs",
    "src/endpoint.rs",
    "src/catalogue.rs",
    "catalogue.toml",
    "event-types",
];

/// The same in tollgate-core. It is not there where this crate comes from a registry; its version stands for it then.
const CORE: [&str; 6] = [
    "../core/src/event",
    "../core/src/event_type.rs",
    "../core/src/id.rs",
    "../core/src/inline.rs",
    "../core/src/money",
    "../core/src/sensitive",
];

fn main() -> io::Result<()> {
    let mut digest = Fnv::default();
    digest.add(env!("CARGO_PKG_VERSION").as_bytes());
    let core = CORE.into_iter().filter(|_| Path::new("../core/src").is_dir());
    for source in SOURCES.into_iter().chain(core) {
        println!("cargo::rerun-if-changed={source}");
        add(Path::new(source), &mut digest)?;
    }
    println!("cargo::rustc-env=TOLLGATE_READING={:016x}", digest.0);
    Ok(())
}

/// Adds a file, or all of a folder in the order of the names.
fn add(path: &Path, digest: &mut Fnv) -> io::Result<()> {
    if !path.is_dir() {
        digest.add(path.to_string_lossy().as_bytes());
        digest.add(&fs::read(path)?);
        return Ok(());
    }
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().try_for_each(|path| add(path, digest))
}

/// FNV-1a of 64 bits: the sources are ours, so that nobody looks for two of one digest.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
