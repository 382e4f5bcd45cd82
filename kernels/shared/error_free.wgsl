// Sums and products of f32 with their rounding errors, four at a time: hi is the rounded result, lo
// what the rounding left, exactly (round to nearest; no overflow; a product's lo also needs that no
// part of it underflows).
// zero: one word, which holds 0 when the kernel runs and is known to no compiler.
//
// A compiler may turn (a + b) - a into b and a·b + (a·c + d) into a·(b + c) + d, and lavapipe does. Each
// value that such a step would need to look through passes an exclusive or with the run-time zero.
// gpu/error_free.rs asks each device whether these very functions still return the errors.
// Mirror: src/mirror/matmul_wide.rs.
@group(0) @binding(3) var<storage, read> zero: array<u32>;

fn opaque4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(zero[0]));
}

// Knuth, The Art of Computer Programming 2, 4.2.2, theorem B.
fn two_sum4(a: vec4<f32>, b: vec4<f32>) -> Pair4 {
    let sum = opaque4(a + b);
    let of_b = opaque4(sum - a);
    let of_a = opaque4(sum - of_b);
    return Pair4(sum, (a - of_a) + (b - of_b));
}

// The upper 12 of the 24 bits of a significand, so that products of halves are exact.
fn upper4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) & vec4<u32>(0xfffff000u));
}

// Dekker's product (Numerische Mathematik 18, 1971) of halves cut off in integer bits. The products of
// halves are exact, so a fused fma and an unfused one agree.
fn two_product4(a: vec4<f32>, b: vec4<f32>) -> Pair4 {
    let product = opaque4(a * b);
    let a_hi = upper4(a);
    let b_hi = upper4(b);
    let a_lo = a - a_hi;
    let b_lo = b - b_hi;
    let upper = opaque4(fma(a_hi, b_hi, -product));
    let middle = opaque4(fma(a_lo, b_hi, fma(a_hi, b_lo, upper)));
    return Pair4(product, fma(a_lo, b_lo, middle));
}
