// The update of all groups of a thread, by the `apply` of apply.wgsl or of a file in its place.
fn apply_all(gradient: Fours, place: Place) {
    var sums = gradient;
    for (var f = 0u; f < FOURS; f++) {
        let group = place.group + f * COLUMNS;
        if group < GROUPS {
            apply(place.output, group, sums[f]);
        }
    }
}
