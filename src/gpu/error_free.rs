//! Whether a device's compiler leaves the errors of sums and products in the form in which kernels
//! write them, and what its f64 does. Asked before a result that rests on either is published.

use super::context::Context;
use super::error::GpuError;
use super::kernel::{Composed, Source, compose};
use crate::number::Arithmetic;
use crate::wgsl;

/// The files of the probe of errors: the very functions that the kernels use, of one number at a time and of
/// four, and the questions.
pub const ERROR_FREE: [[Source; 5]; 2] = {
    const PROBED: [Source; 4] = [
        wgsl!("shared/zero.wgsl"),
        wgsl!("shared/two_sum.wgsl"),
        wgsl!("shared/two_product.wgsl"),
        wgsl!("probe/error_free.wgsl"),
    ];
    const fn with(pairs: Source) -> [Source; 5] {
        let [zero, sums, products, questions] = PROBED;
        [pairs, zero, sums, products, questions]
    }
    [with(wgsl!("shared/pair1.wgsl")), with(wgsl!("shared/pair4.wgsl"))]
};
/// The probe of f64, which needs `SHADER_F64`.
pub const DOUBLE: Source = wgsl!("probe/double.wgsl");

/// The probe of sums alone, behind the files of a kernel that has a zero of its own.
const SUMS: Source = wgsl!("probe/two_sum.wgsl");

/// Groups of four numbers, each of which is an operand together with the next of its group.
const GROUPS: u32 = 256;
/// Sums and products that are asked for.
const CASES: u32 = 4 * GROUPS;
const WORKGROUP_SIZE: u32 = 64;

/// Normal numbers between 2⁻²⁰ and 2²⁰ of either sign: no error of a product or a sum underflows.
fn operands() -> Vec<[f32; 4]> {
    let mut state = 1u64;
    let mut number = || {
        // Knuth's MMIX generator, whose upper half is good enough here.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (state >> 32) as u32;
        f32::from_bits((bits & 0x807f_ffff) | (107 + (state >> 20) as u32 % 40) << 23)
    };
    (0..GROUPS).map(|_| [number(), number(), number(), number()]).collect()
}

/// The operands of every case.
fn cases() -> Vec<[f32; 2]> {
    operands().into_iter().flat_map(|[a, b, c, d]| [[a, b], [b, c], [c, d], [d, a]]).collect()
}

/// The first operand of every case, then the second.
fn by_operand(cases: &[[f32; 2]]) -> Vec<f32> {
    [0, 1].iter().flat_map(|&of| cases.iter().map(move |x| x[of])).collect()
}

/// Whether sums and products come with their errors, exact to the bit, one at a time and four: `None`, or
/// what came instead.
///
/// # Errors
/// [`GpuError`] where the probe does not run.
pub fn lost_errors(context: &Context) -> Result<Option<String>, GpuError> {
    let cases = cases();
    let bytes = 4 * u64::from(CASES);
    let from = context.buffer("probe operands", 2 * bytes)?;
    let to = context.buffer("probe results", 4 * bytes)?;
    let zero = context.buffer("a run-time zero", 4)?;
    context.upload(&from, bytemuck::cast_slice(&by_operand(&cases)))?;
    for (files, at_a_time) in ERROR_FREE.iter().zip([1, 4]) {
        let pipeline = context.compile(&compose(files), "error_free", &[], false)?;
        let bindings = [(0, &from), (1, &to), (3, &zero)];
        let groups = (CASES / at_a_time).div_ceil(WORKGROUP_SIZE);
        // So that nothing is taken for an answer that the other width gave.
        context.upload(&to, &vec![0xff; 4 * bytes as usize])?;
        context.run(&[context.dispatch(&pipeline, &bindings, [groups, 1, 1])?], 1)?;
        let raw = context.read(&to, 0, 4 * bytes)?;
        let answers: Vec<f32> = bytemuck::pod_collect_to_vec(&raw);
        if let Some(lost) = judge_errors(&cases, &answers) {
            return Ok(Some(lost));
        }
    }
    Ok(None)
}

/// The probe of sums with the zero that `files` give, which bind one uniform record at 0.
pub fn sums_probe(files: &[Source]) -> Composed {
    compose(&[files, &[wgsl!("shared/two_sum.wgsl"), SUMS]].concat())
}

/// Whether the sums of a [`sums_probe`] come with their errors, exact to the bit: `None`, or what came
/// instead. `record` is what its files bind, `constants` what they leave open.
///
/// # Errors
/// [`GpuError`] where the probe does not run.
pub fn lost_sum_errors(
    context: &Context,
    probe: &Composed,
    record: &[u8],
    constants: &[(&str, f64)],
) -> Result<Option<String>, GpuError> {
    let cases = cases();
    let bytes = 4 * u64::from(CASES);
    let from = context.buffer("probe operands", 2 * bytes)?;
    let to = context.buffer("probe results", 2 * bytes)?;
    context.upload(&from, bytemuck::cast_slice(&by_operand(&cases)))?;
    let uniforms = context.uniforms("probe record", record.len(), record)?;
    let pipeline = context.compile(probe, "errors_of_sums", constants, false)?;
    let grid = [GROUPS.div_ceil(WORKGROUP_SIZE), 1, 1];
    let bindings = [(1, &from), (2, &to)];
    let command = context.dispatch_with(&pipeline, &bindings, (0, &uniforms, 0), grid)?;
    context.run(&[command], 1)?;
    let raw = context.read(&to, 0, 2 * bytes)?;
    let answers: Vec<f32> = bytemuck::pod_collect_to_vec(&raw);
    Ok(judge_errors(&cases, &answers))
}

/// The first answer that is no sum or product with its exact error; all sums come first, then their errors,
/// and, where these are asked for too, the products and their errors.
fn judge_errors(cases: &[[f32; 2]], answers: &[f32]) -> Option<String> {
    let what = ["sum", "error of the sum", "product", "error of the product"];
    let planes: Vec<&[f32]> = answers.chunks_exact(cases.len()).collect();
    cases.iter().enumerate().find_map(|(at, &[a, b])| {
        // Exact: the product has 48 bits, and the sum spans at most 40 + 24.
        let product_error = (f64::from(a) * f64::from(b) - f64::from(a * b)) as f32;
        let expected = [a + b, exact_sum_error(a, b), a * b, product_error];
        let mut asked = planes.iter().zip(expected).zip(what);
        asked.find(|((plane, expected), _)| plane[at] != *expected).map(
            |((plane, expected), what)| {
                let got = plane[at];
                format!("the {what} of {a:e} and {b:e} came out as {got:e}, not {expected:e}")
            },
        )
    })
}

/// (a + b) − fl(a + b), by TwoSum in a language that reassociates nothing.
fn exact_sum_error(a: f32, b: f32) -> f32 {
    let sum = a + b;
    let of_b = sum - a;
    (a - (sum - of_b)) + (b - of_b)
}

/// Whether the device's f64 fma, of one number and of four, does what that of f32 does: fused or not as
/// `arithmetic` says, to nearest, subnormals kept. `None`, or the first answer that is another.
///
/// # Errors
/// [`GpuError`] where the probe does not run, as where the device has no f64.
pub fn double_differs(
    context: &Context,
    arithmetic: Arithmetic,
) -> Result<Option<String>, GpuError> {
    let operands = double_operands();
    let count = operands.len();
    let from = context.buffer("probe operands", 32 * count as u64)?;
    let to = context.buffer("probe results", 16 * count as u64)?;
    context.upload(&from, bytemuck::cast_slice(&operands))?;
    let pipeline = context.compile(&compose(&[DOUBLE]), "multiply_add", &[], false)?;
    let workgroups = [count.div_ceil(WORKGROUP_SIZE as usize) as u32, 1, 1];
    let command = context.dispatch(&pipeline, &[(0, &from), (1, &to)], workgroups)?;
    context.run(&[command], 1)?;
    let raw = context.read(&to, 0, 16 * count as u64)?;
    let answers: Vec<f64> = bytemuck::pod_collect_to_vec(&raw);
    let differs = |(&[a, b, c, _], &got): (&[f64; 4], &f64)| {
        let expected = if arithmetic.fused_fma { a.mul_add(b, c) } else { a * b + c };
        (got != expected).then(|| format!("f64 fma of {a:e}, {b:e} and {c:e} gave {got:e}"))
    };
    Ok(operands.iter().chain(&operands).zip(&answers).find_map(differs))
}

/// Factors whose product cancels the third number but for its rounding, sums that round, and
/// subnormals.
fn double_operands() -> Vec<[f64; 4]> {
    let fours = operands();
    let wide = fours.iter().map(|&[a, b, c, d]| {
        let (a, b) = (f64::from(a) + f64::from(c) * 1e-12, f64::from(b) + f64::from(d) * 1e-12);
        [a, b, if c > 0.0 { -(a * b) } else { f64::from(d) }, 0.0]
    });
    let tiny = [
        [f64::MIN_POSITIVE, 0.25, 0.0, 0.0],
        [f64::MIN_POSITIVE * 1.5, 1.0, -f64::MIN_POSITIVE, 0.0],
        [f64::from_bits(3), 1024.0, f64::MIN_POSITIVE, 0.0],
    ];
    wide.chain(tiny).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::arithmetic::Ops;
    use crate::with_ops;

    fn answers(model: Arithmetic) -> Vec<f32> {
        let all: Vec<[f32; 4]> = cases()
            .into_iter()
            .map(|[a, b]| {
                let error = (f64::from(a) * f64::from(b) - f64::from(a * b)) as f32;
                with_ops!(model, O => [O::add(a, b), exact_sum_error(a, b), O::mul(a, b), error])
            })
            .collect();
        (0..4).flat_map(|plane| all.iter().map(move |answers| answers[plane])).collect()
    }

    #[test]
    fn errors_that_a_compiler_took_away_are_missed() {
        let (cases, all) = (cases(), answers(Arithmetic::host()));
        assert_eq!(judge_errors(&cases, &all), None);
        for plane in [1, 3] {
            let mut gone = all.clone();
            gone[plane * cases.len()..][..cases.len()].fill(0.0);
            let told = judge_errors(&cases, &gone).unwrap();
            assert!(told.starts_with("the error of the") && told.contains("not"), "{told}");
            let sums = &gone[..2 * cases.len()];
            assert_eq!(judge_errors(&cases, sums), (plane == 1).then_some(told));
        }
        let mut off = all;
        let at = 2 * cases.len() + 803;
        off[at] = f32::from_bits(off[at].to_bits() ^ 1);
        assert!(judge_errors(&cases, &off).unwrap().contains("product"));
    }

    #[test]
    fn most_sums_and_products_have_errors() {
        let all = answers(Arithmetic::host());
        for plane in [1, 3] {
            let errors = &all[plane * CASES as usize..][..CASES as usize];
            let with = errors.iter().filter(|&&x| x != 0.0).count();
            assert!(with > 700, "{with} of 1024");
        }
    }

    /// The form in the kernels survives on every device here, and its f64 is what is said of it.
    #[test]
    fn this_machine_keeps_the_errors() {
        super::super::tests::on_each_device(|context| {
            if context.fingerprint.rounds_to_nearest {
                assert_eq!(lost_errors(context), Ok(None), "{}", context.info.slug);
            }
            if context.info.shader_f64 {
                let arithmetic = context.fingerprint.arithmetic;
                assert_eq!(double_differs(context, arithmetic), Ok(None), "{}", context.info.slug);
                let other = Arithmetic { fused_fma: !arithmetic.fused_fma, ..arithmetic };
                assert!(double_differs(context, other).unwrap().is_some());
            }
        });
    }
}
