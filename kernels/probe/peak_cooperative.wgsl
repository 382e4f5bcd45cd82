// Eight independent sums of products of tiles a subgroup, in the matrix units' registers, four
// products of each an iteration. The two left operands take turns: one the negative of the other
// keeps the sums small.
// operands: two left tiles and a right one, column-major.
// results: SLOTS × (subgroups of a workgroup) × 8 tiles, sums before and after, column-major.
// Workgroups share the slots; all of them write the same.
// subgroups: how many there are in a workgroup.

@group(0) @binding(0) var<storage, read> operands: array<Operand>;
@group(0) @binding(1) var<storage, read_write> results: array<Sum>;
@group(0) @binding(2) var<storage, read_write> subgroups: array<u32>;

override WORKGROUP_SIZE: u32 = 32u;
override ITERATIONS: u32 = 1u;

const TILE: u32 = EDGE * EDGE;
const SLOTS: u32 = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn peak(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) count: u32,
    @builtin(local_invocation_index) index: u32,
) {
    let left = coopLoad<Left>(&operands[0], EDGE);
    let other = coopLoad<Left>(&operands[TILE], EDGE);
    let right = coopLoad<Right>(&operands[2u * TILE], EDGE);
    let at = ((workgroup.x % SLOTS) * count + subgroup) * 8u * TILE;
    var s0 = coopLoad<Sums>(&results[at + 0u * TILE], EDGE);
    var s1 = coopLoad<Sums>(&results[at + 1u * TILE], EDGE);
    var s2 = coopLoad<Sums>(&results[at + 2u * TILE], EDGE);
    var s3 = coopLoad<Sums>(&results[at + 3u * TILE], EDGE);
    var s4 = coopLoad<Sums>(&results[at + 4u * TILE], EDGE);
    var s5 = coopLoad<Sums>(&results[at + 5u * TILE], EDGE);
    var s6 = coopLoad<Sums>(&results[at + 6u * TILE], EDGE);
    var s7 = coopLoad<Sums>(&results[at + 7u * TILE], EDGE);
    for (var i = 0u; i < ITERATIONS; i++) {
        s0 = coopMultiplyAdd(left, right, s0); s1 = coopMultiplyAdd(left, right, s1);
        s2 = coopMultiplyAdd(left, right, s2); s3 = coopMultiplyAdd(left, right, s3);
        s4 = coopMultiplyAdd(left, right, s4); s5 = coopMultiplyAdd(left, right, s5);
        s6 = coopMultiplyAdd(left, right, s6); s7 = coopMultiplyAdd(left, right, s7);
        s0 = coopMultiplyAdd(other, right, s0); s1 = coopMultiplyAdd(other, right, s1);
        s2 = coopMultiplyAdd(other, right, s2); s3 = coopMultiplyAdd(other, right, s3);
        s4 = coopMultiplyAdd(other, right, s4); s5 = coopMultiplyAdd(other, right, s5);
        s6 = coopMultiplyAdd(other, right, s6); s7 = coopMultiplyAdd(other, right, s7);
        s0 = coopMultiplyAdd(left, right, s0); s1 = coopMultiplyAdd(left, right, s1);
        s2 = coopMultiplyAdd(left, right, s2); s3 = coopMultiplyAdd(left, right, s3);
        s4 = coopMultiplyAdd(left, right, s4); s5 = coopMultiplyAdd(left, right, s5);
        s6 = coopMultiplyAdd(left, right, s6); s7 = coopMultiplyAdd(left, right, s7);
        s0 = coopMultiplyAdd(other, right, s0); s1 = coopMultiplyAdd(other, right, s1);
        s2 = coopMultiplyAdd(other, right, s2); s3 = coopMultiplyAdd(other, right, s3);
        s4 = coopMultiplyAdd(other, right, s4); s5 = coopMultiplyAdd(other, right, s5);
        s6 = coopMultiplyAdd(other, right, s6); s7 = coopMultiplyAdd(other, right, s7);
    }
    coopStore(s0, &results[at + 0u * TILE], EDGE);
    coopStore(s1, &results[at + 1u * TILE], EDGE);
    coopStore(s2, &results[at + 2u * TILE], EDGE);
    coopStore(s3, &results[at + 3u * TILE], EDGE);
    coopStore(s4, &results[at + 4u * TILE], EDGE);
    coopStore(s5, &results[at + 5u * TILE], EDGE);
    coopStore(s6, &results[at + 6u * TILE], EDGE);
    coopStore(s7, &results[at + 7u * TILE], EDGE);
    if (workgroup.x == 0u && index == 0u) {
        subgroups[0] = count;
    }
}
