//! What kernels share, function by function: random bits, roundings, conversions, exact sums. A
//! device's answers to some hundred thousand questions against the CPU's, bit for bit.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use tradeoff::gpu::{Buffer, Context, GpuError, Source, compose};
use tradeoff::mirror::reciprocal::reciprocal;
use tradeoff::number::philox::{half_word, philox4x32};
use tradeoff::number::{Fp8, Rounding, round};
use tradeoff::{wgsl, with_ops};

use crate::devices::Device;

const PHILOX: Source = wgsl!("shared/philox.wgsl");
const ROUNDING: Source = wgsl!("shared/rounding.wgsl");

/// Words of a question and of its answer: two vectors, and one.
type Question = [[u32; 4]; 2];
type Answer = [u32; 4];

pub fn trials(device: &Arc<Device>) -> Vec<Trial> {
    let trial = |name: &str, ask: fn(&Context) -> Result<(), Failed>| {
        device.trial(format!("numbers/{name}"), move |device| device.with(ask))
    };
    let mut trials = vec![
        trial("philox", philox),
        trial("half_word", half_words),
        trial("f16_and_bf16_nearest", nearest),
        trial("f16_stochastic", stochastic),
        trial("bf16_stochastic", bf16_stochastic),
        trial("fp8_e4m3", |context| fp8(context, wgsl!("number/fp8_e4m3.wgsl"), Fp8::E4M3)),
        trial("fp8_e5m2", |context| fp8(context, wgsl!("number/fp8_e5m2.wgsl"), Fp8::E5M2)),
        trial("integers", integers),
        trial("reciprocal", reciprocals),
        trial("int8_sums", int8_sums),
        trial("load_f16_packed", load_f16_packed),
        trial("load_bf16", load_bf16),
    ];
    if device.info().shader_f16 {
        trials.push(trial("load_f16_native", load_f16_native));
    }
    trials
}

/// One invocation a question; `answer` is the function under test.
const ASK: &str = "
    @group(0) @binding(6) var<storage, read> questions: array<array<vec4<u32>, 2>>;
    @group(0) @binding(7) var<storage, read_write> answers: array<vec4<u32>>;

    @compute @workgroup_size(64)
    fn ask(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x < arrayLength(&answers)) {
            answers[id.x] = answer(questions[id.x][0], questions[id.x][1]);
        }
    }";

/// What `answer`, composed with `files`, returns to each question.
fn ask(
    context: &Context,
    files: &[Source],
    constants: &[(&str, f64)],
    answer: &'static str,
    questions: &[Question],
) -> Result<Vec<Answer>, GpuError> {
    let own = [Source { path: "answer", text: answer }, Source { path: "ask", text: ASK }];
    let composed = compose(&[files, &own].concat());
    let bytes = size_of_val(questions) as u64 / 2;
    let from = context.buffer("questions", size_of_val(questions) as u64)?;
    let to = context.buffer("answers", bytes)?;
    context.upload(&from, bytemuck::cast_slice(questions))?;
    let pipeline = context.pipeline(&composed, "ask", constants)?;
    let workgroups = [questions.len().div_ceil(64) as u32, 1, 1];
    let command = context.dispatch(&pipeline, &[(6, &from), (7, &to)], workgroups)?;
    context.run(&[command], 1)?;
    read(context, &to, bytes)
}

fn read(context: &Context, buffer: &Buffer, bytes: u64) -> Result<Vec<Answer>, GpuError> {
    Ok(bytemuck::pod_collect_to_vec(&context.read(buffer, 0, bytes)?))
}

/// Compares each answer with what is expected of its question.
fn compare(
    questions: &[Question],
    answers: &[Answer],
    expected: impl Fn(&Question) -> Answer,
    same: fn(Answer, Answer) -> bool,
) -> Result<(), Failed> {
    if answers.len() != questions.len() {
        return Err(format!("{} answers to {} questions", answers.len(), questions.len()).into());
    }
    let asked = questions.iter().zip(answers);
    let wrong: Vec<_> = asked.filter(|&(q, &answer)| !same(answer, expected(q))).collect();
    let Some(&(question, answer)) = wrong.first() else { return Ok(()) };
    Err(format!(
        "{} of {} differ, the first: {question:08x?} gives {answer:08x?}, the CPU {:08x?}",
        wrong.len(),
        questions.len(),
        expected(question)
    )
    .into())
}

fn equal(a: Answer, b: Answer) -> bool {
    a == b
}

/// Equal bits of f32, where all NaN are one.
fn equal_f32(a: Answer, b: Answer) -> bool {
    let nan = |bits| f32::from_bits(bits).is_nan();
    a.into_iter().zip(b).all(|(a, b)| a == b || (nan(a) && nan(b)))
}

/// Random words: the same at every run.
fn random(index: usize) -> [u32; 4] {
    philox4x32([index as u32, 0, 0, 0], [2011, 4])
}

/// Random123's `kat_vectors` (counter, key, output), then random counters under random keys.
fn philox(context: &Context) -> Result<(), Failed> {
    const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    const ANSWER: &str =
        "fn answer(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> { return philox4x32(x, y.xy); }";
    let known = KNOWN.map(|(counter, [k0, k1], _)| [counter, [k0, k1, 0, 0]]);
    let questions: Vec<Question> =
        known.into_iter().chain((0..100_000).map(|i| [random(2 * i), random(2 * i + 1)])).collect();
    let answers = ask(context, &[PHILOX], &[], ANSWER, &questions)?;
    for (answer, (counter, key, output)) in answers.iter().zip(KNOWN) {
        if *answer != output {
            return Err(format!("{counter:08x?} under {key:08x?} gives {answer:08x?}").into());
        }
    }
    compare(&questions, &answers, |&[counter, [k0, k1, ..]]| philox4x32(counter, [k0, k1]), equal)
}

fn half_words(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {
            return vec4<u32>(half_word(x, y.x), half_word(x, y.y), half_word(x, y.z), half_word(x, y.w));
        }";
    let questions: Vec<Question> = (0..1000)
        .flat_map(|i| [[0, 1, 2, 3], [4, 5, 6, 7], random(i)].map(|index| [random(i), index]))
        .collect();
    let answers = ask(context, &[PHILOX], &[], ANSWER, &questions)?;
    compare(&questions, &answers, |&[words, y]| y.map(|index| half_word(words, index)), equal)
}

/// Bits of f32 about every place where a rounding to f16 or bf16 may go wrong: each f16 and each
/// bf16, the point half way to the next and its neighbours (so both overflow boundaries, all
/// subnormals, infinities and NaN), and random patterns.
fn awkward_bits() -> Vec<u32> {
    let next = |p: u16| match p & 0x7fff {
        // What comes next in magnitude to the largest finite one is 2^16 in rounding.
        0x7c00 => 65_536f32.copysign(round::f16_unpack(p, false)),
        _ => round::f16_unpack(p, false),
    };
    let about_f16 = |p: u16| {
        let (x, next) = (round::f16_unpack(p, false), next(p.wrapping_add(1)));
        let middle = f32::midpoint(x, next);
        [x, middle, middle.next_up(), middle.next_down()].map(f32::to_bits)
    };
    let about_bf16 = |p: u16| [0, 0x7fff, 0x8000, 0x8001].map(|rest| u32::from(p) << 16 | rest);
    let patterns = || 0..=u16::MAX;
    let random = (0..1 << 15).flat_map(random);
    patterns().flat_map(about_f16).chain(patterns().flat_map(about_bf16)).chain(random).collect()
}

fn nearest(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {
            let value = bitcast<f32>(x.x);
            let rounded = f16_nearest(value);
            return vec4<u32>(bitcast<u32>(rounded), f16_pack(rounded), bf16_nearest(value), 0u);
        }";
    let questions: Vec<Question> =
        awkward_bits().into_iter().map(|bits| [[bits, 0, 0, 0], [0; 4]]).collect();
    let answers = ask(context, &[ROUNDING], &[], ANSWER, &questions)?;
    let expected = |&[[bits, ..], _]: &Question| {
        let x = f32::from_bits(bits);
        let rounded = round::f16_nearest(x);
        let packed = [round::f16_pack(rounded), round::bf16_nearest(x)].map(u32::from);
        [rounded.to_bits(), packed[0], packed[1], 0]
    };
    // The sign of a NaN may get lost on the way.
    let same = |a: Answer, b: Answer| {
        let nan = f32::from_bits(a[0]).is_nan() && f32::from_bits(b[0]).is_nan();
        let unsigned = |x: Answer| [0, x[1] & 0x7fff, x[2] & 0x7fff, x[3]];
        a == b || (nan && unsigned(a) == unsigned(b))
    };
    compare(&questions, &answers, expected, same)
}

fn stochastic(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, r: vec4<u32>) -> vec4<u32> {
            let value = bitcast<f32>(x.x);
            return bitcast<vec4<u32>>(vec4<f32>(
                f16_stochastic(value, r.x),
                f16_stochastic(value, r.y),
                f16_stochastic(value, r.z),
                f16_stochastic(value, r.w),
            ));
        }";
    let bits = awkward_bits();
    // Both ends and the middle of the 16 bits, what lies above them, and bits of each one's own.
    let fixed = |_: usize| [0u32, 0x7fff, 0x8000, 0xffff];
    let own = |i: usize| [1, 0xfffe, 0xabcd_0000 | (random(i)[0] & 0xffff), random(i)[1]];
    for words in [fixed as fn(usize) -> [u32; 4], own] {
        let questions: Vec<Question> =
            bits.iter().enumerate().map(|(i, &bits)| [[bits, 0, 0, 0], words(i)]).collect();
        let answers = ask(context, &[ROUNDING], &[], ANSWER, &questions)?;
        let expected = |&[[bits, ..], words]: &Question| {
            words.map(|r| round::f16_stochastic(f32::from_bits(bits), r).to_bits())
        };
        compare(&questions, &answers, expected, equal_f32)?;
    }
    Ok(())
}

/// Three roundings to bf16 by any words, and the words with fewer random bits.
fn bf16_stochastic(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, r: vec4<u32>) -> vec4<u32> {
            let value = bitcast<f32>(x.x);
            let fewer = rounding_bits(r, x.y);
            return vec4<u32>(bf16_stochastic(value, r.x), bf16_stochastic(value, r.y),
                bf16_stochastic(value, fewer), fewer);
        }";
    let files = [ROUNDING, PHILOX, wgsl!("shared/rounding_bits.wgsl")];
    let bits = awkward_bits();
    let questions: Vec<Question> =
        bits.iter().enumerate().map(|(i, &bits)| [[bits, i as u32 & 7, 0, 0], random(i)]).collect();
    for count in [1, 4, 10, 16] {
        let constants = [("ROUNDING_BITS", f64::from(count))];
        let answers = ask(context, &files, &constants, ANSWER, &questions)?;
        let expected = |&[[bits, index, ..], words]: &Question| {
            let fewer = round::leading_bits(half_word(words, index), count);
            let to = |r| u32::from(round::bf16_stochastic(f32::from_bits(bits), r));
            [to(words[0]), to(words[1]), to(fewer), fewer]
        };
        compare(&questions, &answers, expected, equal)?;
    }
    Ok(())
}

/// Every code decoded; about every code, tie and end of the format, and any f32, rounded both ways.
fn fp8(context: &Context, constants: Source, format: Fp8) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, r: vec4<u32>) -> vec4<u32> {
            let value = bitcast<f32>(x.x);
            return vec4<u32>(fp8_nearest(value), fp8_stochastic(value, r.x),
                fp8_stochastic(value, r.y), bitcast<u32>(fp8_decode(r.z)));
        }";
    let about = |code: u8| {
        let (x, next) = (format.unpack(code), format.unpack(code.wrapping_add(1)));
        let middle = f32::midpoint(x, next);
        [x, x.next_up(), x.next_down(), middle, middle.next_up(), middle.next_down()]
    };
    let near = (0..=u8::MAX).flat_map(about).map(f32::to_bits);
    let questions: Vec<Question> = near
        .chain((0..1 << 14).flat_map(random))
        .chain(awkward_bits().into_iter().step_by(7))
        .enumerate()
        .flat_map(|(i, bits)| {
            let [a, b, ..] = random(i + 33_333);
            [[a, b], [0, 0xffff]].map(|[a, b]| [[bits, 0, 0, 0], [a, b, i as u32 & 0xff, 0]])
        })
        .collect();
    let files = [constants, wgsl!("number/fp8_format.wgsl")];
    let answers = ask(context, &files, &[], ANSWER, &questions)?;
    let expected = |&[[bits, ..], [a, b, code, _]]: &Question| {
        let x = f32::from_bits(bits);
        let decoded = format.unpack(code as u8);
        let rounded = [format.nearest(x), format.stochastic(x, a), format.stochastic(x, b)];
        let [nearest, up, down] = rounded.map(u32::from);
        [nearest, up, down, decoded.to_bits()]
    };
    // All NaN are one.
    let same = |a: Answer, b: Answer| {
        let nan = f32::from_bits(a[3]).is_nan() && f32::from_bits(b[3]).is_nan();
        a[..3] == b[..3] && (a[3] == b[3] || nan)
    };
    compare(&questions, &answers, expected, same)
}

/// Quarters about 0 and about the limits, their neighbours, values of all magnitudes, infinities
/// and NaN, under several random words.
fn integers(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {
            let value = bitcast<f32>(x.x);
            let limit = i32(x.y);
            return bitcast<vec4<u32>>(vec4<i32>(
                integer_nearest(value, limit),
                integer_stochastic(value, y.x, limit),
                integer_stochastic(value, y.y, limit),
                integer_stochastic(value, y.z, limit),
            ));
        }";
    let quarters = |range: std::ops::Range<i32>| range.map(|quarter| quarter as f32 / 4.0);
    let about = |x: f32| [x, x.next_up(), x.next_down(), -x];
    let special =
        [0.0, f32::INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 1e30];
    let chosen = quarters(0..600).chain(quarters(131_000..131_200)).chain(special).flat_map(about);
    let uniform = |i: usize| {
        let [a, b, ..] = random(i);
        let unit = (a as i32) as f32 * 2f32.powi(-31);
        unit * if b & 1 == 0 { 140.0 } else { 33_000.0 }
    };
    let values = chosen.map(f32::to_bits).chain((0..1 << 16).map(|i| uniform(i).to_bits()));
    let any = (0..1 << 14).flat_map(|i| random(i + 77_777));
    let questions: Vec<Question> = values
        .chain(any)
        .enumerate()
        .flat_map(|(i, bits)| {
            let [a, b, ..] = random(i + 99_999);
            [127, 32_767].map(|limit| [[bits, limit, 0, 0], [a, b & 0xffff, 0xffff, 0]])
        })
        .collect();
    let answers = ask(context, &[ROUNDING], &[], ANSWER, &questions)?;
    let expected = |&[[bits, limit, ..], [a, b, c, _]]: &Question| {
        let x = f32::from_bits(bits);
        let to = |rounding, random| round::integer(x, rounding, random, limit as i32) as u32;
        let stochastic = |random| to(Rounding::Stochastic, random);
        [to(Rounding::Nearest, 0), stochastic(a), stochastic(b), stochastic(c)]
    };
    compare(&questions, &answers, expected, equal)
}

/// 512 significands in each binade of its range, by the arithmetic that was probed.
fn reciprocals(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        fn answer(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {
            return vec4<u32>(bitcast<u32>(reciprocal(bitcast<f32>(x.x))), 0u, 0u, 0u);
        }";
    if let Some(why) = &context.fingerprint.unmodelled {
        return Err(format!("no mirror models this device: {why}").into());
    }
    let binade = |exponent: u32| {
        (0..512).map(move |i| {
            let fraction = random(i + 512 * exponent as usize)[0] >> 9;
            [[exponent << 23 | if i == 0 { 0 } else { fraction }, 0, 0, 0], [0; 4]]
        })
    };
    let questions: Vec<Question> = (127 - 100..127 + 100).flat_map(binade).collect();
    let answers = ask(context, &[wgsl!("shared/reciprocal.wgsl")], &[], ANSWER, &questions)?;
    with_ops!(context.fingerprint.arithmetic, O => {
        let expected = |&[[bits, ..], _]: &Question| {
            [reciprocal::<O>(f32::from_bits(bits)).to_bits(), 0, 0, 0]
        };
        compare(&questions, &answers, expected, equal)
    })
}

/// Sums of chunks joined in 64 bits, and the f32 nearest to 64-bit sums: small ones, ties, and any.
fn int8_sums(context: &Context) -> Result<(), Failed> {
    const ANSWER: &str = "
        const M: u32 = 1u;
        const N: u32 = 1u;
        fn answer(sum: vec4<u32>, chunks: vec4<u32>) -> vec4<u32> {
            let joined = join(join(sum.xy, bitcast<i32>(chunks.x)), bitcast<i32>(chunks.y));
            return vec4<u32>(joined, bitcast<u32>(nearest_f32(sum.xy)), bitcast<u32>(nearest_f32(joined)));
        }";
    let files = [
        wgsl!("matmul/int8_scale.wgsl"),
        wgsl!("shared/reciprocal.wgsl"),
        wgsl!("matmul/int8_sum.wgsl"),
    ];
    let words = |sum: i64| [sum as u32, (sum >> 32) as u32, 0, 0];
    let any = |i| {
        let [low, high, shift, _] = random(i);
        ((i64::from(high) << 32 | i64::from(low)) << 1) >> (shift % 64)
    };
    // 25 significant bits ending in 1 are a tie; one more or less, wherever they stand, is none.
    let tie = |i: usize| {
        let [word, shift, ..] = random(i + 55_555);
        let odd = i64::from(word >> 8 | 1 << 24 | 1);
        odd << (shift % 38)
    };
    let ties = (0..20_000).flat_map(|i| [tie(i), tie(i) - 1, tie(i) + 1, -tie(i)]);
    let edges = [0, 1, -1, i64::MIN, i64::MAX, 1 << 32, -(1 << 32), (1 << 32) - 1, 1 << 31];
    let sums = edges.into_iter().chain(ties).chain((0..50_000).map(any));
    let extremes = [i32::MIN, i32::MAX, 0, -1].map(|chunk| chunk as u32);
    let questions: Vec<Question> = sums
        .enumerate()
        .map(|(i, sum)| {
            let [a, b, ..] = random(i + 11_111);
            let chunk = if i % 3 == 0 { extremes[a as usize % 4] } else { a };
            [words(sum), [chunk, b, 0, 0]]
        })
        .collect();
    let answers = ask(context, &files, &[("PER_VECTOR", 0.0)], ANSWER, &questions)?;
    let expected = |&[[low, high, ..], [a, b, ..]]: &Question| {
        let sum = (u64::from(high) << 32 | u64::from(low)) as i64;
        let joined = sum.wrapping_add(i64::from(a as i32)).wrapping_add(i64::from(b as i32));
        let [joined_low, joined_high, ..] = words(joined);
        [joined_low, joined_high, (sum as f32).to_bits(), (joined as f32).to_bits()]
    };
    compare(&questions, &answers, expected, equal)
}

/// Each entry point reads all 16-bit patterns as one row of A or of B.
const LOAD_ONE: &str = "
    @group(0) @binding(7) var<storage, read_write> loaded: array<u32>;

    @compute @workgroup_size(64)
    fn from_a(@builtin(global_invocation_id) id: vec3<u32>) {
        loaded[id.x] = bitcast<u32>(load_a(0u, id.x));
    }

    @compute @workgroup_size(64)
    fn from_b(@builtin(global_invocation_id) id: vec3<u32>) {
        loaded[id.x] = bitcast<u32>(load_b(0u, id.x));
    }";

/// As [`LOAD_ONE`], four at a time.
const LOAD_FOUR: &str = "
    @group(0) @binding(7) var<storage, read_write> loaded: array<vec4<u32>>;

    @compute @workgroup_size(64)
    fn from_a(@builtin(global_invocation_id) id: vec3<u32>) {
        loaded[id.x] = bitcast<vec4<u32>>(load_a4(0u, 4u * id.x));
    }

    @compute @workgroup_size(64)
    fn from_b(@builtin(global_invocation_id) id: vec3<u32>) {
        loaded[id.x] = bitcast<vec4<u32>>(load_b4(0u, 4u * id.x));
    }";

/// All 65,536 patterns through the files that load them, one and four at a time.
fn load(
    context: &Context,
    [one, four]: [Source; 2],
    expected: impl Fn(u16) -> f32,
    flushes: bool,
) -> Result<(), Failed> {
    const PATTERNS: usize = 1 << 16;
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let from = context.buffer("patterns", 2 * PATTERNS as u64)?;
    context.upload(&from, bytemuck::cast_slice(&patterns))?;
    let extent = PATTERNS as f64;
    let constants =
        ["M", "N", "K", "LDA", "LDB", "LDC", "SEED", "TRIAL"].map(|name| (name, extent));
    for (file, text, each) in [(one, LOAD_ONE, 1), (four, LOAD_FOUR, 4)] {
        let main = Source { path: "load", text };
        let composed = compose(&[wgsl!("matmul/problem.wgsl"), file, main]);
        for (entry, binding) in [("from_a", 0), ("from_b", 1)] {
            let to = context.buffer("loaded", 4 * PATTERNS as u64)?;
            let pipeline = context.pipeline(&composed, entry, &constants)?;
            let workgroups = [(PATTERNS / each / 64) as u32, 1, 1];
            let bindings = [(binding, &from), (7, &to)];
            context.run(&[context.dispatch(&pipeline, &bindings, workgroups)?], 1)?;
            let loaded = read(context, &to, 4 * PATTERNS as u64)?.concat();
            for (&pattern, bits) in patterns.iter().zip(loaded) {
                let (got, expected) = (f32::from_bits(bits), expected(pattern));
                let flushed = flushes && expected.is_subnormal() && got == 0.0;
                let same = bits == expected.to_bits() || (got.is_nan() && expected.is_nan());
                if !same && !flushed {
                    let path = file.path;
                    return Err(format!(
                        "{path} {entry}: {pattern:04x} is {got:e}, not {expected:e}"
                    )
                    .into());
                }
            }
        }
    }
    Ok(())
}

fn load_f16_packed(context: &Context) -> Result<(), Failed> {
    let files = [wgsl!("number/f16_packed.wgsl"), wgsl!("number/f16_packed_x4.wgsl")];
    load_f16(context, files)
}

fn load_f16_native(context: &Context) -> Result<(), Failed> {
    let files = [wgsl!("number/f16_native.wgsl"), wgsl!("number/f16_native_x4.wgsl")];
    load_f16(context, files)
}

fn load_f16(context: &Context, files: [Source; 2]) -> Result<(), Failed> {
    let flush = context.fingerprint.arithmetic.flush_f16_subnormals;
    load(context, files, |pattern| round::f16_unpack(pattern, flush), false)
}

fn load_bf16(context: &Context) -> Result<(), Failed> {
    // Nothing is computed, so a device that flushes subnormals may or may not.
    let files = [wgsl!("number/bf16.wgsl"), wgsl!("number/bf16x4.wgsl")];
    load(context, files, round::bf16_unpack, context.fingerprint.arithmetic.flush_f32_subnormals)
}
