// Gradient and update of a minibatch of one tile, for the groups of place `index`, by a whole
// workgroup.

fn update_rows(index: u32, local: u32) {
    let place = place_of(index, local);
    let sums = sum_tile(0u, place, local);
    if place.share == 0u {
        apply_all(sums, place);
    }
}
