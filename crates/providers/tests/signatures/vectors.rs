//! Signatures that the providers' own SDKs made, over bodies of ours (vectors/make.py, vectors/make.mjs).

use std::{collections::BTreeSet, fs, path::Path};

use tollgate_providers::scheme::vectors::run;

#[test]
fn the_sdks_signatures_verify() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let report = run(&fs::read_to_string(&path).unwrap());
            assert_eq!(report.failed, [], "{}", path.display());
            assert!(report.passed > 0, "{}: no vectors", path.display());
            files.insert(path);
        }
    }
    assert!(!files.is_empty(), "no file of vectors");
}

#[test]
fn a_line_that_is_no_vector_fails() {
    assert_eq!(run("{}\n\n").failed.len(), 1);
    let line = r#"{"provider":"nobody","case":"x","body_base64":"","key":"k","now":0,"expect":"invalid"}"#;
    assert_eq!(run(line).failed.len(), 1);
    let line = r#"{"provider":"stripe","case":"x","body_base64":"","key":"k","now":0,"expect":"valid"}"#;
    assert_eq!(run(line).failed.len(), 1);
}
