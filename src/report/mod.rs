//! Figures, tables and one HTML page from results.
//!
//! [`write()`] makes a folder with `index.html`, which needs no other file and no network;
//! `figures/`, each figure as SVG, as PDF and as pgfplots; `tables/`, the same data in booktabs, and
//! the fingerprints of the devices side by side; and `report.tex`, a document of all of them. The way
//! is
//!
//! > rows → [`data`] (with their sources) → [`figures`] (what is drawn) → [`plot`], [`latex`],
//! > [`page`].

pub mod data;
pub mod errors;
pub mod figure;
pub mod figures;
pub mod fingerprints;
pub mod latex;
pub mod orders;
pub mod page;
pub mod plot;
pub mod scale;
pub mod tree;
pub mod validation;
pub mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::record::{LoadError, ReadError};
use data::Data;
use figures::Figures;
use fingerprints::SideBySide;
use orders::Orders;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The measurements cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What lies beside them cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No row can be drawn.
    #[error(
        "none of {rows} rows can be drawn ({ok} have status ok); the first, `{file}`, line {line}: \
         {why}; name a run with a measured case"
    )]
    NothingMeasured {
        /// Rows there are.
        rows: usize,
        /// Those of status ok.
        ok: usize,
        /// File of the first.
        file: String,
        /// Its line.
        line: u64,
        /// Why it cannot.
        why: String,
    },
    /// The folder is there and is not a report's, or may not be replaced.
    #[error("`{}` exists and {why}", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// What is the matter, and the remedy.
        why: &'static str,
    },
    /// The file system refused.
    #[error("cannot write `{}`: {source}; {}", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A figure or the page could not be made of good data.
    #[error("cannot draw {what}: {why}; report this as a bug of tradeoff")]
    Draw {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free space on that disk"
        }
        _ => "choose a folder that can be written with -o",
    }
}

/// What a report is made from, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder to make.
    pub folder: PathBuf,
    /// Replace an older report there.
    pub force: bool,
    /// Loss gap to which time is measured; chosen from the data if there is none.
    pub target_gap: Option<f64>,
}

/// A report that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its page.
    pub page: PathBuf,
    /// Its figures, and what was left out.
    pub figures: Figures,
    /// Why rows are in no figure, and how many for each reason.
    pub left_out: BTreeMap<String, usize>,
}

/// Makes a report of the runs that `paths` lead to.
///
/// The folder appears whole or not at all: it is written beside its place, under a name that begins
/// with a dot, and renamed last.
///
/// # Errors
/// [`ReportError`]; nothing is left behind then.
pub fn write<P: AsRef<Path>>(paths: &[P], options: &Options) -> Result<Report, ReportError> {
    let data = Data::load(paths)?;
    let figures = figures::figures(&data, options.target_gap);
    let folder = &options.folder;
    check_target(folder, options.force)?;
    let draft = draft_beside(folder);
    let written = fill(&draft, &data, &figures).and_then(|()| put_in_place(&draft, folder));
    if written.is_err() {
        // Half a report must not be taken for one; the error says what went wrong.
        let _ = fs::remove_dir_all(&draft);
    }
    written?;
    let mut left_out = BTreeMap::new();
    for row in &data.left_out {
        *left_out.entry(row.why.to_string()).or_default() += 1;
    }
    Ok(Report { page: folder.join(PAGE), figures, left_out })
}

/// Name of the page.
const PAGE: &str = "index.html";

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReportError + use<> {
    let path = path.to_owned();
    |source| ReportError::Write { path, source }
}

/// Refuses to replace what is no report, and a report unless told to.
fn check_target(folder: &Path, force: bool) -> Result<(), ReportError> {
    let exists = |why| Err(ReportError::Exists { path: folder.to_owned(), why });
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    if !folder.is_dir() {
        return exists("is no folder; name another with -o");
    }
    if fs::read_dir(folder).map_err(at(folder))?.next().is_none() {
        return Ok(());
    }
    let page = fs::read_to_string(folder.join(PAGE)).unwrap_or_default();
    match (page.contains(page::GENERATOR), force) {
        (true, true) => Ok(()),
        (true, false) => exists("holds a report; replace it with --force, or name another with -o"),
        (false, _) => exists("holds something else than a report; name another with -o"),
    }
}

/// A sibling that no other run of this program uses at the same time.
fn draft_beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.draft-{}", std::process::id()))
}

fn fill(draft: &Path, data: &Data, figures: &Figures) -> Result<(), ReportError> {
    let make = |folder: &Path| fs::create_dir_all(folder).map_err(at(folder));
    let save = |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(at(&path));
    let (pictures, tables) = (draft.join("figures"), draft.join("tables"));
    make(&pictures)?;
    make(&tables)?;
    for figure in &figures.figures {
        let id = &figure.id;
        let pdf = plot::pdf(figure)
            .map_err(|why| ReportError::Draw { what: format!("figure {id}"), why })?;
        save(pictures.join(format!("{id}.svg")), plot::svg(figure).as_bytes())?;
        save(pictures.join(format!("{id}.pdf")), &pdf)?;
        save(pictures.join(format!("{id}.tex")), latex::picture(figure).as_bytes())?;
        save(tables.join(format!("{id}.tex")), latex::table(figure, data).as_bytes())?;
    }
    let fingerprints = latex::fingerprints_table(&SideBySide::of(&data.runs));
    let orders = latex::orders_table(&Orders::of(&data.runs)).unwrap_or_default();
    let fingerprints = fingerprints.map(|table| table + &orders);
    if let Some(table) = &fingerprints {
        save(tables.join("fingerprints.tex"), table.as_bytes())?;
    }
    let document = latex::document(&figures.figures, fingerprints.is_some());
    save(draft.join("report.tex"), document.as_bytes())?;
    let page = page::page(data, figures)
        .map_err(|why| ReportError::Draw { what: "the page".into(), why })?;
    save(draft.join(PAGE), page.as_bytes())
}

/// Renames the draft; what was there goes only once the new report stands.
fn put_in_place(draft: &Path, folder: &Path) -> Result<(), ReportError> {
    let old = draft.with_extension("old");
    let replaces = folder.is_dir();
    if replaces {
        fs::rename(folder, &old).map_err(at(folder))?;
    }
    if let Err(source) = fs::rename(draft, folder) {
        if replaces {
            // Back to how it was; the error below says what went wrong.
            let _ = fs::rename(&old, folder);
        }
        return Err(ReportError::Write { path: folder.to_owned(), source });
    }
    if replaces { fs::remove_dir_all(&old).map_err(at(&old)) } else { Ok(()) }
}
