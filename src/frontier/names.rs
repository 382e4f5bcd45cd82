//! What a row is called: its setting, its inputs, and the conditions that are not the default.

use crate::record::Record;

/// State of the caches; a row that says none is from before there was a choice.
pub(super) fn cache(record: &Record) -> &str {
    if record.cache.is_empty() { "warm" } else { &record.cache }
}

/// How the operands are stored; a row that says nothing is from before there was a choice.
pub(crate) fn layout(record: &Record) -> &str {
    if record.operand_layout.is_empty() { "nn" } else { &record.operand_layout }
}

/// Independent products of one iteration; a row that says nothing is from before there were several.
pub(crate) fn batch_count(record: &Record) -> u64 {
    record.batch_count.unwrap_or(1)
}

/// See [`Frontier::conditions`](super::Frontier::conditions).
pub(crate) fn conditions(record: &Record) -> String {
    let (cache, layout, count) = (cache(record), layout(record), batch_count(record));
    let parts = [
        (cache != "warm").then(|| format!("{cache} caches")),
        (layout != "nn").then(|| format!("operands {layout}")),
        (count != 1).then(|| format!("{count} at once")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Whose code a row measured, if it is not this crate's: a peer and its version.
pub fn peer(record: &Record) -> Option<&str> {
    Some(record.implementation.as_str()).filter(|name| !["", "tradeoff"].contains(name))
}

/// How an sgd row descends and with which parameters, if not by plain SGD.
pub fn algorithm(record: &Record) -> Option<[&str; 2]> {
    let [name, parameters] = [&record.algorithm, &record.algorithm_parameters].map(String::as_str);
    (!["", "sgd"].contains(&name)).then_some([name, parameters])
}

/// What a setting is called besides its kernel: the precision; how it descends, if not by plain SGD;
/// and the random bits of a rounding, if not as many as usual. `D32fM8-SR halp mu=0.03`, `fp16-sr r=8`.
pub fn name(record: &Record) -> String {
    let mut name = record.precision_label();
    for word in algorithm(record).into_iter().flatten().filter(|word| !word.is_empty()) {
        name += &format!(" {word}");
    }
    name
}

/// Distribution of seeded inputs with its parameters, or the data set, or where else they come from:
/// `exponent-spread(phi=2)`.
pub fn problem(record: &Record) -> String {
    let Record { distribution, distribution_parameters, data_set, problem, .. } = record;
    match [distribution, data_set, problem].into_iter().find(|text| !text.is_empty()) {
        Some(text) if !distribution.is_empty() && !distribution_parameters.is_empty() => {
            format!("{text}({distribution_parameters})")
        }
        text => text.cloned().unwrap_or_default(),
    }
}
