//! Error of a computed result against the truth: metrics and bounds.
