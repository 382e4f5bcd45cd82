// Sums of f32 with their rounding errors, one or four at a time, as pair1.wgsl or pair4.wgsl beside it has
// them: hi is the rounded result, lo what the rounding left, exactly (round to nearest; no overflow).
// Knuth, The Art of Computer Programming 2, 4.2.2, theorem B. `opaque` is of a zero.wgsl beside it.
// gpu/error_free.rs asks each device whether this very function still returns the errors.
// Mirror: `two_sum` in src/number/arithmetic.rs.
fn two_sum(a: Floats, b: Floats) -> Pair {
    let sum = opaque(a + b);
    let of_b = opaque(sum - a);
    let of_a = opaque(sum - of_b);
    return Pair(sum, (a - of_a) + (b - of_b));
}
