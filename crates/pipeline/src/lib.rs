//! The use cases (ingest, process, archive) and the ports that they need.
