// Inner products of 8-bit rows with an 8-bit model, exact in 32-bit integers for d <= 133,144.

alias Partial = i32;

fn lane_dot(row: u32, output: u32, lane: u32) -> Partial {
    var sum = 0;
    for (var group = lane; group < GROUPS; group += LANES) {
        sum += dot4I8Packed(load_stored(row, group), model[output * GROUPS + group]);
    }
    return sum;
}
