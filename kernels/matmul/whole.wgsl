// A workgroup sums over all of k; its number in z is its product's.
struct Part {
    product: u32,
    first: u32, // of k
    last: u32, // past it
}

fn part_of(z: u32) -> Part {
    return Part(z % BATCH, 0u, K); // 0 where there is one product, as the compiler then knows
}
