//! A product of integers, for a kernel that no mirror follows: its sums are exact in whatever order and
//! with whatever rounding, so that one wrong entry shows, however loose the bound of a long sum is.

use rand::RngExt;

use super::session::Unmeasured;
use crate::gpu::{Context, GpuError};
use crate::mirror::convert::Key;
use crate::number::{Format, Precision};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::{Matrix, Purpose, stream};
use crate::record::Status;
use crate::truth::matmul::multiply_each;
use crate::workload::matmul::{GpuMatmul, KernelSource, Shape};

/// Which of the sampled entries' streams the operands are drawn from.
const STREAMS: [u64; 2] = [2, 3];
/// Rows and columns of C at most: several tiles of any kernel, and little beside the case itself.
const SIDE: usize = 512;

/// Runs the kernel on random integers, at the case's k, and compares all of C with the exact product.
/// False where that cannot be done: for a precision that scales or splits its operands, for operands
/// stored in another way than as they are multiplied, and where there is no room.
pub(super) fn check(
    context: &Context,
    source: &KernelSource,
    shape: Shape,
    key: Key,
    checks: bool,
) -> Result<bool, Unmeasured> {
    let Some(range) = Range::of(source.precision) else { return Ok(false) };
    if shape.layout != Layout::Nn || shape.batch != 1 {
        return Ok(false);
    }
    let (m, n, k) = (shape.m.min(SIDE), shape.n.min(SIDE), shape.k);
    let (a, b) = (range.a(m, k, key), range.b(k, n, key));
    let stored = Stored::new(Layout::Nn, 1, &a, &b);
    let gpu = match GpuMatmul::prepare(context, source, &stored, key, checks) {
        Err(GpuError::OutOfMemory { .. }) => return Ok(false),
        prepared => prepared?,
    };
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    let computed = gpu.entries(context)?.values();
    let wide = |matrix: &Matrix| matrix.data.iter().map(|&x| x.into()).collect::<Vec<f64>>();
    let rows: Vec<usize> = (0..m).collect();
    let exact = multiply_each(&wide(&a), &wide(&b), &rows, [m, n, k]);
    let wrong = computed.iter().zip(&exact).position(|(computed, exact)| computed != exact);
    let Some(at) = wrong else { return Ok(true) };
    let (row, column, computed, exact) = (at / n, at % n, computed[at], exact[at]);
    let reason = format!(
        "on operands that are integers, whose sums are exact in any order, C[{row}, {column}] = {computed} \
         where it is {exact}"
    );
    Err(Unmeasured::new(Status::Wrong, reason))
}

/// Integers that a precision holds, and of which so many products are summed exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// Largest magnitude, of A where q is even and of B where it is odd: with all bits of the format, or
    /// as many as leave room for enough products.
    large: i32,
    /// That of the other operand.
    small: i32,
    /// Products of a sum that are not 0, at most.
    count: usize,
}

impl Range {
    fn of(precision: Precision) -> Option<Self> {
        let [large, small, count] = match (precision.storage(), precision.accumulator()) {
            (Format::F32, Format::F32) => [32_767, 1, 512],
            (Format::F16, Format::F32) => [2047, 7, 1024],
            (Format::Bf16, Format::F32) => [255, 15, 4096],
            (Format::F16, Format::F16) => [31, 1, 64],
            _ => return None,
        };
        Some(Self { large, small, count: count as usize })
    }

    /// A has zeros between its numbers where k is longer than a sum may be, in each row at other places.
    fn a(self, m: usize, k: usize, key: Key) -> Matrix {
        let stride = k.div_ceil(self.count);
        let mut a = self.draw([m, k], key, STREAMS[0], |_, q| q.is_multiple_of(2));
        for (i, row) in a.data.chunks_exact_mut(k).enumerate() {
            let between = row.iter_mut().enumerate().filter(|(q, _)| (q + i) % stride != 0);
            between.for_each(|(_, x)| *x = 0.0);
        }
        a
    }

    fn b(self, k: usize, n: usize, key: Key) -> Matrix {
        self.draw([k, n], key, STREAMS[1], |q, _| !q.is_multiple_of(2))
    }

    fn draw(
        self,
        [rows, cols]: [usize; 2],
        key: Key,
        index: u64,
        is_large: impl Fn(usize, usize) -> bool,
    ) -> Matrix {
        let mut random = stream(key[0].into(), Purpose::SampledEntries, index);
        let places = (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j)));
        let number = |(i, j)| {
            let most = if is_large(i, j) { self.large } else { self.small };
            random.random_range(-most..=most) as f32
        };
        Matrix { rows, cols, data: places.map(number).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::workload::matmul::Kernel;

    fn plain() -> impl Iterator<Item = (Precision, Range)> {
        Precision::matmul().filter_map(|p| Some((p, Range::of(p)?)))
    }

    /// The magnitudes of all products of an entry add up to what its sum counts without gaps.
    #[test]
    fn no_sum_leaves_the_integers() {
        for (precision, range) in plain() {
            let bits = if precision.accumulator() == Format::F16 { 11 } else { 24 };
            let most = i64::from(range.large) * i64::from(range.small) * range.count as i64;
            assert!(most <= 1 << bits && 2 * most > 1 << bits, "{precision}");
            let k = 3 * range.count + 5;
            let (a, b) = (range.a(4, k, [1, 0]), range.b(k, 3, [1, 0]));
            for (row, column) in (0..4).flat_map(|i| (0..3).map(move |j| (i, j))) {
                let products = (0..k).map(|q| (a.row(row)[q] * b.data[q * 3 + column]).abs());
                assert!(products.sum::<f32>() <= most as f32, "{precision}");
            }
            assert!(a.data.iter().any(|x| x.abs() > range.large as f32 / 2.0));
        }
        assert_eq!(plain().count(), 5, "fp32, fp16, fp16-acc16, fp16-sr, bf16");
    }

    /// On every GPU here: each kernel of floating-point numbers is exact on integers, at a k that leaves
    /// gaps in A too, and one that subtracts one product of 5000 is found.
    #[test]
    fn integers_are_summed_exactly_and_a_wrong_kernel_is_found() {
        let shape = Shape::new(19, 23, 5000);
        for device in discover(None).unwrap().iter().filter(|d| d.info.backend != "cpu") {
            let context = device.open().unwrap();
            for (precision, _) in plain() {
                for kernel in [Kernel::Naive, Kernel::RegisterTiled] {
                    let source = KernelSource::of(kernel, precision, &device.info);
                    let found = check(&context, &source, shape, [1, 0], true);
                    assert!(matches!(found, Ok(true)), "{kernel} {precision}: {found:?}");
                }
            }
            let mut wrong = KernelSource::of(Kernel::Naive, Precision::Fp32, &device.info);
            let sum = wrong.files.iter_mut().find(|f| f.path.ends_with("accumulate_f32.wgsl"));
            let sum = sum.expect("naive sums in f32");
            let altered =
                sum.text.replace("fma(a, b, acc)", "fma(select(a, -a, q == 10u), b, acc)");
            assert_ne!(altered, sum.text);
            sum.text = altered.leak();
            let found = check(&context, &wrong, shape, [1, 0], true).unwrap_err();
            assert!(found.status == Status::Wrong, "{found:?}");
            assert!(found.reason.contains("exact in any order"), "{found:?}");
        }
    }
}
