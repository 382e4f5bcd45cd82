//! What a run set out to measure, as `run.json` keeps it: enough to go on with the run, to split it
//! over machines, and to join the parts.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The cases of a run, and what selected them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunPlan {
    /// The `TRADEOFF_*` variables that select the cases, with the flags that overrode them; one
    /// that is absent had its default.
    pub selection: BTreeMap<String, String>,
    /// Time for the samples of one case. Unit: s.
    pub time_s: f64,
    /// Most samples of one case; `None` for the sampler's own number.
    pub samples: Option<usize>,
    /// Width of the median's 95 % interval, over the median, at which sampling of a case ends;
    /// `None` where that is left to time and number.
    pub interval: Option<f64>,
    /// `rounds` or `none`, as in the rows.
    pub interleaving: String,
    /// `warm` or `cold`, as in the rows.
    pub cache: String,
    /// Processes that measure each case, one after the other; 0 is 1.
    pub processes: u32,
    /// The part of the cases that this run measures; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Ids of the cases of all shards, in the order in which they are measured.
    pub cases: Vec<String>,
}

impl RunPlan {
    /// Ids of the cases that this run measures: those of its shard.
    pub fn own_cases(&self) -> impl Iterator<Item = &str> {
        let mine = |position| self.shard.is_none_or(|shard| shard.has(position));
        let own = self.cases.iter().enumerate().filter(move |(position, _)| mine(*position));
        own.map(|(_, id)| id.as_str())
    }

    /// The first thing in which two plans differ, apart from which shards of them are measured.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names: HashSet<&String> = self.selection.keys().chain(other.selection.keys()).collect();
        let mut names: Vec<&String> = names.into_iter().collect();
        names.sort();
        let value = |plan: &Self, name| plan.selection.get(name).cloned();
        let show = |value: Option<String>| match value {
            Some(value) => format!("`{value}`"),
            None => "its default".to_owned(),
        };
        for name in names {
            let (a, b) = (value(self, name), value(other, name));
            if a != b {
                return Some(format!("{name} is {} in one and {} in the other", show(a), show(b)));
            }
        }
        if (self.time_s, self.samples) != (other.time_s, other.samples) {
            let show = |plan: &Self| match plan.samples {
                Some(samples) => format!("{} s, {samples} samples", plan.time_s),
                None => format!("{} s", plan.time_s),
            };
            return Some(format!("a case was given {} and {}", show(self), show(other)));
        }
        let how = |plan: &Self| {
            let interval = plan.interval.map_or("none".to_owned(), |width| width.to_string());
            format!(
                "interval {interval}, interleaving `{}`, cache `{}`, {} processes",
                plan.interleaving,
                plan.cache,
                plan.processes.max(1)
            )
        };
        if how(self) != how(other) {
            return Some(format!("one is sampled with {} and one with {}", how(self), how(other)));
        }
        let count = |plan: &Self| plan.shard.map(|shard| shard.count);
        if let (Some(a), Some(b)) = (count(self), count(other))
            && a != b
        {
            return Some(format!("one is split into {a} shards and the other into {b}"));
        }
        let longest = self.cases.len().max(other.cases.len());
        let at = (0..longest).find(|&i| self.cases.get(i) != other.cases.get(i))?;
        let show = |plan: &Self| match plan.cases.get(at) {
            Some(id) => format!("`{id}`"),
            None => "the end".to_owned(),
        };
        Some(format!("case {} is {} and {}", at + 1, show(self), show(other)))
    }
}

/// Part `index` of `count` of a plan. The shards take turns, and each round the other way about:
/// of three shards, cases go to 1, 2, 3, 3, 2, 1, 1, 2, …
///
/// A case's shard depends on its position alone, so machines that select the same cases agree
/// without talking to each other. Taking turns spreads the large shapes, which come together; and
/// turning about spreads the kernels, which alternate, so that no shard has all the slow ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Whether the case at a position of the plan, from 0, belongs to this shard.
    pub fn has(self, position: usize) -> bool {
        let (round, turn) = (position / self.count, position % self.count);
        let mine = if round % 2 == 0 { self.index - 1 } else { self.count - self.index };
        turn == mine
    }

    /// Number of shards.
    pub fn count(self) -> usize {
        self.count
    }
}

/// A text that is no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no shard; write i/n with i from 1 to n, such as 1/4")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let error = || ShardError(text.trim().to_owned());
        let (index, count) = text.trim().split_once('/').ok_or_else(error)?;
        let number = |part: &str| part.trim().parse::<usize>().map_err(|_| error());
        let (index, count) = (number(index)?, number(count)?);
        if (1..=count).contains(&index) { Ok(Self { index, count }) } else { Err(error()) }
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// A time at which a run was taken up again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resumption {
    /// When: RFC 3339, UTC, to the second.
    pub utc: String,
    /// Name of the machine, where it is another than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What had changed since the run began, and was allowed to.
    pub changes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_read_back_and_bad_ones_are_named() {
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
        for bad in ["", "0/3", "4/3", "1", "1/0", "-1/2", "a/b", "1/2/3"] {
            let message = bad.parse::<Shard>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{bad}` is no shard")), "{message}");
        }
        let json = serde_json::to_string(&"2/3".parse::<Shard>().unwrap()).unwrap();
        assert_eq!(json, "\"2/3\"");
        assert!(serde_json::from_str::<Shard>("\"5/3\"").is_err());
    }

    proptest! {
        #[test]
        fn shards_hold_each_case_once_and_are_even(cases in 0usize..200, count in 1usize..20) {
            let all: Vec<String> = (0..cases).map(|i| i.to_string()).collect();
            let mut seen = vec![];
            let mut sizes = vec![];
            for index in 1..=count {
                let shard = Some(Shard { index, count });
                let plan = RunPlan { shard, cases: all.clone(), ..RunPlan::default() };
                sizes.push(plan.own_cases().count());
                seen.extend(plan.own_cases().map(str::to_owned));
            }
            seen.sort_by_key(|id| id.parse::<usize>().unwrap());
            prop_assert_eq!(seen, all);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn plans_differ_in_one_named_thing() {
        let plan = RunPlan {
            selection: [("TRADEOFF_SEED".to_owned(), "1".to_owned())].into(),
            time_s: 1.0,
            cases: vec!["a".into(), "b".into()],
            ..RunPlan::default()
        };
        let shard = |text: &str| RunPlan { shard: Some(text.parse().unwrap()), ..plan.clone() };
        assert_eq!(shard("1/2").difference(&shard("2/2")), None);
        assert_eq!(shard("1/2").difference(&plan), None, "a merge has no shard");
        let differs = |other: RunPlan| plan.difference(&other).unwrap();
        let seed = differs(RunPlan { selection: BTreeMap::new(), ..plan.clone() });
        assert_eq!(seed, "TRADEOFF_SEED is `1` in one and its default in the other");
        let time = differs(RunPlan { time_s: 2.0, ..plan.clone() });
        assert_eq!(time, "a case was given 1 s and 2 s");
        let cold = differs(RunPlan { cache: "cold".into(), ..plan.clone() });
        assert!(cold.contains("cache ``, 1 processes and one with interval none"), "{cold}");
        let cases = differs(RunPlan { cases: vec!["a".into()], ..plan.clone() });
        assert_eq!(cases, "case 2 is `b` and the end");
        let count = shard("1/2").difference(&shard("1/3")).unwrap();
        assert_eq!(count, "one is split into 2 shards and the other into 3");
    }
}
