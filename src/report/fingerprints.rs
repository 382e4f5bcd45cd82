//! Fingerprints of all devices of all runs side by side: one column for those that say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::data::Run;
use crate::fingerprint::properties;

/// A table of what devices do. What all of them do alike stands apart from what tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideBySide {
    /// The devices of each column, with the name of a run where that says more.
    pub columns: Vec<String>,
    /// The first 12 digits of the hash of each column's fingerprint, of several where versions hashed
    /// other properties; empty where there is none.
    pub hashes: Vec<String>,
    /// Properties in which two columns differ.
    pub differing: Vec<Line>,
    /// All others that every column has.
    pub alike: Vec<Line>,
    /// Properties that only some columns have, for an earlier version did not probe them.
    pub partial: usize,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name, with that of its section.
    pub property: String,
    /// What each column has; empty where it was not probed.
    pub cells: Vec<String>,
}

/// Devices that say the same.
#[derive(Default)]
struct Column {
    names: Vec<String>,
    hashes: BTreeSet<String>,
    properties: BTreeMap<String, String>,
}

/// A device of a run, with the name of the run where there are several.
pub(super) fn column_name(runs: &[Run], run: &Run, device: &str) -> String {
    if runs.len() == 1 { device.to_owned() } else { format!("{device} ({})", run.name) }
}

impl SideBySide {
    /// From the fingerprints that the runs have.
    pub fn of(runs: &[Run]) -> Self {
        let mut columns: Vec<Column> = vec![];
        for run in runs {
            let all = run.provenance.as_ref().and_then(|p| p.fingerprints.as_object());
            for (device, fingerprint) in all.into_iter().flatten() {
                let properties = properties(fingerprint);
                let name = column_name(runs, run, device);
                let hash = fingerprint["sha256"].as_str().unwrap_or_default();
                let hash: String = hash.chars().take(12).collect();
                let position = columns.iter().position(|known| known.properties == properties);
                let position = position.unwrap_or_else(|| {
                    columns.push(Column { properties, ..Column::default() });
                    columns.len() - 1
                });
                columns[position].names.push(name);
                columns[position].hashes.extend((!hash.is_empty()).then_some(hash));
            }
        }
        let names: BTreeSet<String> =
            columns.iter().flat_map(|column| column.properties.keys().cloned()).collect();
        let mut table = Self::default();
        for property in names {
            let cells: Vec<Option<&String>> =
                columns.iter().map(|column| column.properties.get(&property)).collect();
            let known: BTreeSet<&String> = cells.iter().flatten().copied().collect();
            let whole = cells.iter().all(Option::is_some);
            let cells = cells.into_iter().map(|cell| cell.cloned().unwrap_or_default()).collect();
            let line = Line { property, cells };
            if known.len() > 1 {
                table.differing.push(line);
            } else if whole {
                table.alike.push(line);
            } else {
                table.partial += 1;
            }
        }
        table.columns = columns.iter().map(|column| column.names.join(", ")).collect();
        let hashes =
            columns.into_iter().map(|column| column.hashes.into_iter().collect::<Vec<_>>());
        table.hashes = hashes.map(|hashes| hashes.join(", ")).collect();
        table
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Provenance;

    fn run(name: &str, fingerprints: serde_json::Value) -> Run {
        let provenance = Provenance { fingerprints, ..Provenance::default() };
        Run { name: name.to_owned(), provenance: Some(provenance) }
    }

    fn device(fma: &str, sums: Option<&str>) -> serde_json::Value {
        let mut observed = json!({ "fma": { "scalars": fma, "vectors": "once" } });
        if let Some(sums) = sums {
            observed["rounding"] = json!({ "sums": sums });
        }
        json!({ "observed": observed, "sha256": fma })
    }

    #[test]
    fn devices_that_say_the_same_share_a_column() {
        let first = json!({
            "a": device("once", Some("even")), "b": device("twice", Some("even")),
            "c": device("once", Some("even")),
        });
        let table = SideBySide::of(&[run("r", first.clone())]);
        assert_eq!(table.columns, ["a, c", "b"]);
        assert_eq!(table.hashes, ["once", "twice"]);
        let line = |property: &str, cells: [&str; 2]| Line {
            property: property.to_owned(),
            cells: cells.map(str::to_owned).to_vec(),
        };
        assert_eq!(table.differing, [line("fma: scalars", ["once", "twice"])]);
        assert_eq!(table.alike.len(), 2);

        let older = json!({ "a": device("once", None) });
        let table = SideBySide::of(&[run("r", first), run("s", older)]);
        assert_eq!(table.columns, ["a (r), c (r)", "b (r)", "a (s)"]);
        assert_eq!((table.differing.len(), table.alike.len(), table.partial), (1, 1, 1));
    }

    #[test]
    fn runs_without_fingerprints_make_no_table() {
        let bare = Run { name: "r".to_owned(), provenance: None };
        assert_eq!(SideBySide::of(&[bare]), SideBySide::default());
        assert_eq!(SideBySide::of(&[run("r", serde_json::Value::Null)]), SideBySide::default());
    }
}
