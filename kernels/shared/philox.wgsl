// Philox4x32-10: 128 random bits from a counter and a key.
// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// Mirror: src/number/philox.rs.

// High 32 bits of a 32x32-bit product, from 16-bit halves (WGSL has no 64-bit multiply).
fn mul_high(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let mid = ah * bl + (low >> 16u);
    let cross = al * bh + (mid & 0xffffu);
    return ah * bh + (mid >> 16u) + (cross >> 16u);
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let high0 = mul_high(0xd2511f53u, c.x);
        let low0 = 0xd2511f53u * c.x;
        let high1 = mul_high(0xcd9e8d57u, c.z);
        let low1 = 0xcd9e8d57u * c.z;
        c = vec4<u32>(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// Half-word `index` mod 8 of four words, the low half first: 16 random bits.
fn half_word(words: vec4<u32>, index: u32) -> u32 {
    let word = words[(index >> 1u) & 3u];
    return (word >> (16u * (index & 1u))) & 0xffffu;
}
