// What the device's own f16 arithmetic does (SHADER_F16): conversion, memory, sum, product, fma.
// words: one case an element, the bits of an f32 in the first word (`narrow` alone).
// halves: two elements a case: a and b are the first and third of the first, c the first of the second.
// results: one case an element, the bits of an f32 in the first word (`load` alone).
// written: two elements a case, the result first.

enable f16;

@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> halves: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> written: array<vec4<f16>>;

fn answer(at: u32, value: f16) {
    written[2u * at] = vec4<f16>(value, 0.0h, 0.0h, 0.0h);
}

@compute @workgroup_size(64)
fn narrow(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&words)) { return; }
    answer(id.x, f16(bitcast<f32>(words[id.x].x)));
}

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves) / 2u) { return; }
    let x = halves[2u * id.x];
    answer(id.x, x.x + x.z);
}

@compute @workgroup_size(64)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves) / 2u) { return; }
    let x = halves[2u * id.x];
    answer(id.x, x.x * x.z);
}

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves) / 2u) { return; }
    let x = halves[2u * id.x];
    answer(id.x, fma(x.x, x.z, halves[2u * id.x + 1u].x));
}

// Widened, which is exact but for what is flushed.
@compute @workgroup_size(64)
fn load(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves) / 2u) { return; }
    results[id.x] = vec4<u32>(bitcast<u32>(f32(halves[2u * id.x].x)), 0u, 0u, 0u);
}

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves) / 2u) { return; }
    answer(id.x, halves[2u * id.x].x);
}
