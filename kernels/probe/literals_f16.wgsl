// The conversions to and from f16 on literals, as literals.wgsl has the arithmetic.
// operands: one element a case, the operand in its first word.
// results: one element a case; src/fingerprint/literals.rs names them.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

fn answer(at: u32, word: u32) {
    results[at] = vec4<u32>(word, 0u, 0u, 0u);
}

@compute @workgroup_size(1)
fn written() {
    answer(0u, bitcast<u32>(unpack2x16float(0x0001u).x));
    answer(1u, pack2x16float(vec2<f32>(0x1.002p+0f, 0.0f)));
    answer(2u, pack2x16float(vec2<f32>(0x1.8p-24f, 0.0f)));
    answer(3u, bitcast<u32>(quantizeToF16(0x1.8p-24f)));
    answer(4u, bitcast<u32>(quantizeToF16(0x1.002p+0f)));
}

@compute @workgroup_size(1)
fn assigned() {
    var word = 0x0001u;
    var tie = 0x1.002p+0f;
    var tiny = 0x1.8p-24f;
    answer(0u, bitcast<u32>(unpack2x16float(word).x));
    answer(1u, pack2x16float(vec2<f32>(tie, 0.0f)));
    answer(2u, pack2x16float(vec2<f32>(tiny, 0.0f)));
    answer(3u, bitcast<u32>(quantizeToF16(tiny)));
    answer(4u, bitcast<u32>(quantizeToF16(tie)));
}

@compute @workgroup_size(1)
fn loaded() {
    let tie = bitcast<f32>(operands[1].x);
    let tiny = bitcast<f32>(operands[2].x);
    answer(0u, bitcast<u32>(unpack2x16float(operands[0].x).x));
    answer(1u, pack2x16float(vec2<f32>(tie, 0.0f)));
    answer(2u, pack2x16float(vec2<f32>(tiny, 0.0f)));
    answer(3u, bitcast<u32>(quantizeToF16(bitcast<f32>(operands[3].x))));
    answer(4u, bitcast<u32>(quantizeToF16(bitcast<f32>(operands[4].x))));
}
