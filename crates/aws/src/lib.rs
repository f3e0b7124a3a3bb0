//! The ports on AWS: ledger, transactions, queues, bus, archive, secrets.
