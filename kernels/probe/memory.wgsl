// What is left of an f32 that only passes through: loaded as f32 and kept in integer bits, written as
// f32 from integer bits, and moved as f32 all the way. A subnormal or a NaN may change on any of them.
// words, floats: the operands, one case an element, as bits and as f32 (one buffer in two bindings).
// results, written: the results, one case an element, likewise.

@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> floats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> written: array<vec4<f32>>;

@compute @workgroup_size(64)
fn load(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&floats)) { return; }
    results[id.x] = bitcast<vec4<u32>>(floats[id.x]);
}

@compute @workgroup_size(64)
fn store(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&words)) { return; }
    written[id.x] = bitcast<vec4<f32>>(words[id.x]);
}

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&floats)) { return; }
    written[id.x] = floats[id.x];
}
