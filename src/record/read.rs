//! Reads the tables of a run, and says where one is not what it should be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::row::Row;
use super::{Provenance, Record, SCHEMA_VERSION, Sample, TrajectoryPoint};

/// A file of a run that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}; name the folder of a run, or a file in one", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `run.json` is not a run's.
    #[error(
        "`{}`, line {}, column {}: {source}; restore the file from the run that wrote it",
        path.display(), source.line(), source.column()
    )]
    Provenance {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A cell, or the lack of one.
    #[error("`{}`, line {line}, column `{column}`: {fault}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// Name of the column.
        column: String,
        /// What is wrong.
        fault: Fault,
    },
}

/// What is wrong with a cell of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The header lacks a column that every schema has.
    #[error("no such column, so this is no {0} that tradeoff wrote; name one of a run's folder")]
    Foreign(&'static str),
    /// The header has a column that no schema up to this build's has.
    #[error(
        "unknown to schema {SCHEMA_VERSION}; remove the column, or read the file with the tradeoff that wrote it"
    )]
    UnknownColumn,
    /// The header names a column twice.
    #[error("named twice in the header; remove one of the two")]
    DuplicateColumn,
    /// Another schema than those from 1 to this build's.
    #[error(
        "schema `{0}`, but this tradeoff knows 1 to {SCHEMA_VERSION}; install the tradeoff that wrote the file"
    )]
    UnknownSchema(String),
    /// The file ends within a row.
    #[error(
        "the file ends within this row; delete the line and run its case again, or end it with a newline if it is whole"
    )]
    Truncated,
    /// A row has another number of fields than the header.
    #[error("{found} fields where the header has {expected}; delete the line or restore it")]
    FieldCount {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// Bytes that are no text.
    #[error("not UTF-8: cut short, or saved in another encoding; delete the line or save as UTF-8")]
    NotUtf8,
    /// A cell that its column cannot hold.
    #[error("`{value}` does not fit: {why}; restore the cell from the run that wrote it")]
    Cell {
        /// Text of the cell.
        value: String,
        /// What the column expects.
        why: String,
    },
}

/// Reads `measurements.csv`, given its path or that of its run's folder.
///
/// Rows of an older schema have the columns that it lacked empty.
pub fn read(path: &Path) -> Result<Vec<Record>, ReadError> {
    read_table(path)
}

/// Reads `samples.csv`, given its path or that of its run's folder.
pub fn read_samples(path: &Path) -> Result<Vec<Sample>, ReadError> {
    read_table(path)
}

/// Reads `trajectory.csv`, given its path or that of its run's folder.
pub fn read_trajectory(path: &Path) -> Result<Vec<TrajectoryPoint>, ReadError> {
    read_table(path)
}

/// Reads `run.json`, given its path or that of its run's folder.
pub fn read_provenance(path: &Path) -> Result<Provenance, ReadError> {
    let path = file_in(path, Provenance::FILE);
    let text = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
    let provenance: Provenance = serde_json::from_slice(&text)
        .map_err(|source| ReadError::Provenance { path: path.clone(), source })?;
    let version = provenance.schema_version;
    if (1..=SCHEMA_VERSION).contains(&version) {
        return Ok(provenance);
    }
    let needle = b"\"schema_version\"";
    let at = text.windows(needle.len()).position(|window| window == needle).unwrap_or(0);
    let line = 1 + text[..at].iter().filter(|&&byte| byte == b'\n').count() as u64;
    let fault = Fault::UnknownSchema(version.to_string());
    Err(ReadError::Table { path, line, column: "schema_version".into(), fault })
}

fn file_in(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.to_owned() }
}

fn read_table<R: Row>(path: &Path) -> Result<Vec<R>, ReadError> {
    let path = file_in(path, R::FILE);
    let bytes = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
    parse(&bytes).map_err(|(line, column, fault)| ReadError::Table { path, line, column, fault })
}

/// Line, column and what is wrong there.
type Wrong = (u64, String, Fault);

/// The rows of a table from the bytes of its file.
fn parse<R: Row>(bytes: &[u8]) -> Result<Vec<R>, Wrong> {
    let lines = split(bytes)?;
    let Some(((_, header), rows)) = lines.split_first() else {
        return Err((1, R::REQUIRED[0].into(), Fault::Foreign(R::FILE)));
    };
    let complete = bytes.last() == Some(&b'\n');
    if rows.is_empty() && !complete {
        return Err((1, name(header, header.len() - 1), Fault::Truncated));
    }
    check_header::<R>(header, rows.first())?;
    let mut parsed = Vec::with_capacity(rows.len());
    for (index, (line, row)) in rows.iter().enumerate() {
        let last = index + 1 == rows.len();
        if row.len() < header.len() && last {
            return Err((*line, name(header, row.len()), Fault::Truncated));
        }
        if row.len() != header.len() {
            let fault = Fault::FieldCount { found: row.len(), expected: header.len() };
            return Err((*line, name(header, row.len().min(header.len() - 1)), fault));
        }
        if last && !complete {
            return Err((*line, name(header, row.len() - 1), Fault::Truncated));
        }
        check_version(*line, header, row)?;
        let typed = row.deserialize(Some(header));
        parsed.push(typed.map_err(|error| bad_cell::<R>(*line, header, row, &error))?);
    }
    Ok(parsed)
}

/// The records of a file, the header first, each with the number of its line.
fn split(bytes: &[u8]) -> Result<Vec<(u64, StringRecord)>, Wrong> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut records: Vec<(u64, StringRecord)> = Vec::new();
    for record in reader.byte_records() {
        // Reading from memory with `flexible` has no other way to fail than the next one.
        let record = record.map_err(|_| (0, String::new(), Fault::NotUtf8))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = StringRecord::from_byte_record(record).map_err(|error| {
            let field = error.utf8_error().field();
            let column = records.first().map_or(field.to_string(), |(_, h)| name(h, field));
            (line, column, Fault::NotUtf8)
        })?;
        records.push((line, text));
    }
    Ok(records)
}

fn name(header: &StringRecord, column: usize) -> String {
    header.get(column).map_or_else(|| format!("number {}", column + 1), shown)
}

/// A header may lack columns (an older schema), but not those that every schema has, and may have
/// none that are unknown. `first` tells whether unknown ones come from a newer schema.
fn check_header<R: Row>(
    header: &StringRecord,
    first: Option<&(u64, StringRecord)>,
) -> Result<(), Wrong> {
    let has = |column: &str| header.iter().any(|other| other == column);
    if !has("schema_version") {
        return Err((1, "schema_version".into(), Fault::Foreign(R::FILE)));
    }
    if let Some((line, row)) = first {
        check_version(*line, header, row)?;
    }
    if let Some(missing) = R::REQUIRED.iter().find(|column| !has(column)) {
        return Err((1, (*missing).into(), Fault::Foreign(R::FILE)));
    }
    let known = R::columns();
    for (index, column) in header.iter().enumerate() {
        if !known.iter().any(|other| other == column) {
            return Err((1, shown(column), Fault::UnknownColumn));
        }
        if header.iter().take(index).any(|other| other == column) {
            return Err((1, shown(column), Fault::DuplicateColumn));
        }
    }
    Ok(())
}

/// Refuses a row of a schema that this build does not know.
fn check_version(line: u64, header: &StringRecord, row: &StringRecord) -> Result<(), Wrong> {
    let column = header.iter().position(|column| column == "schema_version");
    let Some(text) = column.and_then(|column| row.get(column)) else { return Ok(()) };
    match text.parse::<u32>() {
        Ok(version) if (1..=SCHEMA_VERSION).contains(&version) => Ok(()),
        _ => Err((line, "schema_version".into(), Fault::UnknownSchema(shown(text)))),
    }
}

/// Enough of what a cell holds to find it by, on one line: a file that is no table may hold anything.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The first cell of a row that does not fit its column. Each is tried alone, as the row's own
/// error names no column where an enum is at fault.
fn bad_cell<R: Row>(
    line: u64,
    header: &StringRecord,
    row: &StringRecord,
    error: &csv::Error,
) -> Wrong {
    let cell = |column: &str, value: &str, error: &csv::Error| {
        let why = match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
            _ => error.to_string(),
        };
        (line, shown(column), Fault::Cell { value: shown(value), why })
    };
    for (column, value) in header.iter().zip(row) {
        let alone = StringRecord::from(vec![value]);
        if let Err(error) = alone.deserialize::<R>(Some(&StringRecord::from(vec![column]))) {
            return cell(column, value, &error);
        }
    }
    cell(&name(header, 0), row.get(0).unwrap_or_default(), error)
}
