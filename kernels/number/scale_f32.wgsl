// The scale of a block of int4 as an f32, a word each: q = round(x · 7 / max|x|), so x is about
// q · max|x| / 7. Small and large maxima are treated as those of int8 (int8_scale.wgsl).
// Mirror: src/mirror/convert/narrow.rs.
const SCALES_WORD: u32 = 1u; // scales a 32-bit word
alias Scales4 = vec4<u32>; // four neighbours
const SMALLEST_MAXIMUM: f32 = 0x1p-100;
const LARGE_MAXIMUM: f32 = 0x1p64;
const ONE_7TH: f32 = 0.14285714924335480; // the f32 nearest to 1/7

// What is stored; max_bits: of max|x|.
fn scale_stored(max_bits: u32) -> u32 {
    return bitcast<u32>(max(bitcast<f32>(max_bits), SMALLEST_MAXIMUM) * ONE_7TH);
}

// By which numbers are multiplied to be rounded to elements.
fn scale_inverse(max_bits: u32) -> f32 {
    let maximum = max(bitcast<f32>(max_bits), SMALLEST_MAXIMUM);
    let shrink = select(1.0, 1.0 / LARGE_MAXIMUM, maximum > LARGE_MAXIMUM);
    return (7.0 * reciprocal(maximum * shrink)) * shrink;
}

// The value of an element 1.
fn scale_step(stored: u32) -> f32 {
    return bitcast<f32>(stored);
}

fn scale_steps(stored: Scales4) -> vec4<f32> {
    return bitcast<vec4<f32>>(stored);
}
