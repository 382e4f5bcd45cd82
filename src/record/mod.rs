//! The row of the CSV, its files, and provenance.
