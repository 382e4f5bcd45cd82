// What the packing functions do: both f16 of the fourth word unpacked, then a and b packed.
// operands: one case an element, the bits of a, b, c, and of two packed f16.
// results: one case an element, the bits of the two f16 as f32, and of the packed pair.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = operands[id.x];
    let unpacked = bitcast<vec2<u32>>(unpack2x16float(x.w));
    results[id.x] = vec4<u32>(unpacked, pack2x16float(bitcast<vec2<f32>>(x.xy)), 0u);
}
