//! What a row of a matrix product says of its error beyond the size of it: by cause, against the
//! probabilistic bounds, over trials, stagnation, and whether equal bits come again.

mod causes;

use rand::seq::index;
use rayon::prelude::*;

use self::causes::Causes;
use super::matmul::Inputs;
use super::session::Unmeasured;
use crate::error::probabilistic::sums_stochastically;
use crate::error::{Bound, Probabilistic, Trials};
use crate::gpu::Context;
use crate::mirror::convert::{Key, Operands};
use crate::mirror::matmul::{absorbed_blocks, entries, multiply};
use crate::mirror::matmul_wide;
use crate::number::arithmetic::Ops;
use crate::number::philox::{Stream, half_word, philox4x32};
use crate::number::{Arithmetic, Entries, Format, Precision, Rounding, round};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::{MatmulProblem, Matrix, Purpose, stream};
use crate::record::{Record, Status};
use crate::truth::matmul::MatmulTruth;
use crate::with_ops;
use crate::workload::matmul::{GpuMatmul, KernelSource, output_format};

/// Entries whose additions are followed one by one, and additions in all of them.
const FOLLOWED_ENTRIES: usize = 256;
const FOLLOWED_ADDITIONS: usize = 1 << 24;
/// Product-adds of one trial.
const TRIAL_PRODUCTS: usize = 1 << 26;
/// Largest B that is uploaded a second time to see whether rows alone come out the same.
const SECOND_B_BYTES: u64 = 256 << 20;
/// Which of the sampled entries' streams these are; 0 is the truth's.
const FOLLOWED_STREAM: u64 = 1;

/// What the mirror's operands tell of a precision on one problem, whichever kernel multiplied them.
#[derive(Default)]
pub(super) struct Study {
    causes: Causes,
    stagnated: Option<f64>,
    trials: Option<Trials>,
}

impl Study {
    /// Of operands that were converted from the problem of `inputs`; `trials` is how many seeds a
    /// stochastic rounding is repeated with.
    pub(super) fn of(
        precision: Precision,
        arithmetic: Arithmetic,
        operands: &Operands,
        inputs: &Inputs,
        trials: u32,
    ) -> Self {
        let (truth, key, problem) = (&inputs.truth, inputs.key, &inputs.problem);
        let stochastic = precision.rounding() == Rounding::Stochastic && trials > 0;
        Self {
            causes: Causes::of(precision, arithmetic, operands, problem, truth),
            stagnated: stagnated(precision, arithmetic, operands, truth, key),
            trials: stochastic
                .then(|| repeated(precision, arithmetic, inputs, trials, operands.rounding_bits))
                .flatten(),
        }
    }

    /// Without what was followed in one sum for each entry, where there are several.
    pub(super) fn of_slices(self) -> Self {
        Self { stagnated: None, ..self }
    }

    /// Fills the columns of a computed C, the rows of the truth. What depends on how the sums were
    /// rounded is left out where no mirror `models` the device.
    pub(super) fn fill(
        &self,
        computed: &Entries,
        truth: &MatmulTruth,
        precision: Precision,
        models: bool,
        record: &mut Record,
    ) {
        if models {
            record.stagnated_fraction = self.stagnated;
            if let Some(trials) = self.trials {
                fill_trials(&trials, record);
            }
        }
        match computed {
            Entries::Single(c) => self.causes.fill(c, truth, precision, models, record),
            wide => self.causes.fill(&wide.values(), truth, precision, models, record),
        }
    }
}

fn fill_trials(trials: &Trials, record: &mut Record) {
    record.trials = Some(trials.count);
    record.trial_error = Some(trials.error);
    record.trial_mean_error = Some(trials.mean_error);
    record.trial_bias = Some(trials.bias);
    record.trial_bias_ci95_low = Some(trials.bias - trials.bias_ci95_half_width);
    record.trial_bias_ci95_high = Some(trials.bias + trials.bias_ci95_half_width);
}

/// At most `count` (at least 1) of the positions 0 … `of` − 1, evenly spread from the first on.
fn spread(of: usize, count: usize) -> Vec<usize> {
    let count = count.min(of);
    (0..count).map(|x| (x as u128 * of as u128 / count as u128) as usize).collect()
}

fn rows_at<T: Copy>(matrix: &[T], positions: &[usize], n: usize) -> Vec<T> {
    positions.iter().flat_map(|&at| &matrix[at * n..][..n]).copied().collect()
}

/// The part of the additions of what is not 0 which left the accumulator as it was, over a seeded sample
/// of entries, followed by the mirror's definition: of products, or with blocks of the sums of these.
/// Once a sum is not finite, its additions are not counted. `None` where nothing was added.
fn stagnated(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    truth: &MatmulTruth,
    key: Key,
) -> Option<f64> {
    if precision.accumulator() == Format::Int32 {
        return Some(0.0); // the sums are exact
    }
    let (n, k, entries) = (operands.n, operands.k, truth.product.len());
    let count = FOLLOWED_ENTRIES.min(FOLLOWED_ADDITIONS / k.max(1)).clamp(1, entries);
    let mut random = stream(key[0].into(), Purpose::SampledEntries, FOLLOWED_STREAM);
    let sample = index::sample(&mut random, entries, count).into_vec();
    let follow = |entry: usize| {
        let (i, j) = (truth.rows[entry / n], entry % n);
        if precision.is_wide() {
            matmul_wide::absorbed(precision, arithmetic, operands, i, j)
        } else if precision.storage().is_blocked() {
            absorbed_blocks(arithmetic, operands, i, j)
        } else {
            absorbed(precision, arithmetic, operands, [i, j], key)
        }
    };
    let sum = |a: [u64; 2], b: [u64; 2]| [a[0] + b[0], a[1] + b[1]];
    let [added, absorbed] = sample.into_par_iter().map(follow).reduce(|| [0, 0], sum);
    (added > 0).then(|| absorbed as f64 / added as f64)
}

/// Additions to one entry of products that are not 0, and those of them that left it as it was, where
/// it is summed product after product.
fn absorbed(
    precision: Precision,
    arithmetic: Arithmetic,
    operands: &Operands,
    [i, j]: [usize; 2],
    key: Key,
) -> [u64; 2] {
    let (mut sum, mut added, mut absorbed) = (0f32, 0u64, 0u64);
    for q in 0..operands.k {
        let x = operands.a[operands.place_in_a(i, q)];
        let y = operands.b[operands.place_in_b(i / operands.m, q, j)];
        let random = (key, operands.rounding_bits);
        let next = add(precision, arithmetic, (sum, x, y), [i, j, q], random);
        if !next.is_finite() {
            break;
        }
        if x != 0.0 && y != 0.0 {
            added += 1;
            absorbed += u64::from(next == sum);
        }
        sum = next;
    }
    [added, absorbed]
}

/// One product-add of a floating-point accumulator, as [`crate::mirror::matmul::entry`] has it.
fn add(
    precision: Precision,
    arithmetic: Arithmetic,
    (sum, a, b): (f32, f32, f32),
    [i, j, q]: [usize; 3],
    (key, bits): (Key, u32),
) -> f32 {
    match (precision.accumulator(), precision.rounding()) {
        (Format::F16, Rounding::Nearest) => round::f16_nearest(a * b + sum),
        (Format::F16, Rounding::Stochastic) => {
            let counter = [i as u32, j as u32, q as u32 / 8, Stream::Accumulate as u32];
            let half = half_word(philox4x32(counter, key), q as u32);
            round::f16_stochastic(a * b + sum, round::leading_bits(half, bits))
        }
        (Format::Bf16, Rounding::Stochastic) => {
            let counter = [i as u32, j as u32, q as u32 / 8, Stream::Accumulate as u32];
            let half = half_word(philox4x32(counter, key), q as u32);
            let exact = with_ops!(arithmetic, O => O::fma(a, b, sum));
            round::bf16_unpack(round::bf16_stochastic(exact, round::leading_bits(half, bits)))
        }
        _ => with_ops!(arithmetic, O => O::fma(a, b, sum)),
    }
}

/// Trials in the mirror, whose bits are the kernel's, over some rows of the truth. Their keys have
/// the seed of the problem and, as second word, numbers from the top of 32 bits down, so that none
/// is a trial that a user chose.
fn repeated(
    precision: Precision,
    arithmetic: Arithmetic,
    inputs: &Inputs,
    trials: u32,
    bits: u32,
) -> Option<Trials> {
    let Inputs { problem, truth, key, .. } = inputs;
    let rows = (TRIAL_PRODUCTS / problem.n.saturating_mul(problem.k)).max(1);
    let some = subset(truth, &spread(truth.rows.len(), rows));
    let stored = inputs.stored();
    let result = |trial: u32| {
        let key = [key[0], u32::MAX - trial];
        let operands = Operands::convert_with_bits(precision, arithmetic, &stored, key, bits);
        multiply(precision, arithmetic, &operands, &some.rows, key)
    };
    Trials::of((0..trials).map(result), &some)
}

/// The truth of some of its rows.
fn subset(truth: &MatmulTruth, positions: &[usize]) -> MatmulTruth {
    MatmulTruth {
        rows: positions.iter().map(|&at| truth.rows[at]).collect(),
        product: rows_at(&truth.product, positions, truth.n),
        tail: if truth.tail.is_empty() { vec![] } else { rows_at(&truth.tail, positions, truth.n) },
        abs_product: rows_at(&truth.abs_product, positions, truth.n),
        a_row_abs: positions.iter().map(|&at| truth.a_row_abs[at]).collect(),
        b_col_abs: truth.b_col_abs.clone(),
        ..*truth
    }
}

/// Fills what the bounds with a probability say, and whether the one without says anything.
pub(super) fn fill_bounds<T: Copy + Into<f64> + Sync>(
    computed: &[T],
    truth: &MatmulTruth,
    precision: Precision,
    bound: &Bound,
    record: &mut Record,
) {
    record.bound_vacuous = Some(bound.is_vacuous());
    // Without any the number is not looked at.
    let bits = record.rounding_bits.unwrap_or(round::ROUNDING_BITS);
    let found = Probabilistic::new(bound, precision, bits, truth.product.len());
    let Some(found) = found else { return };
    let ratio = found.bound.ratio(computed, truth);
    let failure = Some(found.failure);
    if sums_stochastically(precision) {
        (record.measured_over_stochastic, record.stochastic_failure) = (ratio, failure);
    } else {
        (record.measured_over_probabilistic, record.probabilistic_failure) = (ratio, failure);
    }
}

/// The bound for the operands as they were given, in f32 or in f64.
pub(super) fn from_f64(bound: Bound, precision: Precision, problem: &MatmulProblem) -> Bound {
    if problem.given_f64.is_some() { bound.of_f64(precision) } else { bound }
}

/// Why results that are not finite are the format's doing and not the kernel's: an operand or a sum
/// that it cannot hold. Such a case is skipped with the reason, rather than called wrong.
pub(super) fn overflow(
    problem: &MatmulProblem,
    truth: &MatmulTruth,
    precision: Precision,
) -> Option<Unmeasured> {
    let numbers = problem.a.data.par_iter().chain(&problem.b.data);
    let operand = f64::from(numbers.map(|x| x.abs()).reduce(|| 0.0, f32::max));
    let sum = truth.abs_product.iter().copied().fold(0.0, f64::max);
    let [storage, output] =
        [precision.storage(), output_format(precision)].map(|f| (f.name(), largest(f)));
    let (what, value, (format, limit)) = if operand > storage.1 {
        ("an operand", operand, storage)
    } else if sum > output.1 / 2.0 {
        // Roundings may lift a partial sum, but not to twice its size where a bound says anything.
        ("the sum of an entry's products' magnitudes", sum, output)
    } else {
        return None;
    };
    let reason = format!(
        "{what} is {value:.3e}, and {format} ends at {limit:.3e}: results overflow; choose inputs of \
         smaller magnitude or a format with a longer exponent"
    );
    Some(Unmeasured::new(Status::Skipped, reason))
}

/// The largest finite number of a floating-point format; integers are scaled to what they hold.
fn largest(format: Format) -> f64 {
    match format {
        Format::F16 | Format::F16x2 => half::f16::MAX.to_f64(),
        Format::Bf16 | Format::Bf16x3 => half::bf16::MAX.to_f64(),
        Format::F32 | Format::F32x2 => f32::MAX.into(),
        Format::F64 => f64::MAX,
        _ => f64::INFINITY,
    }
}

/// Runs a product again, and its first row alone in other tiles, and says whether the bits are equal.
/// The first row keeps its number, and with it the bits that it is rounded with. What cannot be
/// prepared, such as a second B that has no room, leaves its column empty.
pub(super) fn compare_runs(
    context: &Context,
    source: &KernelSource,
    gpu: &GpuMatmul,
    inputs: &Inputs,
    checks: bool,
    c: &Entries,
    record: &mut Record,
) -> Result<(), Unmeasured> {
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    record.repeatable = Some(gpu.entries(context)?.same_bits(c));
    let (problem, key) = (&inputs.problem, inputs.key);
    if problem.b.bytes() > SECOND_B_BYTES || problem.batch > 1 {
        return Ok(());
    }
    let first = first_row(problem);
    let other = other_tiles(source, inputs, context);
    let stored = Stored::new(inputs.shape.layout, 1, &first, &problem.b);
    let stored = stored.with_f64(first_row_f64(problem));
    let alone = GpuMatmul::prepare(context, &other, &stored, key, checks);
    let Ok(alone) = alone else { return Ok(()) };
    alone.poison(context)?;
    context.run(alone.conversion(), 1)?;
    context.run(alone.product(), 1)?;
    record.batch_invariant = Some(alone.entries(context)?.same_bits(&c.rows(&[0], problem.n)));
    Ok(())
}

/// The kernel with other tuning parameters, where it has others on this device.
fn other_tiles(source: &KernelSource, inputs: &Inputs, context: &Context) -> KernelSource {
    let (kernel, precision, info) = (source.kernel, source.precision, &context.info);
    let candidates = KernelSource::candidates(kernel, precision, inputs.shape.class(), info);
    let other = candidates.into_iter().find(|parameters| *parameters != source.parameters);
    let other = other.and_then(|p| KernelSource::with(kernel, precision, info, p).ok());
    let rounding_bits = source.rounding_bits;
    other.map_or_else(|| source.clone(), |other| KernelSource { rounding_bits, ..other })
}

fn first_row(problem: &MatmulProblem) -> Matrix {
    Matrix { rows: 1, cols: problem.k, data: problem.a.row(0).to_vec() }
}

/// The same as it was given, and B, if that was in f64.
fn first_row_f64(problem: &MatmulProblem) -> Option<[&[f64]; 2]> {
    problem.given_f64().map(|[a, b]| [&a[..problem.k], b])
}

/// [`compare_runs`] on the CPU: `operands` and `c` are those of the first run.
pub(super) fn compare_mirrors(
    precision: Precision,
    operands: &Operands,
    inputs: &Inputs,
    c: &Entries,
    record: &mut Record,
) {
    let (problem, key, arithmetic) = (&inputs.problem, inputs.key, Arithmetic::host());
    let all: Vec<usize> = (0..inputs.rows()).collect();
    let again = entries(precision, arithmetic, operands, 1, &all, key);
    record.repeatable = Some(again.same_bits(c));
    if problem.batch > 1 {
        return;
    }
    let first = first_row(problem);
    let stored = Stored::new(Layout::Nn, 1, &first, &problem.b).with_f64(first_row_f64(problem));
    let bits = operands.rounding_bits;
    let first = Operands::convert_with_bits(precision, arithmetic, &stored, key, bits);
    let alone = entries(precision, arithmetic, &first, 1, &[0], key);
    record.batch_invariant = Some(alone.same_bits(&c.rows(&[0], problem.n)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::matmul::entry;
    use crate::problem::matrix::Distribution;

    /// What is followed is what the mirror computes: its additions end at the mirror's entry.
    #[test]
    fn additions_are_those_of_the_mirror() {
        let (m, n, k, batch, key) = (3, 4, 75, 2, [5, 9]);
        let all = [m, n, k];
        let p = MatmulProblem::generate_batch_within(Distribution::Normal, all, batch, 2, u64::MAX);
        let p = p.unwrap();
        let one_by_one = |p: &Precision| {
            !p.is_wide() && !p.storage().is_blocked() && p.accumulator() != Format::Int32
        };
        for precision in Precision::matmul().filter(one_by_one) {
            for (fused_fma, layout) in Layout::ALL.into_iter().flat_map(|l| [(true, l), (false, l)])
            {
                let arithmetic = Arithmetic { fused_fma, ..Arithmetic::host() };
                let stored = Stored::new(layout, batch, &p.a, &p.b);
                let o = Operands::convert_stored(precision, arithmetic, &stored, key);
                for (i, j) in (0..batch * m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let sum = (0..k).fold(0.0, |sum, q| {
                        let (x, y) = (o.a[o.place_in_a(i, q)], o.b[o.place_in_b(i / m, q, j)]);
                        add(precision, arithmetic, (sum, x, y), [i, j, q], (key, o.rounding_bits))
                    });
                    let expected = entry(precision, arithmetic, &o, i, j, key);
                    assert_eq!(sum, expected, "{precision} {layout} at {i},{j}");
                }
            }
        }
    }

    #[test]
    fn positions_are_spread() {
        assert_eq!(spread(7, 3), [0, 2, 4]);
        assert_eq!(spread(3, 7), [0, 1, 2]);
        assert_eq!(spread(usize::MAX, 1), [0]);
    }
}
