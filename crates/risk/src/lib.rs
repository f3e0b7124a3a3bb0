//! Risk tiers and fraud rules: payment facts in, decision with reasons out.
