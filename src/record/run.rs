//! The folder of a run, written row by row, so that what was measured is on disk whatever comes
//! next.

use std::fs::{self, File};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::row::Row;
use super::{Provenance, ReadError, Record, SCHEMA_VERSION, Sample, TrajectoryPoint};

/// A run that cannot be written, resumed or published.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("cannot write `{}`: {source}; {}", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A value that has no text form.
    #[error("cannot write `{}`: {why}; report this as a bug of tradeoff", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A run to be published or resumed cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run cannot be taken up again.
    #[error("cannot resume `{}`: {why}", path.display())]
    Resume {
        /// The folder.
        path: PathBuf,
        /// What is in the way, and the remedy.
        why: String,
    },
    /// A run to be published tells whose machine it was.
    #[error(
        "`{}`, {place}: `{found}` is a path or the name of a host or user; take it out of the run, then publish again",
        path.display()
    )]
    Private {
        /// The file.
        path: PathBuf,
        /// Line and column of a table, or key of `run.json`.
        place: String,
        /// The text.
        found: String,
    },
}

impl RecordError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on that disk",
        _ => "choose a results folder that can be written",
    }
}

/// The folder of a run: `run.json`, `measurements.csv`, `samples.csv` and `trajectory.csv`.
///
/// Each row is handed to the operating system before the call that appends it returns.
#[derive(Debug)]
pub struct RunFolder {
    pub(super) path: PathBuf,
    pub(super) provenance: Provenance,
    pub(super) measurements: Table<Record>,
    pub(super) samples: Table<Sample>,
    pub(super) trajectory: Table<TrajectoryPoint>,
    /// The folder itself, locked as long as this process may write to it; it is never read.
    pub(super) _lock: Option<File>,
}

impl RunFolder {
    /// Makes `root/<UTC yyyymmddThhmmssZ>-<host>/` (and `root`), with `-2`, `-3`, … behind it where
    /// that exists, and writes `run.json` and the headers of the tables. Without a host the stamp
    /// stands alone.
    pub fn create(root: &Path, provenance: Provenance) -> Result<Self, RecordError> {
        fs::create_dir_all(root).map_err(|source| RecordError::write(root, source))?;
        let (run_id, path) = create_unique(root, &base_name(&provenance))?;
        Self::fill(path, Provenance { run_id, ..provenance })
    }

    /// Writes `run.json` and the headers of the tables to a folder that exists.
    pub(super) fn fill(path: PathBuf, mut provenance: Provenance) -> Result<Self, RecordError> {
        provenance.schema_version = SCHEMA_VERSION;
        let lock = lock(&path)?;
        write_json(&path, &provenance)?;
        Ok(Self {
            measurements: Table::create(&path)?,
            samples: Table::create(&path)?,
            trajectory: Table::create(&path)?,
            path,
            provenance,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the folder, as its rows carry it.
    pub fn run_id(&self) -> &str {
        &self.provenance.run_id
    }

    /// What `run.json` says.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Changes `run.json`, for what is known only once the run is under way (fingerprints). The
    /// old file stays until the new one is whole; run id and schema version stay as they are.
    pub fn update_provenance(
        &mut self,
        edit: impl FnOnce(&mut Provenance),
    ) -> Result<(), RecordError> {
        let mut edited = self.provenance.clone();
        edit(&mut edited);
        edited.run_id.clone_from(&self.provenance.run_id);
        edited.schema_version = SCHEMA_VERSION;
        write_json(&self.path, &edited)?;
        self.provenance = edited;
        Ok(())
    }

    /// Appends a row to `measurements.csv`. Schema version and run id are this folder's whatever
    /// the record says, and an empty `utc` becomes now. A line break in a text becomes a space.
    pub fn append(&mut self, record: &Record) -> Result<(), RecordError> {
        self.measurements.append(std::slice::from_ref(record), &self.provenance.run_id)
    }

    /// Appends a row that keeps the id of the run that measured it, where it has one.
    pub(super) fn append_part(&mut self, record: &Record) -> Result<(), RecordError> {
        let run_id =
            if record.run_id.is_empty() { &self.provenance.run_id } else { &record.run_id };
        self.measurements.append(std::slice::from_ref(record), run_id)
    }

    /// Appends all of a case. Its row is written last: what is in the other tables and has no row
    /// here belongs to a case that was cut short, and [`RunFolder::resume`] takes it out.
    pub fn append_case(
        &mut self,
        record: &Record,
        samples: &[Sample],
        trajectory: &[TrajectoryPoint],
    ) -> Result<(), RecordError> {
        self.append_samples(samples)?;
        self.append_trajectory(trajectory)?;
        self.append(record)
    }

    /// Appends rows to `samples.csv`.
    pub fn append_samples(&mut self, samples: &[Sample]) -> Result<(), RecordError> {
        self.samples.append(samples, &self.provenance.run_id)
    }

    /// Appends rows to `trajectory.csv`.
    pub fn append_trajectory(&mut self, points: &[TrajectoryPoint]) -> Result<(), RecordError> {
        self.trajectory.append(points, &self.provenance.run_id)
    }
}

/// `<stamp>-<host>` in lower case letters, digits and `-`, or the stamp alone.
pub(super) fn base_name(provenance: &Provenance) -> String {
    let stamp: String = provenance.utc.chars().filter(char::is_ascii_alphanumeric).collect();
    let host = provenance.host.as_deref().unwrap_or_default().to_ascii_lowercase();
    let slug = host.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    match slug.trim_matches('-') {
        "" => stamp,
        slug => format!("{stamp}-{}", &slug[..slug.len().min(40)]),
    }
}

fn create_unique(root: &Path, base: &str) -> Result<(String, PathBuf), RecordError> {
    let mut count = 1_u32;
    loop {
        let name = if count == 1 { base.to_owned() } else { format!("{base}-{count}") };
        let path = root.join(&name);
        match fs::create_dir(&path) {
            Ok(()) => return Ok((name, path)),
            // Making a folder is atomic, so of two runs that start together one gets the next name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < u32::MAX => {
                count += 1;
            }
            Err(source) => return Err(RecordError::write(&path, source)),
        }
    }
}

/// Locks the folder, so that no other process resumes a run that this one writes. `None` where the
/// system cannot lock a folder (Windows, some network file systems); the lock ends with the process.
pub(super) fn lock(path: &Path) -> Result<Option<File>, RecordError> {
    let Ok(folder) = File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(fs::TryLockError::WouldBlock) => Err(RecordError::Resume {
            path: path.to_owned(),
            why: "another process is writing it; wait for that one to end, or stop it".to_owned(),
        }),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

pub(super) fn write_json(folder: &Path, provenance: &Provenance) -> Result<(), RecordError> {
    let path = folder.join(Provenance::FILE);
    let mut text = serde_json::to_string_pretty(provenance)
        .map_err(|error| RecordError::Encode { path: path.clone(), why: error.to_string() })?;
    text.push('\n');
    let draft = draft_of(&path);
    fs::write(&draft, text).map_err(|source| RecordError::write(&draft, source))?;
    fs::rename(&draft, &path).map_err(|source| RecordError::write(&path, source))
}

/// Where the next version of a file is written, until it is whole.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// The header of a table, as its first line.
pub(super) fn header<R: Row>() -> String {
    R::columns().join(",") + "\n"
}

/// One CSV file that grows.
#[derive(Debug)]
pub(super) struct Table<R> {
    path: PathBuf,
    file: File,
    /// Bytes of the whole rows written so far.
    bytes: u64,
    rows: PhantomData<R>,
}

impl<R: Row> Table<R> {
    /// Makes the file, with its header.
    fn create(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(R::FILE);
        let file = File::create(&path).map_err(|source| RecordError::write(&path, source))?;
        let mut table = Self { path, file, bytes: 0, rows: PhantomData };
        table.write(header::<R>().as_bytes())?;
        Ok(table)
    }

    /// Opens a file of whole rows, to append to it.
    pub(super) fn open(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(R::FILE);
        let opened = File::options().append(true).open(&path).and_then(|file| {
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        });
        let (file, bytes) = opened.map_err(|source| RecordError::write(&path, source))?;
        Ok(Self { path, file, bytes, rows: PhantomData })
    }

    fn append(&mut self, rows: &[R], run_id: &str) -> Result<(), RecordError> {
        let mut text = Vec::new();
        for row in rows {
            let line = encode(&row.stamped(run_id))
                .map_err(|why| RecordError::Encode { path: self.path.clone(), why })?;
            text.extend(line);
        }
        self.write(&text)
    }

    /// Writes whole rows. If that fails half way, the file is cut back to the rows before them, as
    /// far as the file system lets it, so that it can still be read.
    fn write(&mut self, text: &[u8]) -> Result<(), RecordError> {
        if let Err(source) = self.file.write_all(text) {
            let _ = self.file.set_len(self.bytes);
            let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.bytes));
            return Err(RecordError::write(&self.path, source));
        }
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// One row as one line: a reader of lines sees rows, and a file that ends in a newline is whole.
pub(super) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row).map_err(|error| error.to_string())?;
    let mut line = writer.into_inner().map_err(|error| error.to_string())?;
    let end = line.len().saturating_sub(1);
    for byte in &mut line[..end] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_name_has_no_odd_characters() {
        let provenance = |utc: &str, host: Option<&str>| Provenance {
            utc: utc.into(),
            host: host.map(str::to_owned),
            ..Provenance::default()
        };
        let utc = "2026-01-02T03:04:05Z";
        assert_eq!(base_name(&provenance(utc, Some("Box 7.lan"))), "20260102T030405Z-box-7-lan");
        assert_eq!(base_name(&provenance(utc, Some("../…"))), "20260102T030405Z");
        assert_eq!(base_name(&provenance(utc, None)), "20260102T030405Z");
        assert_eq!(base_name(&provenance(utc, Some(&"x".repeat(300)))).len(), 16 + 1 + 40);
    }

    /// Linux has a file that is a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_one_line_with_its_remedy() {
        let path = PathBuf::from("/dev/full");
        let file = File::options().write(true).open(&path).unwrap();
        let mut table = Table::<Sample> { path, file, bytes: 0, rows: PhantomData };
        let text = table.append(&[Sample::default()], "run").unwrap_err().to_string();
        assert!(text.starts_with("cannot write `/dev/full`: No space left"), "{text}");
        assert!(text.ends_with("; free space on that disk"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
