//! Copies a run without what tells whose machine it was.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sysinfo::System;

use super::provenance::{path_in, without_paths};
use super::row::Row;
use super::run::{base_name, encode};
use super::{Provenance, RecordError, RunFolder, read, read_provenance, read_samples};

/// Names that name nobody.
const NOBODY: [&str; 8] =
    ["root", "user", "admin", "runner", "ubuntu", "debian", "localhost", "unknown"];

/// Copies the run in the folder `run` to a new folder of `to`, with this build's schema, and
/// returns that folder. The host is left out of `run.json`, of the run's id and so of the folder's
/// name; in a merged run, of the parts and of the ids that its rows keep of them.
///
/// # Errors
/// [`RecordError::Private`] names the first cell that holds a path, or the name of the host or
/// user (of the run or of this machine); nothing is written then. [`RecordError::Read`] for a run
/// that cannot be read, [`RecordError::Write`] for a folder that cannot be written.
pub fn publish(run: &Path, to: &Path) -> Result<PathBuf, RecordError> {
    let mut provenance = read_provenance(run)?;
    let names = private_names(&provenance);
    let part_ids = anonymise(&mut provenance);
    let mut records = read(run)?;
    for record in &mut records {
        record.run_id = part_ids.get(&record.run_id).cloned().unwrap_or_default();
    }
    let samples = read_samples(run)?;
    let trajectory = super::read_trajectory(run)?;

    check_json(&run.join(Provenance::FILE), &provenance, &names)?;
    check_rows(run, &records, &names)?;
    check_rows(run, &samples, &names)?;
    check_rows(run, &trajectory, &names)?;

    let mut copy = RunFolder::create(to, provenance)?;
    let written = records
        .iter()
        .try_for_each(|record| copy.append_part(record))
        .and_then(|()| copy.append_samples(&samples))
        .and_then(|()| copy.append_trajectory(&trajectory));
    let path = copy.path().to_owned();
    if written.is_err() {
        // Half a run must not be taken for one; the error says what went wrong.
        let _ = fs::remove_dir_all(&path);
    }
    written.map(|()| path)
}

/// Takes out the hosts, the run ids, which hold them, and the paths of the selection. Returns the
/// new id of each part by its old one.
fn anonymise(provenance: &mut Provenance) -> HashMap<String, String> {
    provenance.host = None;
    provenance.run_id.clear();
    provenance.resumed.iter_mut().for_each(|resumption| resumption.host = None);
    let values = provenance.plan.iter_mut().flat_map(|plan| plan.selection.values_mut());
    values.for_each(|value| *value = without_paths(value));
    let mut ids: HashMap<String, String> = HashMap::new();
    for part in &mut provenance.parts {
        let old = part.run_id.clone();
        anonymise(part);
        // Parts that began in the same second were told apart by their hosts.
        let stamp = base_name(part);
        let mut names = (1..).map(|n| if n == 1 { stamp.clone() } else { format!("{stamp}-{n}") });
        let is_free = |name: &String| ids.values().all(|id| id != name);
        part.run_id = names.find(is_free).unwrap_or_default();
        ids.insert(old, part.run_id.clone());
    }
    ids
}

/// Names of the run's hosts, of this host and of this user. One that the machine's own description
/// contains (a host `fedora` under Fedora) tells no more than that does.
fn private_names(provenance: &Provenance) -> Vec<String> {
    let runs = || std::iter::once(provenance).chain(&provenance.parts);
    let resumptions = runs().flat_map(|run| &run.resumed).map(|resumption| &resumption.host);
    let hosts = runs().map(|run| &run.host).chain(resumptions).flatten().cloned();
    let hosts = hosts.chain(System::host_name().ok());
    let hosts = hosts.flat_map(|host| {
        let short = host.split('.').next().unwrap_or_default().to_owned();
        [host, short]
    });
    let users = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let described = [&provenance.os, &provenance.cpu, &provenance.target];
    hosts
        .chain(users)
        .filter(|name| !name.trim().is_empty())
        .filter(|name| !NOBODY.iter().any(|other| other.eq_ignore_ascii_case(name)))
        .filter(|name| !described.iter().any(|text| contains_word(text, name)))
        .collect()
}

/// Whether `word` stands in `text` with no letter or digit beside it, whatever the case.
fn contains_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(&word).any(|(at, _)| {
        outside(text[..at].chars().next_back()) && outside(text[at + word.len()..].chars().next())
    })
}

/// What in a text must not be published.
fn private_in<'a>(text: &'a str, names: &'a [String]) -> Option<&'a str> {
    path_in(text)
        .or_else(|| names.iter().find(|name| contains_word(text, name)).map(String::as_str))
}

fn check_json(path: &Path, provenance: &Provenance, names: &[String]) -> Result<(), RecordError> {
    let encode = |error: serde_json::Error| RecordError::Encode {
        path: path.to_owned(),
        why: error.to_string(),
    };
    check_value(path, "", &serde_json::to_value(provenance).map_err(encode)?, names)
}

fn check_value(path: &Path, key: &str, value: &Value, names: &[String]) -> Result<(), RecordError> {
    let check = |text: &str| match private_in(text, names) {
        None => Ok(()),
        Some(found) => Err(RecordError::Private {
            path: path.to_owned(),
            place: format!("key `{key}`"),
            found: found.to_owned(),
        }),
    };
    match value {
        Value::String(text) => check(text),
        Value::Array(values) => values.iter().try_for_each(|v| check_value(path, key, v, names)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            check(key)?;
            check_value(path, key, value, names)
        }),
        _ => Ok(()),
    }
}

fn check_rows<R: Row>(run: &Path, rows: &[R], names: &[String]) -> Result<(), RecordError> {
    let path = run.join(R::FILE);
    let columns = R::columns();
    for (index, row) in rows.iter().enumerate() {
        let line = encode(row).map_err(|why| RecordError::Encode { path: path.clone(), why })?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
        for cells in reader.records() {
            let cells = cells.map_err(|error| RecordError::Encode {
                path: path.clone(),
                why: error.to_string(),
            })?;
            for (column, cell) in columns.iter().zip(&cells) {
                if let Some(found) = private_in(cell, names) {
                    let place = format!("line {}, column `{column}`", index + 2);
                    return Err(RecordError::Private { path, place, found: found.to_owned() });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_its_own() {
        assert!(contains_word("run on Box-7, alone", "box-7"));
        assert!(contains_word("vm", "VM"));
        assert!(!contains_word("llvmpipe", "vm"));
        assert!(!contains_word("box-77", "box-7"));
    }

    #[test]
    fn a_host_named_as_its_system_is_no_secret() {
        let provenance = Provenance {
            host: Some("fedora".into()),
            os: "Linux 43 Fedora".into(),
            ..Provenance::default()
        };
        assert!(!private_names(&provenance).iter().any(|name| name == "fedora"));
        let provenance = Provenance { host: Some("box-7.lan".into()), ..provenance };
        let names = private_names(&provenance);
        assert!(names.contains(&"box-7.lan".to_owned()) && names.contains(&"box-7".to_owned()));
    }
}
