// Work whose duration is known only to be proportional to how often it is dispatched: a linear
// congruential generator (Knuth, MMIX's low half) run for long in each invocation.
// state: 64 x 64 words, one an invocation, read and written.

@group(0) @binding(0) var<storage, read_write> state: array<u32>;

const STEPS: u32 = 1024u;

@compute @workgroup_size(64)
fn timing(@builtin(global_invocation_id) id: vec3<u32>) {
    var x = state[id.x] + id.x;
    for (var step = 0u; step < STEPS; step++) {
        x = x * 0x4c957f2du + 0xf767814fu;
    }
    state[id.x] = x;
}
