// What the device's f32 arithmetic does: src/gpu/fingerprint.rs chooses the operands, so that
// nothing is a constant here, and judges the results. One entry point an operation, so that no
// operation is compiled together with another.
// operands: one case an element, the bits of a, b and c.
// results: one case an element, bits.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

// a·b + c by fma(): as scalars, and as a component of vectors.
@compute @workgroup_size(64)
fn multiply_add_explicit(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let v = fma(x.xxyy, x.yyxx, x.zzzz);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(fma(x.x, x.y, x.z), v.x, v.w, 0.0));
}

// a·b + c by two operators.
@compute @workgroup_size(64)
fn multiply_add_operators(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(x.x * x.y + x.z, 0.0, 0.0, 0.0));
}

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(x.x + x.y, 0.0, 0.0, 0.0));
}

@compute @workgroup_size(64)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(x.x * x.y, 0.0, 0.0, 0.0));
}

// The error of a + b by Knuth's TwoSum, which an optimiser that reassociates turns into 0.
@compute @workgroup_size(64)
fn two_sum(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&operands)) { return; }
    let x = bitcast<vec4<f32>>(operands[id.x]);
    let sum = x.x + x.y;
    let b = sum - x.x;
    let error = (x.x - (sum - b)) + (x.y - b);
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(error, 0.0, 0.0, 0.0));
}
