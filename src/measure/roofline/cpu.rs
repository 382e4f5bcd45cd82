//! The roofline of the CPU, with all threads of the pool that the mirrors run on, under the widest
//! vector instructions that they run under.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Bandwidth, Peak, Roofline};
use crate::measure::last_level_cache;
use crate::measure::limits::available_host_bytes;
use crate::mirror::sgd::vectorise;
use crate::record::utc_now;

/// Runs of each candidate.
const TRIES: usize = 10;
/// Runs of the fastest candidate.
const FINAL_TRIES: usize = 60;
/// Time of a run: long beside the clock's grain, short beside the time slices of other programs, so
/// that some run goes undisturbed. ns.
const RUN_NS: f64 = 2e6;
/// Passes over the memory.
const PASSES: usize = 6;
/// Bytes of int8 of an operand: a few of them stay in every first-level cache.
const INT8_LENGTH: usize = 2048;

/// Independent chains x → a·x + b of whole vectors in registers.
struct Chains<'a, const N: usize> {
    starts: &'a [f32; N],
    a: f32,
    b: f32,
    steps: u64,
}

/// What chains leave: the lanes of a vector, and all last values joined by exclusive or.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    lanes: u64,
    bits: u32,
}

impl<const N: usize> WithSimd for Chains<'_, N> {
    type Output = Left;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Left {
        let (a, b) = (simd.splat_f32s(self.a), simd.splat_f32s(self.b));
        let mut x = self.starts.map(|start| simd.splat_f32s(start));
        for _ in 0..self.steps {
            for x in &mut x {
                *x = simd.mul_add_e_f32s(*x, a, b);
            }
        }
        let first = |x: &S::f32s| bytemuck::cast_slice::<_, u32>(std::slice::from_ref(x))[0];
        Left {
            lanes: S::F32_LANES as u64,
            bits: x.iter().map(first).fold(0, |all, bits| all ^ bits),
        }
    }
}

/// Chains of so many vectors, `steps` long, on this thread. The operands pass through `black_box`,
/// so that the compiler knows none.
fn chains<const N: usize>(steps: u64) -> Left {
    let starts: [f32; N] = black_box(std::array::from_fn(start));
    let [a, b] = black_box(FACTORS);
    Arch::new().dispatch(Chains { starts: &starts, a, b, steps })
}

/// x → b − (1 − 2⁻⁹)·x: bounded, and of the other sign nearly every time.
const FACTORS: [f32; 2] = [-1.0 + 1.0 / 512.0, 0.3125];

/// First value of a chain.
fn start(chain: usize) -> f32 {
    0.75 + chain as f32 / 64.0
}

/// Times of `run` on all threads at once, rising, in ns: from the first that begins to the last that
/// ends, so that waking them does not count.
fn times_ns(tries: usize, run: impl Fn() + Sync) -> Vec<f64> {
    let once = |_| {
        let spans = rayon::broadcast(|_| {
            let begin = Instant::now();
            run();
            (begin, Instant::now())
        });
        let begin = spans.iter().map(|span| span.0).min();
        let end = spans.iter().map(|span| span.1).max();
        begin.zip(end).map_or(f64::NAN, |(begin, end)| (end - begin).as_nanos() as f64)
    };
    let mut times: Vec<f64> = (0..tries).map(once).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// A way to keep the units busy: runs so many rounds on this thread and returns how many operations
/// that were.
struct Candidate {
    name: String,
    operations: Box<dyn Fn(u64) -> u64 + Sync>,
}

impl Candidate {
    /// Rounds that take about [`RUN_NS`] undisturbed.
    fn rounds(&self) -> u64 {
        let mut rounds = 1024;
        loop {
            let ns = times_ns(3, || {
                (self.operations)(rounds);
            })[0];
            if ns >= RUN_NS / 2.0 {
                return rounds;
            }
            rounds = (rounds as f64 * (RUN_NS / ns).clamp(2.0, 64.0)) as u64;
        }
    }

    /// Billions of operations a second of all threads: the best and the median of so many runs.
    fn rate(&self, tries: usize) -> (f64, f64) {
        let rounds = self.rounds();
        let operations = (self.operations)(rounds) * rayon::current_num_threads() as u64;
        let times = times_ns(tries, || {
            (self.operations)(rounds);
        });
        (operations as f64 / times[0], operations as f64 / times[tries / 2])
    }
}

/// The fastest candidate.
fn fastest(candidates: Vec<Candidate>) -> Option<Peak> {
    let count = candidates.len();
    let tried = candidates.into_iter().map(|candidate| (candidate.rate(TRIES).0, candidate));
    let (rate, best) = tried.max_by(|a, b| a.0.total_cmp(&b.0))?;
    // Once more: it may have been disturbed each time so far.
    let (again, median_gops) = best.rate(FINAL_TRIES);
    Some(Peak { gops: rate.max(again), median_gops, kernel: best.name, candidates: count })
}

fn f32_fma() -> Option<Peak> {
    fn of<const N: usize>() -> Candidate {
        // All of what is left passes through `black_box`: else the chains would be left out.
        let operations = |steps| 2 * steps * N as u64 * black_box(chains::<N>(steps)).lanes;
        Candidate { name: format!("{N} chains of vectors"), operations: Box::new(operations) }
    }
    fastest(vec![of::<4>(), of::<8>(), of::<10>(), of::<12>(), of::<16>(), of::<24>()])
}

/// Dot products of one vector of int8 with `R` others, in 32 bits, as `rounds` rounds add them up.
/// `shift` alternates which numbers meet, so that no round repeats the last.
#[inline(always)]
fn int8_sums<const R: usize>(x: &[i8], rows: &[[i8; INT8_LENGTH]; R], rounds: u64) -> [i32; R] {
    let mut sums = [0i32; R];
    for round in 0..rounds {
        let x = &x[round as usize % 2 * 64..][..INT8_LENGTH];
        for (sum, row) in sums.iter_mut().zip(black_box(rows)) {
            let products = x.iter().zip(row).map(|(&x, &y)| i32::from(x) * i32::from(y));
            *sum = sum.wrapping_add(products.fold(0, i32::wrapping_add));
        }
    }
    sums
}

/// The int8 path of the matmul mirror adds exact products in f32, that of SGD integers: the faster.
fn dot4(f32_fma: Option<&Peak>) -> Option<Peak> {
    fn of<const R: usize>() -> Candidate {
        let number = |i: usize| ((i * 37 + i / 5) % 255) as i32 as i8;
        let x: Vec<i8> = (0..INT8_LENGTH + 64).map(number).collect();
        let rows: [[i8; INT8_LENGTH]; R] =
            std::array::from_fn(|r| std::array::from_fn(|i| number(i + 7 * r + 1)));
        let operations = move |rounds| {
            black_box(vectorise(
                #[inline(always)]
                || int8_sums(&x, &rows, rounds),
            ));
            2 * rounds * (R * INT8_LENGTH) as u64
        };
        let name = format!("integers in the first-level cache, {R} rows");
        Candidate { name, operations: Box::new(operations) }
    }
    let integers = fastest(vec![of::<1>(), of::<4>()]);
    let exact = f32_fma.map(|peak| {
        let kernel = format!("exact in f32, {}", peak.kernel);
        Peak { kernel, ..peak.clone() }
    });
    integers.into_iter().chain(exact).max_by(|a, b| a.gops.total_cmp(&b.gops))
}

/// Two buffers far over the last-level cache: four times, as STREAM (McCalpin 1995) asks for.
struct Memory {
    source: Vec<u64>,
    target: Vec<u64>,
}

impl Memory {
    /// `None` where the host has no memory for them.
    fn new() -> Option<Self> {
        let cache_bytes = last_level_cache::host_bytes(Path::new("/"));
        let wanted = cache_bytes.saturating_mul(4).clamp(256 << 20, 4 << 30);
        let bytes = wanted.min(available_host_bytes() / 4);
        if bytes < cache_bytes.saturating_mul(2) {
            return None;
        }
        let mut source = vec![0u64; bytes as usize / 8];
        let target = vec![0u64; source.len()];
        source.par_iter_mut().enumerate().for_each(|(i, word)| *word = word_of(i));
        Some(Self { source, target })
    }

    fn bytes(&self) -> u64 {
        8 * self.source.len() as u64
    }

    fn read(&self, chunk: usize) -> u64 {
        let one = |chunk: &[u64]| {
            vectorise(
                #[inline(always)]
                || chunk.iter().fold(0, |all, word| all ^ word),
            )
        };
        self.source.par_chunks(chunk).map(one).reduce(|| 0, |a, b| a ^ b)
    }

    fn copy(&mut self, chunk: usize) {
        let pairs = self.target.par_chunks_mut(chunk).zip(self.source.par_chunks(chunk));
        pairs.for_each(|(target, source)| target.copy_from_slice(source));
    }
}

/// Irregular words, by a multiplier of Knuth's.
fn word_of(index: usize) -> u64 {
    (index as u64).wrapping_mul(6_364_136_223_846_793_005) ^ (index as u64) << 7
}

/// The fastest of pieces of a megabyte, which balance the threads, and of one a thread.
fn bandwidth(words: usize, pass_bytes: u64, mut pass: impl FnMut(usize)) -> Bandwidth {
    let threads = rayon::current_num_threads();
    let whole = words.div_ceil(threads);
    let pieces = [("pieces of 1 MiB", 1 << 17), ("a piece a thread", whole)];
    let mut best = Bandwidth { gbs: 0.0, pass_bytes, kernel: String::new(), candidates: 2 };
    for (name, chunk) in pieces {
        pass(chunk); // touches what was never touched
        for _ in 0..PASSES {
            let started = Instant::now();
            pass(chunk);
            let gbs = pass_bytes as f64 / started.elapsed().as_nanos() as f64;
            if gbs > best.gbs {
                (best.gbs, best.kernel) = (gbs, name.to_owned());
            }
        }
    }
    best
}

/// Measures the CPU; a roof that could not be is a warning.
pub(super) fn measure() -> (Roofline, Vec<String>) {
    let started = Instant::now();
    let mut warnings = vec![];
    let f32_fma = f32_fma();
    let dot4 = dot4(f32_fma.as_ref());
    warnings.extend(f32_fma.as_ref().and_then(Peak::disturbed));
    let (mut read, mut copy) = (None, None);
    match Memory::new() {
        Some(mut memory) => {
            let (words, bytes) = (memory.source.len(), memory.bytes());
            read = Some(bandwidth(words, bytes, |chunk| {
                black_box(memory.read(chunk));
            }));
            let copied = bandwidth(words, 2 * bytes, |chunk| memory.copy(chunk));
            read = read.map(|read| read.at_least_that_of(&copied));
            copy = Some(copied);
        }
        None => warnings.push("bandwidth: no memory for buffers over the cache".to_owned()),
    }
    let roofline = Roofline {
        utc: utc_now(),
        measuring_s: started.elapsed().as_secs_f64(),
        timing_method: "host".to_owned(),
        f32_fma,
        f16_fma: None,
        dot4,
        cooperative_f32: None,
        cooperative_f16: None,
        read,
        copy,
        dispatch_latency_ns: 0.0,
        submission_round_trip_ns: None,
    };
    (roofline, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Arithmetic;
    use crate::number::arithmetic::Ops;
    use crate::with_ops;

    /// The vectors do what the definition says, step by step, as many steps as were asked for.
    #[test]
    fn chains_compute_the_definition() {
        fn expected(count: usize, steps: u64) -> u32 {
            let [a, b] = FACTORS;
            let chain = |chain| {
                with_ops!(Arithmetic::host(), O => {
                    (0..steps).fold(start(chain), |x, _| O::fma(x, a, b)).to_bits()
                })
            };
            (0..count).map(chain).fold(0, |all, bits| all ^ bits)
        }
        for steps in [0, 1, 2, 1001] {
            assert_eq!(chains::<5>(steps).bits, expected(5, steps), "{steps} steps");
            assert_eq!(chains::<12>(steps).bits, expected(12, steps), "{steps} steps");
        }
        assert_ne!(expected(5, 1001), expected(5, 1000));
    }

    #[test]
    fn int8_sums_are_the_definition() {
        let x: Vec<i8> = (0..INT8_LENGTH + 64).map(|i| (i % 251) as u8 as i8).collect();
        let rows: [[i8; INT8_LENGTH]; 3] =
            std::array::from_fn(|r| std::array::from_fn(|i| (i * (r + 3) % 256) as u8 as i8));
        let sums = int8_sums(&x, &rows, 5);
        for (r, row) in rows.iter().enumerate() {
            let dot = |offset: usize| -> i64 {
                row.iter().zip(&x[offset..]).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
            };
            assert_eq!(i64::from(sums[r]), 3 * dot(0) + 2 * dot(64), "row {r}");
        }
    }

    #[test]
    fn a_pass_reads_and_copies_every_word() {
        let source: Vec<u64> = (0..1 << 18).map(word_of).collect();
        let all = source.iter().fold(0, |all, word| all ^ word);
        let mut memory = Memory { target: vec![0; source.len()], source };
        for chunk in [1000, 1 << 17, 1 << 18] {
            assert_eq!(memory.read(chunk), all);
            memory.target.fill(0);
            memory.copy(chunk);
            assert_eq!(memory.target, memory.source);
        }
    }

    /// A core of today starts at most two vectors of 16 a cycle, at no more than 7 GHz, and no core
    /// that runs these tests does less than one scalar product-add each four cycles at 0.5 GHz; a
    /// thread of the pool may have to share its core with seven others.
    #[test]
    fn the_peak_is_plausible() {
        let peak = f32_fma().unwrap();
        let threads = rayon::current_num_threads() as f64;
        let most = threads * 7.0 * 2.0 * 16.0 * 2.0;
        let least = 0.5 * 2.0 / 4.0 / 8.0;
        assert!(least <= peak.gops && peak.gops <= most, "{peak:?} in {least}..{most}");
        let int8 = dot4(Some(&peak)).unwrap();
        assert!(int8.gops >= peak.gops, "exact sums in f32 are one of the candidates");
    }
}
