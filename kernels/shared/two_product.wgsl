// Products of f32 with their rounding errors, one or four at a time, as pair1.wgsl or pair4.wgsl beside it
// has them: hi is the rounded result, lo what the rounding left, exactly (round to nearest; no overflow, and
// no part of the product underflows).
// Dekker's product (Numerische Mathematik 18, 1971) of halves cut off in integer bits. The products of
// halves are exact, so a fused fma and an unfused one agree. `opaque` is of a zero.wgsl beside it.
// gpu/error_free.rs asks each device whether this very function still returns the errors.
// Mirror: src/mirror/matmul_wide/accumulate.rs.

// The upper 12 of the 24 bits of a significand, so that products of halves are exact.
fn upper(x: Floats) -> Floats {
    return bitcast<Floats>(bitcast<Bits>(x) & Bits(0xfffff000u));
}

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
