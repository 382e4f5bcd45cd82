// The scale of symmetric int8: q = round(x · 127 / max|x|), so x is about q · max|x| / 127. A maximum
// under 2^-100 counts as 2^-100, which keeps the reciprocal in range; the error stays within a step.
// One over 2^64 is scaled down by a power of two for it, and its reciprocal likewise: both exactly.
// Mirror: src/mirror/convert.rs.
const INT8_LIMIT: i32 = 127;
const SMALLEST_MAXIMUM: f32 = 0x1p-100;
const LARGE_MAXIMUM: f32 = 0x1p64;
const ONE_127TH: f32 = 0.007874015718698502; // the f32 nearest to 1/127

// bits: of max|x|, as an integer maximum leaves them.
fn int8_step(bits: u32) -> f32 {
    return max(bitcast<f32>(bits), SMALLEST_MAXIMUM) * ONE_127TH;
}

fn int8_inverse_step(bits: u32) -> f32 {
    let maximum = max(bitcast<f32>(bits), SMALLEST_MAXIMUM);
    let shrink = select(1.0, 1.0 / LARGE_MAXIMUM, maximum > LARGE_MAXIMUM);
    return (127.0 * reciprocal(maximum * shrink)) * shrink;
}
