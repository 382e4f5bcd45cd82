// Products of four packed bytes, signed and unsigned, added to a sum that may overflow.
// operands: one case an element: two words of four bytes, and the sum before.
// results: one case an element: the product-sum alone, and the sum after.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn of_signed(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = operands[id.x];
    let dot = dot4I8Packed(x.x, x.y);
    results[id.x] = bitcast<vec4<u32>>(vec4<i32>(dot, bitcast<i32>(x.z) + dot, 0, 0));
}

@compute @workgroup_size(64)
fn of_unsigned(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = operands[id.x];
    let dot = dot4U8Packed(x.x, x.y);
    results[id.x] = vec4<u32>(dot, x.z + dot, 0u, 0u);
}
