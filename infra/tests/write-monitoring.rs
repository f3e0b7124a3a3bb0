//! Writes what follows from the list of queues into `infra/monitoring.yaml`.

use std::fs;

use tollgate_infra::{monitoring, read, root};

fn main() -> std::io::Result<()> {
    let path = "infra/monitoring.yaml";
    fs::write(root().join(path), monitoring(&read(path)))
}
