// 8-bit floating point of the Open Compute Project (OFP8, 2023), in integer bits: a code to f32, and
// f32 to the code nearest to it or to a neighbour's. What exceeds the largest finite number becomes
// that number, infinity too; NaN stays NaN.
// The format's constants are in a file of their own. Mirror: src/number/fp8.rs.

const FP8_LEAST: u32 = 128u - FP8_BIAS; // exponent field, in f32, of the smallest normal number
const FP8_F32_INFINITY: u32 = 0x7f800000u;

// The number of the code in the low byte.
fn fp8_decode(code: u32) -> f32 {
    let a = code & 0x7fu;
    let unit = bitcast<f32>((FP8_LEAST - FP8_FRACTION) << 23u);
    let subnormal = bitcast<u32>(f32(a) * unit);
    let normal = (a << (23u - FP8_FRACTION)) + ((127u - FP8_BIAS) << 23u);
    let finite = select(normal, subnormal, a < (1u << FP8_FRACTION));
    let beyond = select(0x7fc00000u, FP8_F32_INFINITY, FP8_FRACTION == 2u && a == 0x7cu);
    return bitcast<f32>(((code & 0x80u) << 24u) | select(finite, beyond, a > FP8_LARGEST));
}

// The numbers of the four bytes of a word, the lowest first.
fn fp8_decode4(word: u32) -> vec4<f32> {
    return vec4<f32>(
        fp8_decode(word),
        fp8_decode(word >> 8u),
        fp8_decode(word >> 16u),
        fp8_decode(word >> 24u),
    );
}

fn fp8_nearest(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let a = bits & 0x7fffffffu;
    let m = (a & 0x7fffffu) | 0x800000u;
    let t = min(fp8_distance(a), 31u);
    return fp8_finish(bits, a, (m + ((1u << t) >> 1u) - 1u + ((m >> t) & 1u)) >> t);
}

// By the 16 low bits of `random`.
fn fp8_stochastic(x: f32, random: u32) -> u32 {
    let bits = bitcast<u32>(x);
    let a = bits & 0x7fffffffu;
    let m = (a & 0x7fffffu) | 0x800000u;
    let distance = fp8_distance(a);
    let t = min(distance, 31u);
    let fraction = (m & ((1u << t) - 1u)) >> min(distance - 16u, 31u);
    return fp8_finish(bits, a, (m >> t) + select(0u, 1u, (random & 0xffffu) < fraction));
}

// How far the unit of a significand lies right of the format's there.
fn fp8_distance(a: u32) -> u32 {
    return 23u - FP8_FRACTION + FP8_LEAST - min(FP8_LEAST, a >> 23u);
}

// `q` units of the binade of `a`, saturated, with the sign of `bits`.
fn fp8_finish(bits: u32, a: u32, q: u32) -> u32 {
    let binades = max(a >> 23u, FP8_LEAST) - FP8_LEAST;
    let finite = min((binades << FP8_FRACTION) + q, FP8_LARGEST);
    return ((bits >> 24u) & 0x80u) | select(finite, 0x7fu, a > FP8_F32_INFINITY);
}
