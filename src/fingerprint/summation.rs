//! The summation orders of a device's kernels as `run.json` and `tradeoff probe --orders --json` have them:
//! a list beside its fingerprint.
//!
//! A run lists the kernels that it measured, with the parameters that it measured them with; a probe those
//! of every precision, with the device's default parameters. So the hash of the fingerprint is not
//! of the list: two runs of one device would have two.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kernels::KernelOrder;
use super::{Comparison, compared};

/// The key of the list among those of a device's fingerprint.
pub const ORDERS: &str = "summation_orders";

/// The list of a device; empty where none was made. What is no such entry is left out.
pub fn listed(fingerprint: &Value) -> Vec<KernelOrder> {
    let entries = fingerprint.get(ORDERS).and_then(Value::as_array);
    let read = |entry: &Value| serde_json::from_value(entry.clone()).ok();
    entries.into_iter().flatten().filter_map(read).collect()
}

/// The orders of a device's kernels, by precision, kernel, slices of k and number of summands; none where
/// they were not asked for. Other parameters of a kernel do not count, for devices have theirs; where they
/// make another order after all, both are told.
pub fn orders(fingerprint: &Value) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for order in listed(fingerprint).into_iter().filter(KernelOrder::is_asked) {
        all.entry(format!("order of {} products: {}", order.terms, order.of_what()))
            .or_default()
            .insert(order.told());
    }
    let told = |orders: BTreeSet<String>| orders.into_iter().collect::<Vec<_>>().join(" or ");
    all.into_iter().map(|(name, orders)| (name, told(orders))).collect()
}

/// Compares the orders that lie beside two fingerprints, see [`orders`]: kernel by kernel.
pub fn compare_orders(here: &Value, there: &Value) -> Comparison {
    compared(&orders(here), &orders(there))
}

/// Two lists as one, in the order of `later` and then of `earlier`. Of a kernel in both the later entry
/// holds, unless only the earlier one tells an order.
pub fn joined(earlier: Vec<KernelOrder>, later: Vec<KernelOrder>) -> Vec<KernelOrder> {
    let mut all = later;
    for order in earlier {
        match all.iter_mut().find(|known| known.is_of_the_same(&order)) {
            None => all.push(order),
            Some(known) if order.is_asked() && !known.is_asked() => *known = order,
            Some(_) => {}
        }
    }
    all
}

/// Fingerprints of devices by name: those of both, the later ones' where both have one, with the orders
/// that either lists; only those of the later where the hashes tell two arithmetics. One without a hash is of
/// a device that was not probed this time: the earlier one holds.
pub fn joined_fingerprints(earlier: &Value, later: Value) -> Value {
    let (Value::Object(known), Value::Object(mut all)) = (earlier, later.clone()) else {
        return later;
    };
    for (device, fingerprint) in known {
        match all.get_mut(device) {
            None => _ = all.insert(device.clone(), fingerprint.clone()),
            Some(newer) => *newer = joined_fingerprint(fingerprint, newer),
        }
    }
    Value::Object(all)
}

/// The same of one device.
fn joined_fingerprint(earlier: &Value, later: &Value) -> Value {
    let is_whole = |fingerprint: &Value| fingerprint["sha256"].is_string();
    if is_whole(earlier) && is_whole(later) && earlier["sha256"] != later["sha256"] {
        return later.clone();
    }
    let mut whole = if is_whole(earlier) && !is_whole(later) { earlier } else { later }.clone();
    put(&mut whole, &joined(listed(earlier), listed(later)));
    whole
}

/// Whether two fingerprints may be of one device in one state: all but the orders that both have is the same.
/// One that was not probed whole has less.
fn agree(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let mut shared = a.iter().filter(|(name, _)| *name != ORDERS);
    shared.all(|(name, value)| b.get(name).is_none_or(|other| other == value))
}

/// Fingerprints of devices by name that several runs have and none contradicts, with the orders that any of
/// them lists: a run that did not open a device, or not probe it, says nothing of it. `None` where nothing is
/// left.
pub fn common_fingerprints<'a>(all: impl IntoIterator<Item = &'a Value>) -> Option<Value> {
    let mut common: BTreeMap<&String, Option<Value>> = BTreeMap::new();
    for (device, fingerprint) in all.into_iter().filter_map(Value::as_object).flatten() {
        common
            .entry(device)
            .and_modify(|known| {
                let agreed = known.take().filter(|known| agree(known, fingerprint));
                *known = agreed.map(|known| joined_fingerprint(&known, fingerprint));
            })
            .or_insert_with(|| Some(fingerprint.clone()));
    }
    let agreed = common.into_iter().filter_map(|(device, known)| Some((device.clone(), known?)));
    let agreed: serde_json::Map<String, Value> = agreed.collect();
    (!agreed.is_empty()).then_some(Value::Object(agreed))
}

/// Puts a list beside a fingerprint, in place of the one there; an empty one is none.
pub fn put(fingerprint: &mut Value, orders: &[KernelOrder]) {
    let Value::Object(fields) = fingerprint else { return };
    if orders.is_empty() {
        fields.remove(ORDERS);
    } else {
        fields.insert(ORDERS.to_owned(), serde_json::json!(orders));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(kernel: &str, parameters: &str, order: &str, tree: &str) -> KernelOrder {
        KernelOrder {
            parameters: parameters.to_owned(),
            wgsl_sha256: format!("of {kernel} {parameters}"),
            order: order.to_owned(),
            tree: tree.to_owned(),
            ..KernelOrder::of_name(kernel, "fp32")
        }
    }

    fn with(all: &[KernelOrder]) -> Value {
        let mut fingerprint = json!({ "sha256": "0" });
        put(&mut fingerprint, all);
        fingerprint
    }

    #[test]
    fn orders_are_compared_by_kernel() {
        let here = with(&[
            order("naive", "", "sequential", "[0..63]"),
            order("gemv", "slices=4", "exact", ""),
            order("gemv", "slices=2", "sequential", "[0..63]"),
            order("subgroup", "", "not asked: no time", ""),
        ]);
        let there = with(&[
            order("naive", "tile=8", "pairwise", "pairwise[0..63]"),
            order("gemv", "slices=4 threads=8", "exact", ""),
            order("subgroup", "", "sequential", "[0..63]"),
        ]);
        assert_eq!(super::super::compare(&here, &there), Comparison::default());
        let found = compare_orders(&here, &there);
        assert_eq!((found.same, found.only_here.len(), found.only_there.len()), (1, 1, 1));
        assert_eq!(found.only_here, ["order of 64 products: fp32 gemv in 2 slices"]);
        let [difference] = &found.differences[..] else { panic!("{found:?}") };
        assert_eq!(difference.property, "order of 64 products: fp32 naive");
        assert_eq!(difference.there, "pairwise: pairwise[0..63]");
        assert_eq!(compare_orders(&here, &with(&[])).only_here.len(), 3);
        assert_eq!(found.clone().and(found.clone()).same, 2);
        // A kernel whose parameters make two orders tells both.
        let two = with(&[
            order("naive", "tile=8", "pairwise", "pairwise[0..63]"),
            order("naive", "tile=4", "sequential", "[0..63]"),
        ]);
        let told = &orders(&two)["order of 64 products: fp32 naive"];
        assert_eq!(told, "pairwise: pairwise[0..63] or sequential: [0..63]");
    }

    /// As an earlier version printed it: without hash and length.
    #[test]
    fn what_an_earlier_probe_printed_is_read() {
        let old = json!({ ORDERS: [
            { "kernel": "naive", "precision": "fp32", "parameters": "", "terms": 64,
              "order": "sequential", "tree": "[0..63]" },
            { "kernel": 7 },
        ] });
        let [found] = &listed(&old)[..] else { panic!("{old}") };
        assert_eq!((found.k, &found.wgsl_sha256[..]), (64, ""));
        assert_eq!(listed(&json!({ ORDERS: "none" })), []);
    }

    #[test]
    fn an_order_once_found_stays() {
        let found = order("naive", "", "sequential", "[0..63]");
        let left_out = found.clone().not_asked("no time");
        let gemv = order("gemv", "", "exact", "");
        let [a, b] = [vec![found.clone()], vec![gemv.clone(), left_out.clone()]];
        let both = [gemv.clone(), found.clone()];
        assert_eq!(joined(a.clone(), b.clone()), both);
        assert_eq!(joined(b.clone(), a.clone()), [found.clone(), gemv.clone()]);
        let [a, b] = [a, b].map(|orders| json!({ "cpu": with(&orders), "b": { "sha256": "1" } }));
        assert_eq!(listed(&joined_fingerprints(&a, b.clone())["cpu"]), both);
        assert_eq!(joined_fingerprints(&Value::Null, b.clone()), b);
        let opened = json!({ "cpu": { "arithmetic": {} } });
        assert_eq!(joined_fingerprints(&a, opened), a, "opened and not probed again");
        let common = common_fingerprints([&a, &b]).unwrap();
        assert_eq!((listed(&common["cpu"]), &common["b"]), (both.to_vec(), &b["b"]));
    }

    /// An order that was found when the device computed otherwise says nothing of it now.
    #[test]
    fn orders_of_another_arithmetic_do_not_stay() {
        let [naive, gemv] = ["naive", "gemv"].map(|kernel| order(kernel, "", "sequential", ""));
        let before = json!({ "gpu": with(&[naive]) });
        let mut now = json!({ "gpu": with(&[gemv]) });
        assert_eq!(listed(&joined_fingerprints(&before, now.clone())["gpu"]).len(), 2);
        now["gpu"]["sha256"] = "1".into();
        assert_eq!(joined_fingerprints(&before, now.clone()), now);
    }

    /// Of several runs a device is kept unless two contradict each other on it.
    #[test]
    fn what_one_run_does_not_know_of_is_no_contradiction() {
        let naive = order("naive", "", "sequential", "[0..63]");
        let whole = |sha256: &str| {
            let mut whole = json!({ "arithmetic": { "fma": true }, "sha256": sha256 });
            put(&mut whole, std::slice::from_ref(&naive));
            whole
        };
        let opened = json!({ "arithmetic": { "fma": true } });
        let first = json!({ "cpu": opened, "gpu": whole("1") });
        let second = json!({ "cpu": whole("0") });
        for all in [[&first, &second, &Value::Null], [&Value::Null, &second, &first]] {
            let common = common_fingerprints(all).unwrap();
            assert_eq!(common, json!({ "cpu": whole("0"), "gpu": whole("1") }));
        }
        // Two that differ are not settled by a third that agrees with one of them.
        let other = json!({ "gpu": whole("2"), "cpu": opened });
        let common = common_fingerprints([&first, &other, &first]).unwrap();
        assert_eq!(common, json!({ "cpu": opened }));
        let unlike = json!({ "cpu": { "arithmetic": { "fma": false } } });
        assert_eq!(common_fingerprints([&second, &unlike]), None);
        assert_eq!(common_fingerprints([&Value::Null]), None);
    }
}
