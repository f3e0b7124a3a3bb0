//! Endpoints and their keys, cached.
