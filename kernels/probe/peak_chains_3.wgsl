// 3 independent chains of steps in registers, eight steps of each an iteration: what a step is, is
// in the file that this one is joined with. An operation that takes t cycles and of which r start a
// cycle needs t·r chains to keep its unit busy.
// operands: STARTS first values, then the words of the factors.
// results: RESULTS elements; invocation t leaves the exclusive or of its chains' last values at
// t mod RESULTS.

@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<u32>>;

override WORKGROUP_SIZE: u32 = 64u;
override ITERATIONS: u32 = 1u;
override RESULTS: u32 = 1u;

const STARTS: u32 = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn peak(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = factors(operands[STARTS]);
    var x0 = start(operands[(id.x + 0u) % STARTS]);
    var x1 = start(operands[(id.x + 1u) % STARTS]);
    var x2 = start(operands[(id.x + 2u) % STARTS]);
    for (var i = 0u; i < ITERATIONS; i++) {
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
        x0 = step(x0, f); x1 = step(x1, f); x2 = step(x2, f);
    }
    results[id.x % RESULTS] = bits(x0) ^ bits(x1) ^ bits(x2);
}
