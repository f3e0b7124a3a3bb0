//! Taking a webhook in.
