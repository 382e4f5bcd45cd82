// How a workgroup sums gradients: COLUMNS x SHARES threads. A thread has FOURS groups of an output,
// COLUMNS apart so that neighbours read neighbours, and one share of what is summed there; a
// workgroup's threads of a column join their shares in order.

override COLUMNS: u32; // THREADS / SHARES
override SHARES: u32; // a power of two up to 16
override FOURS: u32; // 1 to 4: what one read of a row's index and residual serves

alias Fours = array<vec4<f32>, 4>; // FOURS of them in use

// The first group of a workgroup, and its output: workgroups go through an output, then the next.
struct Place {
    output: u32,
    group: u32, // of the thread: its others are COLUMNS further each
    share: u32,
}

// Workgroups that an output takes.
fn places() -> u32 {
    return (GROUPS + COLUMNS * FOURS - 1u) / (COLUMNS * FOURS);
}

fn place_of(index: u32, local: u32) -> Place {
    let output = index / places();
    let first = (index - output * places()) * (COLUMNS * FOURS);
    return Place(output, first + local % COLUMNS, local / COLUMNS);
}

var<workgroup> shares: array<vec4<f32>, THREADS>;

// Sum over the first `count` shares of each of a thread's groups, for the threads of share 0. All
// threads of a workgroup call it; those of shares beyond `count` bring what is not read.
fn join_shares(own: Fours, count: u32, local: u32) -> Fours {
    var sums = own;
    if SHARES == 1u {
        return sums;
    }
    for (var f = 0u; f < FOURS; f++) {
        workgroupBarrier();
        shares[local] = sums[f];
        workgroupBarrier();
        if local < COLUMNS {
            var sum = sums[f];
            for (var share = 1u; share < count; share++) {
                sum += shares[share * COLUMNS + local];
            }
            sums[f] = sum;
        }
    }
    return sums;
}
