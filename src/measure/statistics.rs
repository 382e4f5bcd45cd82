//! Statistics of timing samples.
