// 1/x for 2^-100 <= x <= 2^100, by Newton's iteration from an integer-bit first guess: a division is
// accurate to some ULP in each driver's own way, a chain of fma can be followed bit for bit.
// The guess is within 13 % [magic constant: the exponent's negation, fitted]; each step squares that.
// Mirror: src/mirror/reciprocal.rs, where the error is measured.
fn reciprocal(x: f32) -> f32 {
    var r = bitcast<f32>(0x7ef311c7u - bitcast<u32>(x));
    for (var step = 0u; step < 4u; step++) {
        let e = fma(-x, r, 1.0);
        r = fma(r, e, r);
    }
    return r;
}
