// The scale of symmetric int8: q = round(x · 127 / max|x|), so x is about q · max|x| / 127. A maximum
// under 2^-100 counts as 2^-100, which keeps the reciprocal in range; the error stays within a step.
// Mirror: src/mirror/convert.rs.
const INT8_LIMIT: i32 = 127;
const SMALLEST_MAXIMUM: f32 = 0x1p-100;
const ONE_127TH: f32 = 0.007874015718698502; // the f32 nearest to 1/127

// bits: of max|x|, as an integer maximum leaves them.
fn int8_step(bits: u32) -> f32 {
    return max(bitcast<f32>(bits), SMALLEST_MAXIMUM) * ONE_127TH;
}

fn int8_inverse_step(bits: u32) -> f32 {
    return 127.0 * reciprocal(max(bitcast<f32>(bits), SMALLEST_MAXIMUM));
}
