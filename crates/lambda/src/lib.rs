//! What every function shares: settings, logging, metrics, start-up.
