//! Turning an intake batch into payment events.
