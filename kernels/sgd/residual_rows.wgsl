// Residuals of the rows of a minibatch, from the model and the data.
//
// LANES lanes share a row. Each sums its part (dot_*.wgsl); the sixteen partial sums p are joined
// as ((p0+p1)+(p2+p3)) + ((p4+p5)+(p6+p7)) and so on. A workgroup holds THREADS / LANES such rows,
// so that one barrier serves several.

@group(0) @binding(2) var<storage, read> targets: array<f32>; // n x OUTPUTS

var<workgroup> partial_sums: array<Partial, THREADS>;

fn sum_of_four(first: u32) -> Partial {
    return (partial_sums[first] + partial_sums[first + 1u])
        + (partial_sums[first + 2u] + partial_sums[first + 3u]);
}

// Items first ... first + THREADS / LANES - 1 of batch x OUTPUTS, by a whole workgroup.
fn residual_rows(first: u32, local: u32) {
    let item = first + local / LANES;
    let lane = local % LANES;
    let inside = item < step.batch * OUTPUTS;
    let output = item % OUTPUTS;
    var row = 0u;
    if inside {
        row = row_at(item / OUTPUTS);
        partial_sums[local] = lane_dot(row, output, lane);
    }
    workgroupBarrier();
    if inside && lane == 0u {
        let product = (sum_of_four(local) + sum_of_four(local + 4u))
            + (sum_of_four(local + 8u) + sum_of_four(local + 12u));
        residuals[item] = residual_of(f32(product), step.scale, targets[row * OUTPUTS + output]);
    }
}
