//! Summation orders of the kernels of all devices of all runs side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::data::Run;
use super::fingerprints::{Line, column_name};
use crate::fingerprint::kernels::KernelOrder;
use crate::fingerprint::summation::listed;

/// A table of the orders in which kernels sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orders {
    /// The devices of each column, with the name of a run where that says more: runs of one device that
    /// do not contradict each other, and devices whose kernels sum alike.
    pub columns: Vec<String>,
    /// Precision and kernel, and the name of its order in each column; empty where it was not measured.
    pub lines: Vec<Line>,
    /// Whether a kernel was measured and not asked.
    pub incomplete: bool,
}

/// What stands in a cell of a kernel that was measured and not asked.
pub const NOT_ASKED: &str = "not asked";

/// The names of the orders of each kernel: several where its parameters make several.
type Kernels = BTreeMap<String, BTreeSet<String>>;

struct Column {
    names: Vec<String>,
    devices: BTreeSet<String>,
    kernels: Kernels,
}

impl Column {
    /// Whether what another device's kernels do can stand here.
    fn takes(&self, device: &str, kernels: &Kernels) -> bool {
        let agrees = |(name, orders): (&String, &BTreeSet<String>)| {
            self.kernels.get(name).is_none_or(|known| {
                let asked = [known, orders].iter().all(|orders| !orders.contains(NOT_ASKED));
                !asked || known == orders
            })
        };
        self.kernels == *kernels || (self.devices.contains(device) && kernels.iter().all(agrees))
    }

    fn add(&mut self, name: String, device: &str, kernels: Kernels) {
        self.names.push(name);
        self.devices.insert(device.to_owned());
        for (kernel, orders) in kernels {
            let known = self.kernels.entry(kernel).or_default();
            known.extend(orders);
            if known.len() > 1 {
                known.remove(NOT_ASKED);
            }
        }
    }
}

impl Orders {
    /// From what the runs have beside their fingerprints.
    pub fn of(runs: &[Run]) -> Self {
        let mut columns: Vec<Column> = vec![];
        for run in runs {
            let all = run.provenance.as_ref().and_then(|p| p.fingerprints.as_object());
            for (device, fingerprint) in all.into_iter().flatten() {
                let kernels = kernels(&listed(fingerprint));
                if kernels.is_empty() {
                    continue;
                }
                let name = column_name(runs, run, device);
                match columns.iter_mut().find(|column| column.takes(device, &kernels)) {
                    Some(column) => column.add(name, device, kernels),
                    None => columns.push(Column {
                        names: vec![name],
                        devices: BTreeSet::from([device.clone()]),
                        kernels,
                    }),
                }
            }
        }
        Self::beside(&columns)
    }

    fn beside(columns: &[Column]) -> Self {
        let names: BTreeSet<&String> = columns.iter().flat_map(|c| c.kernels.keys()).collect();
        let cell = |column: &Column, name: &String| {
            let orders = column.kernels.get(name).into_iter().flatten();
            orders.cloned().collect::<Vec<_>>().join(" or ")
        };
        let line = |name: &String| Line {
            property: name.clone(),
            cells: columns.iter().map(|column| cell(column, name)).collect(),
        };
        let mut cells = columns.iter().flat_map(|column| column.kernels.values());
        Self {
            lines: names.into_iter().map(line).collect(),
            columns: columns.iter().map(|column| column.names.join(", ")).collect(),
            incomplete: cells.any(|orders| orders.contains(NOT_ASKED)),
        }
    }
}

fn kernels(orders: &[KernelOrder]) -> Kernels {
    let mut kernels = Kernels::new();
    for order in orders {
        let known = kernels.entry(order.of_what()).or_default();
        // A reason is for the file: `exact`, `not revealed`, `not asked` here.
        let name = order.order.split(": ").next().unwrap_or_default();
        known.insert(name.to_owned());
        if known.len() > 1 {
            known.remove(NOT_ASKED);
        }
    }
    kernels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fingerprint::summation::put;
    use crate::record::Provenance;

    fn run(name: &str, devices: &[(&str, &[(&str, &str)])]) -> Run {
        let mut fingerprints = json!({});
        for (device, orders) in devices {
            let order = |(kernel, order): &(&str, &str)| KernelOrder {
                order: (*order).to_owned(),
                ..KernelOrder::of_name(kernel, "fp32")
            };
            let orders: Vec<KernelOrder> = orders.iter().map(order).collect();
            let mut fingerprint = json!({ "sha256": "0" });
            put(&mut fingerprint, &orders);
            fingerprints[device] = fingerprint;
        }
        let provenance = Provenance { fingerprints, ..Provenance::default() };
        Run { name: name.to_owned(), provenance: Some(provenance) }
    }

    #[test]
    fn runs_of_a_device_that_agree_share_a_column() {
        let first = run(
            "r",
            &[
                ("a", &[("naive", "sequential"), ("gemv", "not asked: no time")]),
                ("b", &[("naive", "pairwise")]),
                ("c", &[]),
            ],
        );
        let table = Orders::of(std::slice::from_ref(&first));
        assert_eq!(table.columns, ["a", "b"]);
        assert!(table.incomplete);
        let cells = |table: &Orders, kernel: &str| {
            table.lines.iter().find(|line| line.property == kernel).unwrap().cells.clone()
        };
        assert_eq!(cells(&table, "fp32 naive"), ["sequential", "pairwise"]);
        assert_eq!(cells(&table, "fp32 gemv"), ["not asked", ""]);

        let second = run("s", &[("a", &[("gemv", "exact: integers")]), ("b", &[("naive", "x")])]);
        let table = Orders::of(&[first, second]);
        assert_eq!(table.columns, ["a (r), a (s)", "b (r)", "b (s)"]);
        assert_eq!(cells(&table, "fp32 gemv"), ["exact", "", ""]);
        assert_eq!(cells(&table, "fp32 naive"), ["sequential", "pairwise", "x"]);
        assert!(!table.incomplete);
    }

    #[test]
    fn runs_without_orders_make_no_table() {
        let bare = Run { name: "r".to_owned(), provenance: None };
        assert_eq!(Orders::of(&[bare, run("s", &[("a", &[])])]), Orders::default());
    }
}
