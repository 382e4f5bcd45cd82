// What is left of an f16 subnormal where the device loads f16 itself (SHADER_F16).
// halves: four f16 an element. results: the bits of each as f32.

enable f16;

@group(0) @binding(0) var<storage, read> halves: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(64)
fn widen(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&halves)) { return; }
    results[id.x] = bitcast<vec4<u32>>(vec4<f32>(halves[id.x]));
}
