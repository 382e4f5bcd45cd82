//! Every matmul kernel of the registry: the converted operands, the bits of C, and its error.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use half::{bf16, f16};
use libtest_mimic::{Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tradeoff::error::{Guarantee, matmul_bound};
use tradeoff::gpu::{Context, DeviceInfo, Fingerprint};
use tradeoff::mirror::{convert::Key, convert::Operands, matmul::multiply_in_slices};
use tradeoff::number::philox::philox4x32;
use tradeoff::number::{Arithmetic, Format, Fp8, Precision, Rounding};
use tradeoff::problem::layout::{Layout, Stored};
use tradeoff::problem::matrix::{Distribution, MatmulProblem, Matrix};
use tradeoff::truth::matmul::MatmulTruth;
use tradeoff::workload::matmul::{GpuMatmul, Kernel, KernelSource, Shape, output_format};

use crate::devices::Device;

/// Key of all random bits of these tests.
const KEY: Key = [0x5eed, 7];

/// What the elements of A and B are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// Standard normal.
    Normal,
    /// Nothing but zeros, of which int8 must still make a scale.
    Zeros,
    /// A about 1e-30 (in every fifth row 1e-42, subnormal), B about 1e-10: products are f32
    /// subnormals, all of A vanishes in f16, and the scale of int8 is at its least.
    Tiny,
    /// 2^-26 to 2^12 in every row, with zeros of both signs: subnormals and large numbers in f16.
    Wide,
    /// Up to the largest f32: operands overflow in f16, sums in f32, and infinities meet.
    Huge,
    /// Rows of A from 2^-108 to 2^108, columns of B from 2^-108 to 1, one of each all zero.
    Graded,
    /// 15/16 to 1, the sign given by the row of A or the column of B: sums as large as k allows.
    Steady,
}

impl Data {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Zeros => "zeros",
            Self::Tiny => "tiny",
            Self::Wide => "wide",
            Self::Huge => "huge",
            Self::Graded => "graded",
            Self::Steady => "steady",
        }
    }

    /// What becomes of the standard normal deviate `x` in row (of A) or column (of B) `vector`;
    /// `random` is 64 bits of its own.
    fn shape(self, x: f32, of_a: bool, vector: usize, random: [u32; 2]) -> f32 {
        let exp2 = |exponent: i32| 2f64.powi(exponent);
        let scaled = |scale: f64| {
            let largest = f64::from(f32::MAX);
            (f64::from(x) * scale).clamp(-largest, largest) as f32
        };
        let below = |n: u32| (random[0] % n) as i32;
        match self {
            Self::Normal => x,
            Self::Zeros => 0.0,
            Self::Tiny if of_a => scaled(if vector % 5 == 4 { 1e-42 } else { 1e-30 }),
            Self::Tiny => scaled(1e-10),
            Self::Wide if random[1].is_multiple_of(16) => 0f32.copysign(x),
            Self::Wide => scaled(exp2(below(39) - 26)),
            Self::Huge if random[1].is_multiple_of(16) => 0.0,
            Self::Huge => scaled(exp2(below(128))),
            Self::Graded if vector == 3 => 0.0,
            Self::Graded => {
                let exponents = if of_a { 217 } else { 109 };
                scaled(exp2((vector as i32 * 53) % exponents - 108))
            }
            Self::Steady => {
                let magnitude = 1.0 - random[0] as f32 * 2f32.powi(-36);
                if vector.is_multiple_of(2) { magnitude } else { -magnitude }
            }
        }
    }

    /// Whether an operand or a sum may exceed its format; elsewhere the bound must apply.
    fn may_overflow(self, precision: Precision) -> bool {
        match self {
            Self::Huge => true,
            Self::Wide => precision.accumulator() == Format::F16,
            Self::Graded => precision.storage() == Format::F16,
            Self::Normal | Self::Zeros | Self::Tiny | Self::Steady => false,
        }
    }

    /// A and B of `shape`, the same at every call.
    fn problem(self, shape: Shape, seed: u32) -> Result<MatmulProblem, Failed> {
        let Shape { m, n, k, batch, .. } = shape;
        let (normal, budget) = (Distribution::Normal, isize::MAX as u64);
        let mut problem =
            MatmulProblem::generate_batch_within(normal, [m, n, k], batch, seed.into(), budget)?;
        let reshape = |matrix: &mut Matrix, of_a: bool| {
            let columns = matrix.cols;
            for (e, x) in matrix.data.iter_mut().enumerate() {
                let [a, b, ..] = philox4x32([e as u32, u32::from(of_a), 0, 0], [seed, 99]);
                let vector = if of_a { e / columns } else { e % columns };
                *x = self.shape(*x, of_a, vector, [a, b]);
            }
        };
        if self != Self::Normal {
            reshape(&mut problem.a, true);
            reshape(&mut problem.b, false);
        }
        Ok(problem)
    }
}

/// One product, on inputs that its parts determine.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    data: Data,
    /// wgpu's run-time checks, which hide an index out of bounds.
    checks: bool,
    seed: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape)?;
        if self.data != Data::Normal {
            write!(f, "-{}", self.data.name())?;
        }
        if self.checks { write!(f, "-checked") } else { Ok(()) }
    }
}

const fn shape(m: usize, n: usize, k: usize) -> Shape {
    Shape::new(m, n, k)
}

const fn stored(layout: Layout, batch: usize, shape: Shape) -> Shape {
    Shape { layout, batch, ..shape }
}

/// The operands of a problem as the shape's layout stores them.
fn problem_operands(problem: &MatmulProblem, shape: Shape) -> Stored<'_> {
    Stored::new(shape.layout, shape.batch, &problem.a, &problem.b)
}

/// The cases of a kernel: awkward shapes, one under, at and over its tile, and awkward numbers.
fn cases(source: &KernelSource) -> Vec<Case> {
    let (rows, columns) = source.tile;
    let case = |shape, data, checks| Case { shape, data, checks, seed: 1 };
    if source.kernel == Kernel::Gemv {
        return vector_cases(source);
    }
    if !Precision::MATMUL.contains(&source.precision) {
        return narrow_cases(source);
    }
    let mut cases: Vec<_> = [
        shape(1, 1, 1),
        shape(1, 130, 5),
        shape(130, 1, 1),
        shape(17, 9, 1030), // over the 1,024 of k that the mirror sums at a time
        shape(257, 131, 73),
        shape(rows - 1, columns + 1, 15),
        shape(rows, columns, 16),
        shape(rows + 1, columns - 1, 17),
    ]
    .map(|shape| case(shape, Data::Normal, false))
    .into();
    cases.push(case(shape(rows / 2 + 1, columns / 2 + 1, 20), Data::Normal, true));
    for (layout, batch, shape) in [
        (Layout::Nn, 3, shape(rows - 1, columns + 1, 15)),
        (Layout::Tn, 1, shape(rows + 1, columns - 1, 73)),
        (Layout::Nt, 1, shape(rows - 1, columns + 1, 41)),
        (Layout::Tt, 1, shape(1, 3, 5)),
        (Layout::Tt, 2, shape(rows + 3, columns + 2, 17)),
    ] {
        cases.push(case(stored(layout, batch, shape), Data::Normal, batch == 2));
    }
    cases.retain(|case| source.kernel.runs(source.precision, case.shape).is_ok());
    for data in [Data::Zeros, Data::Tiny, Data::Wide, Data::Huge, Data::Graded] {
        cases.push(case(shape(19, 21, 35), data, false));
    }
    if source.precision.storage() == Format::Int8 {
        // The longest k that is summed in one chunk of i32, the first in two, and sums over 2^31
        // of both signs. (llvmpipe ends every loop of an invocation after 65,535 iterations, so
        // no k is much longer; longer sums are joined in `numbers`. Run-time checks count each loop,
        // which keeps llvmpipe from unrolling the inner ones, and then they count as well.)
        let checks = source.kernel == Kernel::Naive;
        cases.push(case(shape(2, 3, 133_136), Data::Normal, checks));
        cases.push(case(shape(3, 2, 131_072 + 31), Data::Steady, false));
        for k in [133_145, 150_000] {
            cases.push(case(shape(3, 2, k), Data::Steady, false));
        }
    }
    cases
}

/// Products with vectors, in all layouts, and awkward numbers.
fn vector_cases(source: &KernelSource) -> Vec<Case> {
    let case = |shape, data, checks| Case { shape, data, checks, seed: 1 };
    let mut cases: Vec<_> = [
        shape(1, 1, 1),
        shape(130, 1, 70),
        shape(1, 131, 1030),
        stored(Layout::Tn, 1, shape(257, 1, 73)),
        stored(Layout::Tn, 1, shape(1, 37, 73)),
        stored(Layout::Nt, 1, shape(1, 257, 33)),
        stored(Layout::Nt, 1, shape(37, 1, 33)),
        stored(Layout::Tt, 3, shape(65, 1, 40)),
        stored(Layout::Tt, 2, shape(1, 66, 40)),
        stored(Layout::Nn, 3, shape(3, 1, 9)),
    ]
    .map(|shape| case(shape, Data::Normal, shape.batch == 3))
    .into();
    if source.precision.storage().is_blocked() {
        // Around a block, and vectors longer than what any lane holds, in every layout.
        cases.extend(
            [
                shape(9, 1, 31),
                shape(1, 9, 32),
                shape(1, 1, 33),
                shape(19, 1, 4096 + 5),
                shape(1, 19, 4096 + 5),
                stored(Layout::Nt, 3, shape(5, 1, 100)),
                stored(Layout::Tn, 2, shape(1, 9, 131)),
                stored(Layout::Tt, 3, shape(1, 1, 64)),
            ]
            .map(|shape| case(shape, Data::Normal, shape.batch == 3)),
        );
    }
    for data in [Data::Zeros, Data::Tiny, Data::Wide, Data::Huge, Data::Graded] {
        cases.push(case(shape(21, 1, 35), data, false));
        if source.precision.storage().is_blocked() {
            cases.push(case(shape(1, 22, 67), data, false));
        }
    }
    cases.retain(|case| source.kernel.runs(source.precision, case.shape).is_ok());
    cases
}

/// Fewer, since structures are tried with the standard precisions: around a tile and around a block of
/// 32, and the numbers that conversions and scales find awkward.
fn narrow_cases(source: &KernelSource) -> Vec<Case> {
    let (rows, columns) = source.tile;
    let case = |shape, data, checks| Case { shape, data, checks, seed: 1 };
    let mut cases = vec![
        case(shape(1, 1, 1), Data::Normal, false),
        case(shape(rows + 1, columns - 1, 33), Data::Normal, true),
        case(shape(37, 43, 300), Data::Normal, false),
        case(stored(Layout::Nn, 3, shape(rows - 3, columns + 2, 41)), Data::Normal, false),
        case(stored(Layout::Tn, 1, shape(rows + 1, columns - 1, 73)), Data::Normal, false),
        case(stored(Layout::Nt, 2, shape(rows - 1, columns + 1, 41)), Data::Graded, true),
        case(stored(Layout::Tt, 1, shape(1, 3, 5)), Data::Normal, false),
        case(stored(Layout::Tt, 3, shape(rows / 2 + 3, columns / 2 + 2, 70)), Data::Wide, false),
    ];
    cases.retain(|case| source.kernel.runs(source.precision, case.shape).is_ok());
    for data in [Data::Zeros, Data::Tiny, Data::Wide, Data::Huge, Data::Graded] {
        cases.push(case(shape(19, 21, 67), data, false));
    }
    cases
}

/// The cases of a kernel with other parameters: around its tile and past it, checked and not, and with
/// more of k than one slice of it takes.
fn edge_cases(source: &KernelSource) -> Vec<Case> {
    let (rows, columns) = source.tile;
    let case = |shape, checks| Case { shape, data: Data::Normal, checks, seed: 1 };
    if !Precision::MATMUL.contains(&source.precision) && source.kernel != Kernel::Gemv {
        // The formats of fp8 differ in constants alone.
        let is_tried = source.precision == Precision::Fp8E4m3;
        return is_tried
            .then(|| case(shape(rows + 1, columns + 5, 73), true))
            .into_iter()
            .collect();
    }
    if source.precision == Precision::Mxint8 {
        return vec![]; // of mxfp8 it differs in what an element and a block's sum are
    }
    let mut shapes = match (source.kernel, source.parameters.get("team")) {
        // Rounds of a team, the last one not whole.
        (Kernel::Gemv, Some(team)) => vec![
            stored(Layout::Tn, 2, shape(rows + 1, 1, 64 * team as usize + 37)),
            stored(Layout::Nn, 1, shape(1, rows - 1, 32 * team as usize + 5)),
            // Several rounds in several workgroups, of several products.
            stored(Layout::Nn, 2, shape(1, rows + 5, 64 * team as usize + 5)),
        ],
        (Kernel::Gemv, None) => vec![
            stored(Layout::Tn, 2, shape(rows + 1, 1, 37)),
            stored(Layout::Nt, 1, shape(1, rows - 1, 73)),
        ],
        _ => vec![
            shape(rows + 1, columns - 1, 37),
            shape(2 * rows - 1, columns + 5, 73),
            stored(Layout::Tt, 2, shape(rows + 5, columns + 1, 45)),
        ],
    };
    if source.slices() > 1 {
        let long = 32 * source.slices() as usize + 7;
        shapes.extend(if source.kernel == Kernel::Gemv {
            vec![shape(9, 1, 3 * long), stored(Layout::Tt, 3, shape(1, 9, long))]
        } else {
            vec![shape(9, 11, 3 * long), stored(Layout::Tt, 3, shape(rows + 1, 5, long))]
        });
    }
    shapes.retain(|&shape| source.kernel.runs(source.precision, shape).is_ok());
    // With checks, workgroup memory is zeroed number by number: of large teams llvmpipe compiles minutes.
    let checked = source.parameters.get("team").is_none_or(|team| team <= 8);
    shapes.into_iter().enumerate().map(|(at, shape)| case(shape, checked && at % 2 == 1)).collect()
}

/// Every kernel with every way to read its operands, and for each way all parameters that it can have
/// on the device, the default first: those of software and those of hardware, whichever it is.
fn sources(device: &DeviceInfo) -> Vec<Vec<KernelSource>> {
    let packed = DeviceInfo { shader_f16: false, ..device.clone() };
    let of_type = |kind: &str| DeviceInfo { device_type: kind.to_owned(), ..device.clone() };
    let variants = [device.clone(), packed, of_type("cpu"), of_type("discrete")];
    let mut sources: Vec<Vec<KernelSource>> = vec![];
    // The second is cut into slices.
    let shapes = [Shape::square(4096), shape(64, 64, 16_384)];
    for (precision, kernel) in pairs() {
        let first = sources.len();
        for variant in &variants {
            if KernelSource::supports(kernel, precision, variant).is_err() {
                continue;
            }
            let candidates =
                shapes.map(|shape| KernelSource::candidates(kernel, precision, shape, variant));
            for parameters in candidates.concat() {
                let source = KernelSource::with(kernel, precision, variant, parameters).unwrap();
                let same_way = |all: &&mut Vec<KernelSource>| all[0].f16_path == source.f16_path;
                match sources[first..].iter_mut().find(same_way) {
                    None => sources.push(vec![source]),
                    Some(all) if all.iter().any(|s| s.parameters == source.parameters) => {}
                    Some(all) => all.push(source),
                }
            }
        }
    }
    sources
}

/// Every kernel at every precision that it exists for.
fn pairs() -> impl Iterator<Item = (Precision, Kernel)> {
    let all = Precision::matmul().filter(|precision| !precision.is_wide());
    let all = all.flat_map(|p| Kernel::ALL.map(|kernel| (p, kernel)));
    all.filter(|(precision, kernel)| kernel.computes(*precision))
}

fn name(source: &KernelSource) -> String {
    let path = source.f16_path.map_or(String::new(), |path| format!("/{}", path.name()));
    format!("{}/{}{path}", source.precision, source.kernel)
}

/// Names of the kernels, for a list without an adapter.
pub fn names_without_adapter() -> impl Iterator<Item = String> {
    sources(&DeviceInfo::default()).into_iter().map(|all| name(&all[0]))
}

pub fn trials(device: &Arc<Device>) -> Vec<Trial> {
    let mut trials = Vec::new();
    // The precisions of int8 share the text of their product: tried with its default at each, with
    // other parameters once.
    let (mut tried, mut with_bits) = (HashSet::new(), HashSet::new());
    for all in sources(device.info()) {
        for case in cases(&all[0]) {
            let (name, source) = (format!("{}/{case}", name(&all[0])), all[0].clone());
            trials.push(device.trial(name, move |device| check(device, &source, case)));
        }
        if all[0].precision.rounding() == Rounding::Stochastic {
            // With each number once a precision; the kernels take them alike.
            let first = with_bits.insert(all[0].precision);
            for &rounding_bits in if first { &[4, 8, 10, 13][..] } else { &[4, 13] } {
                let source = KernelSource { rounding_bits, ..all[0].clone() };
                let n = if source.kernel == Kernel::Gemv { 1 } else { 21 };
                let case =
                    Case { shape: shape(19, n, 67), data: Data::Normal, checks: false, seed: 2 };
                let name = format!("{}/{case}-{rounding_bits}-random-bits", name(&source));
                trials.push(device.trial(name, move |device| check(device, &source, case)));
            }
        }
        for source in &all[1..] {
            if !tried.insert(source.composed().sha256) {
                continue;
            }
            let parameters = source.parameters.to_string().replace(' ', ",");
            for case in edge_cases(source) {
                let (name, source) =
                    (format!("{}/{parameters}/{case}", name(source)), source.clone());
                trials.push(device.trial(name, move |device| check(device, &source, case)));
            }
        }
    }
    trials
}

/// A test of `cases` random products; a failure names the smallest shape that fails too.
pub fn random_shapes(device: &Arc<Device>, cases: u32) -> Trial {
    device.trial("random_shapes".into(), move |device| check_random(device, cases))
}

fn check_random(device: &Device, cases: u32) -> Result<(), Failed> {
    let sources: Vec<_> = sources(device.info()).into_iter().flatten().collect();
    let strategy = (
        prop::sample::select(sources),
        (1usize..=90, 1usize..=90, 1usize..=140, 1usize..=3),
        prop::sample::select(&Layout::ALL[..]),
        any::<bool>(),
        any::<u32>(),
    );
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |(source, (m, n, k, batch), layout, checks, seed)| {
            let mut shape = stored(layout, batch, shape(m, n, k));
            match source.kernel {
                Kernel::Gemv if seed % 2 == 0 => shape.m = 1,
                Kernel::Gemv => shape.n = 1,
                _ => {}
            }
            if source.kernel.runs(source.precision, shape).is_err() {
                shape = Shape { layout: Layout::Nn, batch: 1, ..shape };
            }
            let case = Case { shape, data: Data::Normal, checks, seed };
            check(device, &source, case).map_err(|failed| {
                let what = failed.message().unwrap_or("failed");
                TestCaseError::fail(format!("{}/{case}: {what}", name(&source)))
            })
        })
        .map_err(|error| error.to_string().into())
}

/// What a device made of a problem.
struct Computed {
    c: Vec<f32>,
    operands: [Vec<u8>; 2],
    fingerprint: Fingerprint,
}

fn compute(
    context: &Context,
    source: &KernelSource,
    operands: &Stored<'_>,
    checks: bool,
) -> Result<Computed, Failed> {
    let gpu = GpuMatmul::prepare(context, source, operands, KEY, checks)?;
    gpu.poison(context)?;
    context.run(gpu.conversion(), 1)?;
    context.run(gpu.product(), 1)?;
    Ok(Computed {
        c: gpu.result(context)?,
        operands: gpu.operand_bytes(context)?,
        fingerprint: context.fingerprint.clone(),
    })
}

fn check(device: &Device, source: &KernelSource, case: Case) -> Result<(), Failed> {
    let precision = source.precision;
    let problem = case.data.problem(case.shape, case.seed)?;
    let stored = problem_operands(&problem, case.shape);
    let computed = device.with(|context| compute(context, source, &stored, case.checks))?;
    let fingerprint = &computed.fingerprint;
    let convert = |arithmetic| {
        Operands::convert_with_bits(precision, arithmetic, &stored, KEY, source.rounding_bits)
    };
    let operands = convert(fingerprint.arithmetic);
    if fingerprint.unmodelled.is_none() {
        // The mirror of the conversion at least. What a device reads of an f16 subnormal is not what it stores.
        let kept = convert(Arithmetic { flush_f16_subnormals: false, ..fingerprint.arithmetic });
        let converted = case.shape.converted(precision);
        for (name, got, expected) in [
            ("A", &computed.operands[0], pack_a(&kept, converted, precision.storage())),
            ("B", &computed.operands[1], pack_b(&kept, converted, precision.storage())),
        ] {
            same_bytes(name, got, &expected)?;
        }
        if source.kernel.has_mirror() {
            let rows: Vec<_> = (0..case.shape.batch * case.shape.m).collect();
            let (arithmetic, slices) = (fingerprint.arithmetic, source.slices());
            let mirror = multiply_in_slices(precision, arithmetic, &operands, slices, &rows, KEY);
            same_numbers(&computed.c, &mirror, case.shape.n)?;
        }
    }
    within_bound(&computed, source, &problem, &operands, case)
}

/// Equal, where all NaN are equal and so are the zeros.
fn same_numbers(got: &[f32], expected: &[f32], columns: usize) -> Result<(), Failed> {
    if got.len() != expected.len() {
        return Err(format!("{} entries, the mirror has {}", got.len(), expected.len()).into());
    }
    let differ = |&e: &usize| got[e] != expected[e] && !(got[e].is_nan() && expected[e].is_nan());
    let wrong: Vec<_> = (0..got.len()).filter(differ).collect();
    let Some(&first) = wrong.first() else { return Ok(()) };
    Err(format!(
        "{} of {} entries differ from the mirror, the first C[{}, {}]: {:e}, mirror {:e}",
        wrong.len(),
        got.len(),
        first / columns,
        first % columns,
        got[first],
        expected[first]
    )
    .into())
}

fn same_bytes(name: &str, got: &[u8], expected: &[u8]) -> Result<(), Failed> {
    // A buffer may be longer than what it holds, and is zero there.
    let (held, rest) = got.split_at_checked(expected.len()).unwrap_or((got, &[]));
    if held == expected && rest.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    let first = held.iter().zip(expected).position(|(a, b)| a != b);
    Err(format!("converted {name} differs from the mirror's, first at byte {first:?}").into())
}

/// A as `kernels/matmul/problem.wgsl` lays it out: rows of LDA, the padding zero.
fn pack_a(operands: &Operands, shape: Shape, format: Format) -> Vec<u8> {
    let (vectors, is_across) = (shape.m, shape.layout.a_transposed());
    pack(&operands.a, shape, vectors, [shape.stored_rows_of_a(), shape.lda()], is_across, format)
}

/// B likewise, rows of LDB.
fn pack_b(operands: &Operands, shape: Shape, format: Format) -> Vec<u8> {
    let (vectors, is_across) = (shape.n, !shape.layout.b_transposed());
    pack(&operands.b, shape, vectors, [shape.stored_rows_of_b(), shape.ldb()], is_across, format)
}

/// A stack of matrices of `vectors` vectors along k, which are columns where k goes `across` the rows:
/// there integers and formats with blocks keep the rows of a column side by side that a word holds.
fn pack(
    numbers: &[f32],
    shape: Shape,
    vectors: usize,
    [rows, ld]: [usize; 2],
    is_across: bool,
    format: Format,
) -> Vec<u8> {
    let [height, width] = if is_across { [shape.k, vectors] } else { [vectors, shape.k] };
    let slab = rows / shape.batch;
    let element = |row: usize, column: usize| {
        let (matrix, row) = (row / slab, row % slab);
        let inside = row < height && column < width;
        if inside { numbers[(matrix * height + row) * width + column] } else { 0.0 }
    };
    let is_packed = format == Format::Int8 || format.is_blocked();
    let together = if is_packed && is_across { 32 / format.bits() as usize } else { 1 };
    let words = (0..rows).step_by(together).flat_map(|r| (0..ld).map(move |column| (r, column)));
    let places = words.flat_map(|(r, column)| (r..r + together).map(move |row| (row, column)));
    join(places.flat_map(|(row, column)| encode(element(row, column), format)).collect(), format)
}

/// Pairs of nibbles as bytes, the lower one first.
fn join(bytes: Vec<u8>, format: Format) -> Vec<u8> {
    if format != Format::Int4 {
        return bytes;
    }
    bytes.chunks(2).map(|pair| pair[0] & 15 | pair[1] << 4).collect()
}

/// The bytes of a number that `format` holds exactly, int4 in a byte of its own, by crates that the
/// kernels know nothing of; fp8 by code that the vectors of `tests/oracle` hold to one.
fn encode(x: f32, format: Format) -> Vec<u8> {
    match format {
        Format::F16 => f16::from_f32(x).to_le_bytes().into(),
        Format::Bf16 => bf16::from_f32(x).to_le_bytes().into(),
        Format::Int8 | Format::Int4 | Format::MxInt8 => (x as i8).to_le_bytes().into(),
        Format::E4m3 | Format::MxFp8 => vec![Fp8::E4M3.nearest(x)],
        Format::E5m2 => vec![Fp8::E5M2.nearest(x)],
        _ => x.to_le_bytes().into(),
    }
}

/// Error against truth, where nothing can overflow: that is outside the bound's model.
fn within_bound(
    computed: &Computed,
    source: &KernelSource,
    problem: &MatmulProblem,
    operands: &Operands,
    case: Case,
) -> Result<(), Failed> {
    let (precision, kernel) = (source.precision, source.kernel);
    let fingerprint = &computed.fingerprint;
    let guarantee = if kernel.has_mirror() {
        Guarantee::of(fingerprint.arithmetic, fingerprint.rounds_to_nearest)
    } else {
        Guarantee::PORTABLE
    };
    let (step_a, step_b) = (&operands.step_a, &operands.step_b);
    let bound =
        matmul_bound(precision, kernel.roundings(precision, problem.k), step_a, step_b, guarantee)?;
    let truth = MatmulTruth::of(problem, None)?;
    let overflows = may_overflow(precision, problem, operands, &truth);
    if overflows && !case.data.may_overflow(precision) {
        return Err("these numbers are too large to be held to the bound".into());
    }
    if overflows || bound.is_vacuous() {
        return match &fingerprint.unmodelled {
            // What a matrix unit makes of these numbers, nothing says: a run skips such a case.
            _ if !kernel.has_mirror() => Ok(()),
            None => Ok(()),
            Some(why) => Err(format!("nothing verifies this: no bound, no mirror ({why})").into()),
        };
    }
    let Some(worst) = bound.worst(&computed.c, &truth) else {
        return Err("no entry was held to the bound".into());
    };
    // A NaN is not within its bound either.
    if matches!(worst.ratio.partial_cmp(&1.0), Some(order) if order.is_le()) {
        return Ok(());
    }
    Err(format!("the error is {:.3} times its bound: {worst:?}", worst.ratio).into())
}

/// Whether an operand, a sum or a scaled sum might exceed its format. Rounding makes the sums of
/// these shapes exceed |A||B| by less than a factor of 2; another 2 is to spare.
fn may_overflow(
    precision: Precision,
    problem: &MatmulProblem,
    operands: &Operands,
    truth: &MatmulTruth,
) -> bool {
    let largest = |format| if format == Format::F16 { 65_504.0 } else { f64::from(f32::MAX) };
    let max = |values: &[f32]| values.iter().map(|&x| f64::from(x.abs())).fold(0.0, f64::max);
    let sums = truth.abs_product.iter().copied().fold(0.0, f64::max);
    let output = largest(output_format(precision));
    if precision.storage() == Format::Int8 {
        let integers = 127.0 * 127.0 * problem.k as f64;
        let scaled = integers * max(&operands.step_a);
        return 4.0 * scaled.max(scaled * max(&operands.step_b)) > output;
    }
    if precision.storage().is_blocked() {
        // The sum of a block meets the scale of A before that of B.
        let scaled = 32.0 * 512.0 * max(&problem.a.data);
        return 4.0 * scaled.max(sums) > output;
    }
    let storage = largest(precision.storage());
    4.0 * sums > output || max(&problem.a.data).max(max(&problem.b.data)) > storage
}
