// Four f32 to four triples of bf16, x = x0 + x1 + x2, each the nearest to what those before it leave,
// in three planes one behind the other, two numbers a 32-bit word (the lower half first). The three
// hold 24 bits, all that x has, but where the last is below what bf16 has.
@group(0) @binding(1) var<storage, read_write> target_words: array<vec2<u32>>;

fn keep4(index: u32, parts: vec4<u32>) {
    target_words[index] = vec2<u32>(parts.x | (parts.y << 16u), parts.z | (parts.w << 16u));
}

fn bf16_nearest4(x: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(bf16_nearest(x.x), bf16_nearest(x.y), bf16_nearest(x.z), bf16_nearest(x.w));
}

fn convert_to(index: u32, x: vec4<f32>) {
    var left = x;
    for (var part = 0u; part < 3u; part++) {
        let bits = bf16_nearest4(left);
        keep4(index + part * COUNT, bits);
        left -= bitcast<vec4<f32>>(bits << vec4<u32>(16u));
    }
}
