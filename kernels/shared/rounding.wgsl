// Rounding in integer bits, so that no driver can remove or redo it.
// Mirror: src/number/round.rs, where the stochastic convention is stated and tested.

const SIGN_BIT: u32 = 0x80000000u;
const INFINITY_BITS: u32 = 0x7f800000u;
const F16_MIN_NORMAL: u32 = 0x38800000u; // 2^-14 as f32 bits
const F16_OVERFLOW: u32 = 0x47800000u; // 2^16 as f32 bits
const F16_SUBNORMAL_ULP: f32 = 0x1p-24;

// x rounded to the nearest f16, ties to even, as an f32.
fn f16_nearest(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let a = bits & ~SIGN_BIT;
    let normal = (a + 0xfffu + ((a >> 13u) & 1u)) & ~0x1fffu;
    let m = (a & 0x7fffffu) | 0x800000u;
    let t = f16_shift(a);
    let q = (m + ((1u << t) >> 1u) - 1u + ((m >> t) & 1u)) >> t;
    return f16_finish(bits, a, normal, q);
}

// x rounded to an f16 neighbour by the 16 low bits of `random`, as an f32.
fn f16_stochastic(x: f32, random: u32) -> f32 {
    let bits = bitcast<u32>(x);
    let a = bits & ~SIGN_BIT;
    let r = random & 0xffffu;
    let normal = (a & ~0x1fffu) + select(0u, 0x2000u, r < ((a & 0x1fffu) << 3u));
    let m = (a & 0x7fffffu) | 0x800000u;
    let t = f16_shift(a);
    let dropped = m & ((1u << t) - 1u);
    let distance = 126u - min(126u, a >> 23u);
    let fraction = (dropped << 2u) >> min(max(distance, 14u) - 14u, 31u);
    let q = (m >> t) + select(0u, 1u, r < fraction);
    return f16_finish(bits, a, normal, q);
}

// How far a significand lies right of the f16 unit 2^-24: 14 to 31, where 31 stands for all beyond.
fn f16_shift(a: u32) -> u32 {
    return clamp(126u - min(126u, a >> 23u), 14u, 31u);
}

fn f16_finish(bits: u32, a: u32, normal: u32, q: u32) -> f32 {
    let subnormal = bitcast<u32>(f32(q) * F16_SUBNORMAL_ULP);
    let finite = select(normal, subnormal, a < F16_MIN_NORMAL);
    let bounded = select(finite, INFINITY_BITS, finite >= F16_OVERFLOW);
    let magnitude = select(bounded, 0x7fc00000u, a > INFINITY_BITS);
    return bitcast<f32>((bits & SIGN_BIT) | magnitude);
}

// Bits of the f16 equal to x, which must be one (or NaN): a change of layout, no rounding.
fn f16_pack(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let a = bits & ~SIGN_BIT;
    let m = (a & 0x7fffffu) | 0x800000u;
    var magnitude = (a - 0x38000000u) >> 13u;
    magnitude = select(magnitude, m >> f16_shift(a), a < F16_MIN_NORMAL);
    magnitude = select(magnitude, 0x7c00u, a >= F16_OVERFLOW);
    magnitude = select(magnitude, 0x7e00u, a > INFINITY_BITS);
    return ((bits >> 16u) & 0x8000u) | magnitude;
}

// Bits of the bf16 nearest to x, ties to even.
fn bf16_nearest(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    let is_nan = (bits & ~SIGN_BIT) > INFINITY_BITS;
    return select(rounded, ((bits >> 16u) & 0x8000u) | 0x7fc0u, is_nan);
}

// Bits of a bf16 neighbour of x by the 16 low bits of `random`: the dropped 16 bits and 2^16 - 1 - random
// carry exactly where random is below them.
fn bf16_stochastic(x: f32, random: u32) -> u32 {
    let bits = bitcast<u32>(x);
    let rounded = (bits + (~random & 0xffffu)) >> 16u;
    let is_nan = (bits & ~SIGN_BIT) > INFINITY_BITS;
    return select(rounded, ((bits >> 16u) & 0x8000u) | 0x7fc0u, is_nan);
}

// x rounded to an integer of magnitude at most `limit`: beyond it saturates, NaN becomes 0.
fn integer_nearest(x: f32, limit: i32) -> i32 {
    let a = integer_magnitude(x, limit);
    let whole = floor(a);
    let fraction = a - whole;
    let down = i32(whole);
    let up = fraction > 0.5 || (fraction == 0.5 && (down & 1) == 1);
    return integer_finish(x, down + select(0, 1, up));
}

// The same, to a neighbour by the 16 low bits of `random`.
fn integer_stochastic(x: f32, random: u32, limit: i32) -> i32 {
    let a = integer_magnitude(x, limit);
    let whole = floor(a);
    let up = (random & 0xffffu) < u32((a - whole) * 65536.0);
    return integer_finish(x, i32(whole) + select(0, 1, up));
}

// |x|, at most `limit`; NaN by integer bits becomes 0.
fn integer_magnitude(x: f32, limit: i32) -> f32 {
    let a = bitcast<u32>(x) & ~SIGN_BIT;
    return min(bitcast<f32>(select(a, 0u, a > INFINITY_BITS)), f32(limit));
}

fn integer_finish(x: f32, magnitude: i32) -> i32 {
    return select(magnitude, -magnitude, (bitcast<u32>(x) & SIGN_BIT) != 0u);
}
