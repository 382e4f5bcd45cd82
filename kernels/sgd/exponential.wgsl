// exp(-a) for 0 <= a <= 80: a = k ln 2 - t with k whole, exp(-a) = 2^-k exp t by a polynomial (the
// coefficients of Cephes' expf, Moshier).
// Made of fma, additions, multiplications and integer operations alone, so that a mirror can
// follow. k times the leading 9 bits of ln 2 is formed as an integer: two products of k with
// constants could be joined by a compiler into one, and the reduction would lose its accuracy.

const LOG2_E: f32 = 1.442695040888963407;
const LN2_HIGH_512: i32 = 355; // 355 / 512 = 0.693359375
const LN2_LOW: f32 = -2.12194440e-4; // ln 2 - 355 / 512

fn exp_negative(a: f32) -> f32 {
    let k = floor(fma(a, LOG2_E, 0.5));
    let high = fma(f32(i32(k) * LN2_HIGH_512), 0.001953125, -a);
    let t = fma(k, LN2_LOW, high);
    var p = fma(1.9875691500e-4, t, 1.3981999507e-3);
    p = fma(p, t, 8.3334519073e-3);
    p = fma(p, t, 4.1665795894e-2);
    p = fma(p, t, 1.6666665459e-1);
    p = fma(p, t, 5.0000001201e-1);
    p = fma(p, t, 1.0);
    p = fma(p, t, 1.0);
    return bitcast<f32>(bitcast<u32>(p) - (u32(k) << 23u));
}
