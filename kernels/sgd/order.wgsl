// The epoch's order of the rows, as shuffle.wgsl wrote it: n.
@group(0) @binding(1) var<storage, read> order: array<u32>;

// Row of the data set at position `p` of the minibatch.
fn row_at(p: u32) -> u32 {
    return order[step.start + advance * step.batch + p];
}
