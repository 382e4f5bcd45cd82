// Conversions of f32 to f16 that need no f16 type: to packed bits, and to an f16 value held as f32.
// operands: one case an element, the bits of an f32 in its first word.
// results: one case an element: the f16's bits, or the bits of the f32 that was rounded to f16.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<f32>(operands[id.x].x);
    results[id.x] = vec4<u32>(pack2x16float(vec2<f32>(x, x)) & 0xffffu, 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn quantize(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = quantizeToF16(bitcast<f32>(operands[id.x].x));
    results[id.x] = vec4<u32>(bitcast<u32>(x), 0u, 0u, 0u);
}
