// The random bits of one stochastic rounding: the ROUNDING_BITS leading ones of half-word `index` mod 8,
// followed by ones. So a magnitude goes up exactly where they, as an integer, are below as many leading
// bits of the dropped fraction: what lies further behind in the fraction is as good as cut off.
// Mirror: `leading_bits` in src/number/round.rs.
override ROUNDING_BITS: u32; // 1 to 16

fn rounding_bits(words: vec4<u32>, index: u32) -> u32 {
    return half_word(words, index) | (0xffffu >> ROUNDING_BITS);
}
