//! What the images are built from (.dockerignore) against what the functions' programs include.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use tollgate_infra::{read, root};

const FUNCTIONS: [&str; 5] = ["validator", "processor", "archival", "fraud-detector", "reconciler"];

/// The crates of ours that the functions are made of, by their folders' names.
fn crates() -> BTreeSet<String> {
    let mut crates = BTreeSet::new();
    let mut open: Vec<String> = FUNCTIONS.map(str::to_owned).into();
    while let Some(name) = open.pop() {
        if !crates.insert(name.clone()) {
            continue;
        }
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        let ours = dependencies.lines().filter_map(|line| line.strip_prefix("tollgate-"));
        open.extend(ours.map(|line| line.split(['.', ' ']).next().unwrap().to_owned()));
    }
    crates
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The file that is included, by its path from the root.
fn included(source: &Path, path: &str) -> PathBuf {
    let mut whole = PathBuf::new();
    for component in source.parent().unwrap().join(path).components() {
        match component {
            Component::ParentDir => assert!(whole.pop()),
            other => whole.push(other),
        }
    }
    whole
}

#[test]
fn every_file_that_a_function_includes_is_in_the_images_context() {
    let ignore = read(".dockerignore");
    let kept: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let root = root().canonicalize().unwrap();
    let crates = crates();
    assert!(crates.contains("core") && crates.contains("operate"), "{crates:?}");
    let mut seen = 0;
    for name in crates {
        let mut files = Vec::new();
        sources(&root.join("crates").join(name).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            // What is included by a test is not built into a function.
            let code = text.split("#[cfg(test)]").next().unwrap();
            for part in code.split("include_str!(\"").skip(1).chain(code.split("include_bytes!(\"").skip(1)) {
                let path = included(&file, part.split('"').next().unwrap());
                let path = path.strip_prefix(&root).unwrap();
                assert!(kept.iter().any(|kept| path.starts_with(kept)), "{} is in no image", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 1, "the price list and the providers' APIs are included, at least");
}
