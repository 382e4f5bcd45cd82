// Sums and products of f32 with their rounding errors, one or four at a time, as pair1.wgsl or pair4.wgsl
// beside it has them: hi is the rounded result, lo what the rounding left, exactly (round to nearest; no
// overflow; a product's lo also needs that no part of it underflows).
// zero: one word, which holds 0 when the kernel runs and is known to no compiler.
//
// A compiler may turn (a + b) - a into b and a·b + (a·c + d) into a·(b + c) + d, and lavapipe does. Each
// value that such a step would need to look through passes an exclusive or with the run-time zero.
// gpu/error_free.rs asks each device whether these very functions still return the errors.
// Mirror: src/mirror/matmul_wide/accumulate.rs.
@group(0) @binding(3) var<storage, read> zero: array<u32>;

fn opaque(x: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Bits>(x) ^ Bits(zero[0]));
}

// Knuth, The Art of Computer Programming 2, 4.2.2, theorem B.
fn two_sum(a: Floats, b: Floats) -> Pair {
    let sum = opaque(a + b);
    let of_b = opaque(sum - a);
    let of_a = opaque(sum - of_b);
    return Pair(sum, (a - of_a) + (b - of_b));
}

// The upper 12 of the 24 bits of a significand, so that products of halves are exact.
fn upper(x: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Bits>(x) & Bits(0xfffff000u));
}

// Dekker's product (Numerische Mathematik 18, 1971) of halves cut off in integer bits. The products of
// halves are exact, so a fused fma and an unfused one agree.
fn two_product(a: Floats, b: Floats) -> Pair {
    let product = opaque(a * b);
    let a_hi = upper(a);
    let b_hi = upper(b);
    let a_lo = a - a_hi;
    let b_lo = b - b_hi;
    let of_upper = opaque(fma(a_hi, b_hi, -product));
    let of_middle = opaque(fma(a_lo, b_hi, fma(a_hi, b_lo, of_upper)));
    return Pair(product, fma(a_lo, b_lo, of_middle));
}
