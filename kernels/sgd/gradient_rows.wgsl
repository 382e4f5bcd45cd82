// Sums over rows of a minibatch of residual times data.

// Over positions first ... end - 1 of the minibatch, in order, for a thread's groups.
fn sum_rows(first: u32, end: u32, place: Place) -> Fours {
    var sums: Fours;
    for (var p = first; p < end; p++) {
        let residual = vec4<f32>(residuals[p * OUTPUTS + place.output]);
        let row = row_at(p);
        for (var f = 0u; f < FOURS; f++) {
            // A group beyond the last is read as the last, and its sum is not used.
            let group = min(place.group + f * COLUMNS, GROUPS - 1u);
            sums[f] = fma(residual, load_x4(row, group), sums[f]);
        }
    }
    return sums;
}

// Over the tile that starts at position `first`: each share is a block. The sums are those of the
// threads of share 0.
fn sum_tile(first: u32, place: Place, local: u32) -> Fours {
    let end = min(first + BLOCK * TILE, step.batch);
    let block = first + place.share * BLOCK;
    let own = sum_rows(block, min(block + BLOCK, end), place);
    return join_shares(own, (end - first + BLOCK - 1u) / BLOCK, local);
}
