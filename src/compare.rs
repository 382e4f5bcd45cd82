//! Runs, devices or backends side by side.
