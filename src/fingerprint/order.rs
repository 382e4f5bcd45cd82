//! In which order a sum of many numbers is added up, found out from its results alone.
//!
//! FPRev (Xie, Gao, Wang, Xue 2025): of n units, one is replaced by +M and one by −M, where M is so
//! large that units added to it vanish. What is added before the two meet is lost, what is added after
//! counts. So n less the result is the number of summands below the node at which i and j meet, and
//! those numbers for all pairs determine the tree. A node may have more than two children: matrix units
//! add several products at once.

use std::fmt;

/// In which order numbers are added: leaves are summands by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A summand.
    Leaf(usize),
    /// A sum of two or more, added at once.
    Sum(Vec<Tree>),
}

/// The numbers that stand in for ±M and for a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probes {
    /// M. It is finite, and a sum of all units vanishes beside it in the accumulator.
    pub large: f32,
    /// A unit. Sums of up to n units are exact in the accumulator.
    pub unit: f32,
}

impl Probes {
    /// Operands and accumulator of f32 or bfloat16.
    pub const F32: Self = Self { large: f32::from_bits(254 << 23), unit: 1.0 };
    /// Operands of f16, accumulator of f16 or f32: 2^15, and the least subnormal 2^-24.
    pub const F16: Self = Self { large: 32768.0, unit: f32::from_bits(103 << 23) };
    /// Operands of E5M2, accumulator of f32: 2^15, and the least subnormal 2^-16, of which 64 vanish.
    pub const E5M2: Self = Self { large: 32768.0, unit: 1.0 / 65536.0 };
}

/// Why no tree explains the results.
#[derive(Debug, thiserror::Error)]
pub enum OrderError<E> {
    /// The sum itself failed.
    #[error(transparent)]
    Sum(E),
    /// Something else than a fixed tree of rounded sums.
    #[error(
        "no fixed order of rounded sums explains what the sum with +M at {plus} and -M at {minus} gave ({result})"
    )]
    NoTree {
        /// Place of +M.
        plus: usize,
        /// Place of −M.
        minus: usize,
        /// The result, in units.
        result: f64,
    },
}

/// The order in which `sum_each` adds n numbers. It is given every vector at once, n numbers each, and
/// returns the sum of each; n(n−1)/2 of them, and every result is accounted for by the tree.
///
/// # Errors
/// [`OrderError::Sum`] where `sum_each` fails, [`OrderError::NoTree`] where the results are not those of
/// one tree: the order changes from sum to sum, or something else than rounded sums goes on, such as
/// compensation or exact accumulation.
pub fn reveal<E>(
    n: usize,
    probes: Probes,
    sum_each: impl FnOnce(&[Vec<f32>]) -> Result<Vec<f64>, E>,
) -> Result<Tree, OrderError<E>> {
    let pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
    let vectors: Vec<Vec<f32>> = pairs
        .iter()
        .map(|&(i, j)| {
            let mut vector = vec![probes.unit; n];
            (vector[i], vector[j]) = (probes.large, -probes.large);
            vector
        })
        .collect();
    let sums = sum_each(&vectors).map_err(OrderError::Sum)?;
    let mut below = Below { n, counts: vec![0; n * n] };
    for (k, &(plus, minus)) in pairs.iter().enumerate() {
        let result = sums.get(k).copied().unwrap_or(f64::NAN) / f64::from(probes.unit);
        let count = n as f64 - result;
        if !(2.0..=n as f64).contains(&count) || count.fract() != 0.0 {
            return Err(OrderError::NoTree { plus, minus, result });
        }
        below.set(plus, minus, count as usize);
    }
    let mut trees = below.children(&(0..n).collect::<Vec<_>>(), n + 1);
    let tree = if trees.len() == 1 { trees.swap_remove(0) } else { Tree::Sum(trees) };
    let explained = tree.counts(n);
    match pairs.iter().find(|&&(i, j)| explained.get(i, j) != below.get(i, j)) {
        None => Ok(tree),
        Some(&(plus, minus)) => {
            let result = (n - below.get(plus, minus)) as f64;
            Err(OrderError::NoTree { plus, minus, result })
        }
    }
}

/// For each pair of summands, how many there are below the node at which they meet.
struct Below {
    n: usize,
    counts: Vec<usize>,
}

impl Below {
    fn get(&self, i: usize, j: usize) -> usize {
        self.counts[i * self.n + j]
    }

    fn set(&mut self, i: usize, j: usize, count: usize) {
        self.counts[i * self.n + j] = count;
        self.counts[j * self.n + i] = count;
    }

    /// The trees of `leaves` whose parent has `parent` leaves below it. Recursion is on fewer leaves
    /// each time, so it ends whatever the counts are.
    fn children(&self, leaves: &[usize], parent: usize) -> Vec<Tree> {
        let Some((&first, rest)) = leaves.split_first() else { return vec![] };
        let mut tree = Tree::Leaf(first);
        let mut counts: Vec<usize> = rest.iter().map(|&j| self.get(first, j)).collect();
        counts.sort_unstable();
        counts.dedup();
        let meeting = |count: usize| -> Vec<usize> {
            rest.iter().copied().filter(|&j| self.get(first, j) == count).collect()
        };
        for &count in counts.iter().filter(|&&count| count < parent) {
            let mut parts = vec![tree];
            parts.extend(self.children(&meeting(count), count));
            tree = Tree::Sum(parts);
        }
        let mut all = vec![tree];
        for &count in counts.iter().filter(|&&count| count >= parent) {
            all.extend(self.children(&meeting(count), parent));
        }
        all
    }
}

impl Tree {
    /// Summands below it, from left to right.
    pub fn leaves(&self) -> Vec<usize> {
        match self {
            Self::Leaf(i) => vec![*i],
            Self::Sum(parts) => parts.iter().flat_map(Self::leaves).collect(),
        }
    }

    /// Additions on the longest way from a summand to the result.
    pub fn depth(&self) -> usize {
        match self {
            Self::Leaf(_) => 0,
            Self::Sum(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
        }
    }

    /// Most numbers that are added at once.
    pub fn widest(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Sum(parts) => parts.iter().map(Self::widest).max().unwrap_or(1).max(parts.len()),
        }
    }

    fn counts(&self, n: usize) -> Below {
        let mut below = Below { n, counts: vec![0; n * n] };
        self.count(&mut below);
        below
    }

    /// Fills the pairs that meet here or further down, and returns the leaves.
    fn count(&self, below: &mut Below) -> Vec<usize> {
        let Self::Sum(parts) = self else { return self.leaves() };
        let groups: Vec<Vec<usize>> = parts.iter().map(|part| part.count(below)).collect();
        let total = groups.iter().map(Vec::len).sum();
        for (k, group) in groups.iter().enumerate() {
            for &i in group {
                groups[k + 1..].iter().flatten().for_each(|&j| below.set(i, j, total));
            }
        }
        groups.concat()
    }

    /// In words: one after the other, pairwise, or what else.
    pub fn name(&self) -> String {
        let n = self.leaves().len();
        match (self.run(), self.is_pairwise(), self.widest()) {
            (Some((_, 1, _)), ..) => "sequential".to_owned(),
            (_, true, _) => "pairwise".to_owned(),
            (_, _, 2) => format!("a tree of depth {} of {n} numbers", self.depth()),
            (_, _, widest) => {
                format!("a tree of depth {} that adds up to {widest} at once", self.depth())
            }
        }
    }

    /// A chain that begins with a leaf and adds one leaf after the other, their numbers a constant step
    /// apart: (first, step, last).
    fn run(&self) -> Option<(usize, usize, usize)> {
        let (head, tail) = self.chain();
        let (Self::Leaf(first), [second, ..]) = (head, &tail[..]) else { return None };
        let step = second.checked_sub(*first).filter(|&step| step > 0)?;
        let regular = (1..).zip(&tail).all(|(k, &leaf)| leaf == first + k * step);
        regular.then_some((*first, step, first + step * tail.len()))
    }

    /// What leaves are added to one by one, and those leaves in order.
    fn chain(&self) -> (&Self, Vec<usize>) {
        let (mut head, mut tail) = (self, vec![]);
        while let Self::Sum(parts) = head
            && let [left, Self::Leaf(leaf)] = &parts[..]
        {
            tail.push(*leaf);
            head = left;
        }
        tail.reverse();
        (head, tail)
    }

    /// Neighbours first, then neighbouring pairs, and so on: a power of two of leaves in order.
    fn is_pairwise(&self) -> bool {
        fn size(tree: &Tree, first: usize) -> Option<usize> {
            match tree {
                Tree::Leaf(i) => (*i == first).then_some(1),
                Tree::Sum(parts) => {
                    let [left, right] = &parts[..] else { return None };
                    let half = size(left, first)?;
                    (size(right, first + half)? == half).then_some(2 * half)
                }
            }
        }
        let first = self.leaves().first().copied().unwrap_or(0);
        size(self, first).is_some_and(|n| n >= 4)
    }

    /// The tree as lines, chains and pairwise sums in one.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        self.line(&mut text, "", "");
        text
    }

    fn line(&self, text: &mut String, prefix: &str, under: &str) {
        let label = match (self, self.short()) {
            (_, Some(short)) => short,
            (Self::Sum(parts), None) => {
                format!("sum of {} parts, {} numbers", parts.len(), self.leaves().len())
            }
            (Self::Leaf(i), None) => i.to_string(),
        };
        *text += &format!("{prefix}{label}\n");
        if let (Self::Sum(parts), None) = (self, self.short()) {
            let last = parts.len() - 1;
            for (k, part) in parts.iter().enumerate() {
                let (branch, bar) =
                    if k == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                part.line(text, &format!("{under}{branch}"), &format!("{under}{bar}"));
            }
        }
    }

    /// Of what has a short notation.
    fn short(&self) -> Option<String> {
        match (self, self.run()) {
            (Self::Leaf(i), _) => Some(i.to_string()),
            (_, Some((first, 1, last))) => Some(format!("[{first}..{last}]")),
            (_, Some((first, step, last))) => Some(format!("[{first},{}..{last}]", first + step)),
            _ if self.is_pairwise() => {
                let leaves = self.leaves();
                Some(format!("pairwise[{}..{}]", leaves[0], leaves[leaves.len() - 1]))
            }
            _ => None,
        }
    }
}

/// `[0..63]` is 0 + 1 + … + 63 from left to right, `[0,4..60]` the same of every fourth,
/// `pairwise[0..63]` by neighbours, then pairs of neighbours; `(x + y)` any other sum.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(short) = self.short() {
            return f.write_str(&short);
        }
        let Self::Sum(parts) = self else { return Ok(()) };
        f.write_str("(")?;
        for (k, part) in parts.iter().enumerate() {
            write!(f, "{}{part}", if k == 0 { "" } else { " + " })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn revealed(n: usize, sum: impl Fn(&[f32]) -> f32) -> Result<Tree, OrderError<Infallible>> {
        reveal(n, Probes::F32, |all| Ok(all.iter().map(|v| sum(v).into()).collect()))
    }

    fn pairwise(x: &[f32]) -> f32 {
        if x.len() == 1 {
            return x[0];
        }
        let (left, right) = x.split_at(x.len().div_ceil(2));
        pairwise(left) + pairwise(right)
    }

    /// `ways` sums of every `ways`-th number, added in order.
    fn strided(x: &[f32], ways: usize) -> f32 {
        let mut sums = vec![0.0; ways];
        x.iter().enumerate().for_each(|(i, x)| sums[i % ways] += x);
        sums.iter().sum()
    }

    #[test]
    fn three_orders_are_told_apart() {
        let text = |tree: Result<Tree, _>| tree.unwrap().to_string();
        assert_eq!(text(revealed(64, |x| x.iter().sum())), "[0..63]");
        assert_eq!(text(revealed(64, pairwise)), "pairwise[0..63]");
        let four = "((([0,4..60] + [1,5..61]) + [2,6..62]) + [3,7..63])";
        assert_eq!(text(revealed(64, |x| strided(x, 4))), four);
        assert_eq!(text(revealed(5, pairwise)), "([0..2] + [3..4])");
        // A sum has no sides: the part with the first summand comes first.
        let backwards = "(0 + (1 + (2 + (3 + [4..5]))))";
        assert_eq!(text(revealed(6, |x| x.iter().rev().sum())), backwards);
        assert_eq!(text(revealed(1, |x| x[0])), "0");
        assert_eq!(text(revealed(2, |x| x[0] + x[1])), "[0..1]");
    }

    #[test]
    fn names_say_the_kind() {
        let name = |sum: &dyn Fn(&[f32]) -> f32| revealed(32, sum).unwrap().name();
        assert_eq!(name(&|x| x.iter().sum()), "sequential");
        assert_eq!(name(&pairwise), "pairwise");
        assert_eq!(name(&|x| strided(x, 4)), "a tree of depth 10 of 32 numbers");
    }

    /// A matrix unit that aligns eight products and the sum so far to the largest, cuts off what sticks
    /// out of 24 bits, and adds: a node of nine.
    fn fused(x: &[f32], width: usize) -> f32 {
        x.chunks(width).fold(0.0, |sum, chunk| {
            let all: Vec<f64> = chunk.iter().chain([&sum]).map(|&x| f64::from(x)).collect();
            let largest = all.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let quantum = 2f64.powi(largest.log2().floor() as i32 - 23);
            let total: f64 = all.iter().map(|x| (x / quantum).trunc() * quantum).sum();
            total as f32
        })
    }

    #[test]
    fn what_is_added_at_once_is_one_node() {
        let tree = revealed(16, |x| fused(x, 8)).unwrap();
        let eight = "(0 + 1 + 2 + 3 + 4 + 5 + 6 + 7)";
        assert_eq!(tree.to_string(), format!("({eight} + 8 + 9 + 10 + 11 + 12 + 13 + 14 + 15)"));
        assert_eq!((tree.widest(), tree.depth()), (9, 2));
        assert_eq!(tree.name(), "a tree of depth 2 that adds up to 9 at once");
    }

    #[test]
    fn what_is_no_fixed_tree_is_refused() {
        // As an accumulator without rounding gives it: ±M cancel, and no unit is lost.
        let exact = |x: &[f32]| x.iter().filter(|x| x.abs() == 1.0).sum();
        let compensated = |x: &[f32]| {
            let (mut sum, mut rest) = (0.0f32, 0.0f32);
            for &x in x {
                let (next, part) = (sum + x, (sum + x) - sum);
                rest += (sum - (next - part)) + (x - part);
                sum = next;
            }
            sum + rest
        };
        let by_size = |x: &[f32]| if x[3] > 1.0 { pairwise(x) } else { x.iter().sum() };
        for sum in [&exact as &dyn Fn(&[f32]) -> f32, &compensated, &by_size, &|_| f32::NAN] {
            assert!(matches!(revealed(8, sum), Err(OrderError::NoTree { .. })));
        }
        let short = reveal(3, Probes::F32, |_| Ok::<_, Infallible>(vec![]));
        assert!(short.is_err());
    }

    #[test]
    fn lines_draw_the_branches() {
        let tree = revealed(8, |x| strided(x, 2)).unwrap();
        assert_eq!(tree.lines(), "sum of 2 parts, 8 numbers\n├─ [0,2..6]\n└─ [1,3..7]\n");
        assert_eq!(Tree::Leaf(0).lines(), "0\n");
    }
}
