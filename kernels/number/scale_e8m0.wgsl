// The scale of a block as a power of two in 8 bits (E8M0 of OCP MX 1.0: exponent + 127), four a word.
// It is the largest power of two not over max|x|, divided by the largest one that an element holds,
// and at least 2^-100: so no scaled sum of a block is an f32 subnormal, which a device may flush.
// Mirror: src/number/block.rs.
const SCALES_WORD: u32 = 4u; // scales a 32-bit word
alias Scales4 = u32; // four neighbours
const LEAST_CODE: u32 = 27u; // of 2^-100

// What is stored; max_bits: of max|x|.
fn scale_stored(max_bits: u32) -> u32 {
    let field = max_bits >> 23u;
    return clamp(field - min(field, LARGEST_POWER), LEAST_CODE, 254u);
}

// By which numbers are multiplied to be rounded to elements.
fn scale_inverse(max_bits: u32) -> f32 {
    return bitcast<f32>((254u + IMPLIED - scale_stored(max_bits)) << 23u);
}

// The value of an element 1.
fn scale_step(stored: u32) -> f32 {
    return bitcast<f32>((stored - IMPLIED) << 23u);
}

fn scale_steps(stored: Scales4) -> vec4<f32> {
    let codes = (vec4<u32>(stored) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    return bitcast<vec4<f32>>((codes - vec4<u32>(IMPLIED)) << vec4<u32>(23u));
}
