//! Partial-batch semantics for SQS: outcomes, FIFO groups, deadlines, panic capture.
