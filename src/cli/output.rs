//! What the verbs that read results print: tables, CSV and JSON on stdout.

use anyhow::Context;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

use crate::escaped;

/// How results are printed.
#[derive(clap::Args)]
pub struct Form {
    /// Print JSON instead of a table; NaN and infinity are null there.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV instead of a table.
    #[arg(long)]
    pub csv: bool,
}

/// Writes to stdout.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to stdout"),
    }
}

/// Rows as CSV, with a header even if there are none of them.
pub fn csv<R: Serialize + Default>(rows: &[R]) -> anyhow::Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    if rows.is_empty() {
        writer.serialize(R::default())?;
    }
    let mut text = String::from_utf8(writer.into_inner()?)?;
    if rows.is_empty() {
        text.truncate(text.find('\n').map_or(0, |end| end + 1));
    }
    Ok(text)
}

/// Columns two spaces apart; those named in `right` (numbers) end flush. No line ends in spaces, and
/// no cell breaks one or steers the terminal: a results file may hold anything.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if right.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// To `digits` significant digits; in scientific notation where that is shorter to read.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // The exponent after rounding: 9.996 to three digits is 10.0.
    let scientific = format!("{value:.*e}", digits - 1);
    let exponent = scientific.split('e').nth(1).and_then(|text| text.parse::<i32>().ok());
    match exponent {
        Some(exponent @ -3..=5) => {
            format!("{value:.*}", (digits as i32 - 1 - exponent).max(0) as usize)
        }
        _ => scientific,
    }
}

/// A time in the largest unit that leaves at least 1.
pub fn time(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| ns >= *scale).unwrap_or((1.0, "ns"));
    format!("{} {unit}", significant(ns / scale, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_signify() {
        let shown = [0.0, 9.996, 1234.5, 0.012345, 1.2345e-7, 2.5e6, f64::INFINITY, f64::NAN];
        assert_eq!(
            shown.map(|value| significant(value, 3)),
            ["0", "10.0", "1234", "0.0123", "1.23e-7", "2.50e6", "inf", "NaN"]
        );
    }

    #[test]
    fn times_have_units() {
        assert_eq!(
            [0.5, 1.0, 1500.0, 2.5e6, 6e10].map(time).join(", "),
            "0.5000 ns, 1.000 ns, 1.500 µs, 2.500 ms, 60.00 s"
        );
    }

    #[test]
    fn numbers_end_flush_and_lines_have_no_tail() {
        let rows = [["µ", "10", ""], ["long", "9", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1]), "µ     10\nlong   9\n");
        assert_eq!(table(&[vec!["a\nb\u{1b}[2J".to_owned()]], &[]), "a\\nb\\u{1b}[2J\n");
    }
}
