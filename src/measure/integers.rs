//! A product of small integers, for a kernel that no mirror follows: its sums are exact in whatever
//! order and with whatever rounding, so that one wrong entry shows, however loose the bound of a long
//! sum is.

use super::session::Unmeasured;
use crate::gpu::Context;
use crate::mirror::convert::Key;
use crate::number::{Format, Precision};
use crate::problem::layout::{Layout, Stored};
use crate::problem::matrix::{Matrix, Purpose, stream};
use crate::record::Status;
use crate::truth::matmul::multiply_each;
use crate::workload::matmul::{GpuMatmul, KernelSource, Shape};

/// Which of the sampled entries' streams the operands are drawn from.
const STREAMS: [u64; 2] = [2, 3];

/// Runs the kernel on random operands in −1, 0 and 1 of the case's shape, and compares `rows` of C with
/// the exact product. A row of A has no more numbers than its sum can count exactly, each row at other
/// places. Nothing is done, and false returned, for a precision that scales or splits its operands, and for operands stored
/// in another way than as they are multiplied.
pub(super) fn check(
    context: &Context,
    source: &KernelSource,
    shape: Shape,
    rows: &[usize],
    key: Key,
    checks: bool,
) -> Result<bool, Unmeasured> {
    let Some(most) = countable(source.precision) else { return Ok(false) };
    if shape.layout != Layout::Nn || shape.batch != 1 {
        return Ok(false);
    }
    let Shape { m, n, k, .. } = shape;
    let stride = k.div_ceil(most);
    let mut a = draw(m, k, key, STREAMS[0]);
    for (i, row) in a.data.chunks_exact_mut(k).enumerate() {
        row.iter_mut()
            .enumerate()
            .filter(|(q, _)| (q + i) % stride != 0)
            .for_each(|(_, x)| *x = 0.0);
    }
    let b = draw(k, n, key, STREAMS[1]);
    let stored = Stored::new(Layout::Nn, 1, &a, &b);
    let gpu = GpuMatmul::prepare(context, source, &stored, key, checks)?;
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    let computed = gpu.entries(context)?.rows(rows, n).values();
    let wide = |x: &f32| f64::from(*x);
    let some: Vec<f64> = rows.iter().flat_map(|&i| a.row(i)).map(wide).collect();
    let all: Vec<f64> = b.data.iter().map(wide).collect();
    let exact = multiply_each(&some, &all, rows, [m, n, k]);
    let wrong = computed.iter().zip(&exact).position(|(computed, exact)| computed != exact);
    let Some(at) = wrong else { return Ok(true) };
    let (row, column, computed, exact) = (rows[at / n], at % n, computed[at], exact[at]);
    let reason = format!(
        "on operands of -1, 0 and 1, whose sums are exact, C[{row}, {column}] = {computed} where it is {exact}"
    );
    Err(Unmeasured::new(Status::Wrong, reason))
}

/// The largest number up to which a precision's sums hold all integers; `None` where its operands or its
/// sums are no floating-point numbers, or more than one.
fn countable(precision: Precision) -> Option<usize> {
    let is_plain = matches!(precision.storage(), Format::F32 | Format::F16 | Format::Bf16);
    match precision.accumulator() {
        Format::F32 if is_plain => Some(1 << 24),
        Format::F16 if is_plain => Some(1 << 11),
        _ => None,
    }
}

fn draw(rows: usize, cols: usize, key: Key, index: u64) -> Matrix {
    let mut random = stream(key[0].into(), Purpose::SampledEntries, index);
    let data = (0..rows * cols).map(|_| (random.next_u32() % 3) as f32 - 1.0).collect();
    Matrix { rows, cols, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::discover;
    use crate::workload::matmul::Kernel;

    /// On every GPU here: each kernel of floating-point numbers is exact on integers, at a k that an f16
    /// sum cannot count without gaps in A too, and one that reads a row too far is found.
    #[test]
    fn integers_are_summed_exactly_and_a_wrong_kernel_is_found() {
        let shape = Shape::new(19, 23, 2500);
        let rows: Vec<usize> = (0..19).collect();
        for device in discover(None).unwrap().iter().filter(|d| d.info.backend != "cpu") {
            let context = device.open().unwrap();
            for precision in Precision::matmul().filter(|&p| countable(p).is_some()) {
                for kernel in [Kernel::Naive, Kernel::RegisterTiled] {
                    if !kernel.computes(precision) {
                        continue;
                    }
                    let source = KernelSource::of(kernel, precision, &device.info);
                    let found = check(&context, &source, shape, &rows, [1, 0], true);
                    assert!(matches!(found, Ok(true)), "{kernel} {precision}: {found:?}");
                }
            }
            // One product in 2500 is added with the other sign: nothing that a bound would see.
            let mut wrong = KernelSource::of(Kernel::Naive, Precision::Fp32, &device.info);
            let sum = wrong.files.iter_mut().find(|f| f.path.ends_with("accumulate_f32.wgsl"));
            let sum = sum.expect("naive sums in f32");
            let altered = sum.text.replace("fma(a, b, acc)", "fma(select(a, -a, q == 7u), b, acc)");
            assert_ne!(altered, sum.text);
            sum.text = altered.leak();
            let found = check(&context, &wrong, shape, &rows, [1, 0], true).unwrap_err();
            assert!(found.status == Status::Wrong, "{found:?}");
            assert!(found.reason.contains("sums are exact"));
        }
    }

    #[test]
    fn a_row_has_what_a_sum_can_count() {
        assert_eq!(countable(Precision::Fp16), Some(1 << 24));
        assert_eq!(countable(Precision::Fp16Acc16), Some(2048));
        assert_eq!(countable(Precision::Int8), None);
        assert_eq!(countable(Precision::Fp32Comp), None);
    }
}
