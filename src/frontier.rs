//! The settings that no other beats in both speed and error.
