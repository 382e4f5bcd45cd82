//! Seeded matrices.
