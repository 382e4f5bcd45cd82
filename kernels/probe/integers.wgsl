// Conversions between f32 and the 32-bit integers.
// operands: one case an element, the bits of the operand in its first word.
// results: one case an element, the bits of the result in its first word.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn to_i32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    results[id.x] = vec4<u32>(bitcast<u32>(i32(bitcast<f32>(operands[id.x].x))), 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn to_u32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    results[id.x] = vec4<u32>(u32(bitcast<f32>(operands[id.x].x)), 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn from_i32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    results[id.x] = vec4<u32>(bitcast<u32>(f32(bitcast<i32>(operands[id.x].x))), 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn from_u32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    results[id.x] = vec4<u32>(bitcast<u32>(f32(operands[id.x].x)), 0u, 0u, 0u);
}
