// Split-K: k is cut into SLICES slices, each a multiple of 32 long but for the last ones, and SLICES
// workgroups in z share a product. Each leaves the sums of its slice; sum_slices.wgsl adds them up.
// Parameter: SLICES, a power of two.
// Mirror: `slice` in src/mirror/matmul.rs.
struct Part {
    product: u32,
    first: u32, // of k
    last: u32, // past it
}

fn part_of(z: u32) -> Part {
    let length = (K + 32u * SLICES - 1u) / (32u * SLICES) * 32u;
    let first = min(z % SLICES * length, K);
    return Part(z / SLICES, first, min(first + length, K));
}
