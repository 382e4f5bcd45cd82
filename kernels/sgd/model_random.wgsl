// The random bits by which the model is rounded stochastically.
// Needs shared/philox.wgsl, shared/streams.wgsl and shared/rounding_bits.wgsl.

// For each coordinate of `group` its ROUNDING_BITS bits, followed by ones. One Philox block serves eight
// coordinates: counter (coordinate / 8, output, step, stream), half-word coordinate mod 8.
fn model_random(output: u32, group: u32) -> vec4<u32> {
    let counter = vec4<u32>(group >> 1u, output, step.step + advance, STREAM_MODEL);
    let words = philox4x32(counter, vec2<u32>(step.seed, step.trial));
    // Twice the half whose half-words are those of `group`, so that no index depends on it.
    let half = select(words.xy, words.zw, (group & 1u) == 1u).xyxy;
    return vec4<u32>(
        rounding_bits(half, 0u),
        rounding_bits(half, 1u),
        rounding_bits(half, 2u),
        rounding_bits(half, 3u),
    );
}
