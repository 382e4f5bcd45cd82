//! Figures, tables and one HTML page from results.
