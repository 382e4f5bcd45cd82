// The sum of f32 with what its rounding left, four at a time, as in shared/error_free.wgsl: but a kernel of SGD
// has no binding left for the zero of that, and takes one from the record of its step.
// gpu/error_free.rs asks each device whether these very functions still return the errors.
// Needs shape.wgsl and shared/pair4.wgsl. Mirror: `two_sum` in src/number/arithmetic.rs.

// Passes x through an exclusive or with a zero that no compiler knows (half_bits is at most 16), so
// that none turns (a + b) - a into b.
fn opaque4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(step.half_bits >> 5u));
}

// Knuth, The Art of Computer Programming 2, 4.2.2, theorem B.
fn two_sum4(a: vec4<f32>, b: vec4<f32>) -> Pair4 {
    let sum = opaque4(a + b);
    let of_b = opaque4(sum - a);
    let of_a = opaque4(sum - of_b);
    return Pair4(sum, (a - of_a) + (b - of_b));
}
