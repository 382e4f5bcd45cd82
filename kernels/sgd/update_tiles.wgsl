// Third and last of the dispatches of a step whose minibatch is more than one tile: the sum over
// tiles, each share a lane, and the update.

@compute @workgroup_size(THREADS)
fn update_tiles(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = linear(workgroup, workgroups);
    if index >= OUTPUTS * places() {
        return;
    }
    let place = place_of(index, local);
    let count = (step.batch + BLOCK * TILE - 1u) / (BLOCK * TILE);
    var sums: Fours;
    for (var f = 0u; f < FOURS; f++) {
        let entry = place.output * GROUPS + min(place.group + f * COLUMNS, GROUPS - 1u);
        if place.share < count {
            sums[f] = tiles[place.share * (OUTPUTS * GROUPS) + entry];
        }
        for (var tile = place.share + LANES; tile < count; tile += LANES) {
            sums[f] += tiles[tile * (OUTPUTS * GROUPS) + entry];
        }
    }
    let joined = join_shares(sums, min(count, LANES), local);
    if place.share == 0u {
        apply_all(joined, place);
    }
}
