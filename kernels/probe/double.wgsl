// What the device's f64 fma does: src/gpu/error_free.rs chooses the operands and judges the results.
// operands: four numbers a case, of which fma takes the first three.
// results: one number a case of an fma of one number, then one of an fma of four.
@group(0) @binding(0) var<storage, read> operands: array<vec4<f64>>;
@group(0) @binding(1) var<storage, read_write> results: array<f64>;

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let count = arrayLength(&operands);
    if (id.x >= count) { return; }
    let x = operands[id.x];
    results[id.x] = fma(x.x, x.y, x.z);
    results[count + id.x] = fma(vec4<f64>(x.x), vec4<f64>(x.y), vec4<f64>(x.z)).y;
}
