// Second of the dispatches of a step whose minibatch is more than one tile: their partial gradients.

@compute @workgroup_size(THREADS)
fn gradient(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = linear(workgroup, workgroups);
    let tile = index / (OUTPUTS * places());
    let first = tile * (BLOCK * TILE);
    if first >= step.batch {
        return;
    }
    let place = place_of(index - tile * (OUTPUTS * places()), local);
    var sums = sum_tile(first, place, local);
    if place.share == 0u {
        for (var f = 0u; f < FOURS; f++) {
            let group = place.group + f * COLUMNS;
            if group < GROUPS {
                tiles[(tile * OUTPUTS + place.output) * GROUPS + group] = sums[f];
            }
        }
    }
}
