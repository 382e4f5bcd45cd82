// Exact sums of int8 products over any k, and their scaling to f32.
// 127 · 127 · 133,144 < 2^31: so many products fit an i32. Longer sums go in chunks, joined in 64 bits.
const CHUNK_WORDS: u32 = 33284u; // 4 · 33,284 <= 133,144, and whole vectors of 4 words

// What maxima are stored for the scales: bits of max|x|, one word a scale.
override PER_VECTOR: u32;
@group(0) @binding(3) var<storage, read> maxima_a: array<u32>;
@group(0) @binding(4) var<storage, read> maxima_b: array<u32>;

// A 64-bit two's complement sum: low word, high word.
fn join(sum: vec2<u32>, chunk: i32) -> vec2<u32> {
    let low = sum.x + u32(chunk);
    let carry = select(0u, 1u, low < sum.x);
    return vec2<u32>(low, sum.y + u32(chunk >> 31u) + carry);
}

// The f32 nearest to a 64-bit sum, ties to even.
fn nearest_f32(sum: vec2<u32>) -> f32 {
    let negative = (sum.y & 0x80000000u) != 0u;
    var low = sum.x;
    var high = sum.y;
    if (negative) {
        low = ~low + 1u;
        high = ~high + select(0u, 1u, low == 0u);
    }
    // Keep 24 bits and fold all that is dropped into a sticky bit below them, so that the one
    // conversion rounds rightly.
    var exponent = 0u;
    if (high != 0u) {
        let shift = 32u - countLeadingZeros(high) + 6u; // leaves 26 bits
        let kept = select((low >> shift) | (high << (32u - shift)), high >> (shift - 32u), shift >= 32u);
        let lost = select(
            low & ((1u << shift) - 1u),
            low | (high & ((1u << (shift - 32u)) - 1u)),
            shift >= 32u,
        );
        low = kept | select(0u, 1u, lost != 0u);
        exponent = shift;
    }
    let magnitude = f32(low) * bitcast<f32>((127u + exponent) << 23u);
    return select(magnitude, -magnitude, negative);
}

// i: a row of all products.
fn scaled(sum: f32, i: u32, j: u32) -> f32 {
    let column = i / M * N + j; // of all products
    return (sum * int8_step(maxima_a[i * PER_VECTOR])) * int8_step(maxima_b[column * PER_VECTOR]);
}
