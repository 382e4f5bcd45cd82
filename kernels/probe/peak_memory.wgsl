// Bandwidth of the device's memory: filling, reading and copying a large buffer, four words a load.
// Element i of invocation t is t·FIRST + i·NEXT: neighbours read neighbours (FIRST = 1), or each
// invocation a run of its own (NEXT = 1).
// source: read only. copied: as long as source, written. results: one element an invocation, the
// elements it read joined by exclusive or.

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> results: array<vec4<u32>>;

override WORKGROUP_SIZE: u32 = 64u;
override ELEMENTS: u32 = 16u;
override FIRST: u32 = 16u;
override NEXT: u32 = 1u;

// Irregular words, which a memory that compresses cannot shorten: Knuth's multiplicative hash.
fn word(i: u32) -> u32 {
    let x = i * 2654435761u;
    return (x ^ (x >> 15u)) * 2246822519u;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn filling(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var i = 0u; i < ELEMENTS; i++) {
        let at = id.x * FIRST + i * NEXT;
        copied[at] = vec4<u32>(word(4u * at), word(4u * at + 1u), word(4u * at + 2u), word(4u * at + 3u));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn reading(@builtin(global_invocation_id) id: vec3<u32>) {
    var all = vec4<u32>();
    for (var i = 0u; i < ELEMENTS; i++) {
        all ^= source[id.x * FIRST + i * NEXT];
    }
    results[id.x] = all;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn copying(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var i = 0u; i < ELEMENTS; i++) {
        let at = id.x * FIRST + i * NEXT;
        copied[at] = source[at];
    }
}
