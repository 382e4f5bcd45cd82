// A permutation of 0..n for each epoch, computed entry by entry: minibatches without replacement.
//
// A Feistel network over the smallest even power of two that holds n, with Philox as its round
// function; results beyond n go through it again until they fall inside (cycle walking).
// Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.

@group(0) @binding(1) var<storage, read_write> order: array<u32>; // n

const FEISTEL_ROUNDS: u32 = 6u;

fn feistel(x: u32) -> u32 {
    let mask = (1u << step.half_bits) - 1u;
    var left = x >> step.half_bits;
    var right = x & mask;
    for (var round = 0u; round < FEISTEL_ROUNDS; round++) {
        let counter = vec4<u32>(right, round, step.epoch, STREAM_SHUFFLE);
        let mixed = left ^ (philox4x32(counter, vec2<u32>(step.seed, step.trial)).x & mask);
        left = right;
        right = mixed;
    }
    return (left << step.half_bits) | right;
}

@compute @workgroup_size(64)
fn shuffle(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let position = linear(workgroup, workgroups) * 64u + lane;
    if position >= step.rows {
        return;
    }
    var row = feistel(position);
    while row >= step.rows {
        row = feistel(row);
    }
    order[position] = row;
}
