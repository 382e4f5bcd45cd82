//! Philox4x32-10 as the kernels use it: random bits addressed by what they round.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use super::lanes::{LANES, Lanes};

/// What a counter's last word says the bits are for, so that no two uses share any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Rounding of a matmul accumulator: counter (i, j, ⌊q/8⌋, stream).
    Accumulate = 0,
    /// Rounding of operand A on conversion: counter (row, ⌊column/8⌋, 0, stream).
    ConvertA = 1,
    /// Rounding of operand B on conversion: counter (row, ⌊column/8⌋, 0, stream).
    ConvertB = 2,
    /// Rounding of an SGD model's update: counter (⌊coordinate/8⌋, output, step, stream).
    Model = 3,
    /// Round function of the minibatch permutation: counter (half, round, epoch, stream).
    Shuffle = 4,
}

const M0: u32 = 0xd251_1f53;
const M1: u32 = 0xcd9e_8d57;
const W0: u32 = 0x9e37_79b9;
const W1: u32 = 0xbb67_ae85;

const ROUNDS: u32 = 10;

/// The 128 random bits at `counter` under `key`. Written here rather than taken from
/// `rand_philox` so that a mirror's loop over counters vectorises; a test compares the two.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(M0) * u64::from(c0);
        let p1 = u64::from(M1) * u64::from(c2);
        (c0, c1, c2, c3) =
            ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
    }
    [c0, c1, c2, c3]
}

/// [`philox4x32`] at the counters (c₀ + lane, c₁, c₂, c₃), word by word: `[w][lane]`.
#[inline(always)]
pub fn along_first<L: Lanes>(lanes: L, counter: [u32; 4], key: [u32; 2]) -> [L::Bits; 4] {
    let [c0, rest @ ..] = counter;
    let even = first_varies(lanes, neighbours(lanes, c0, 0), rest, 0, key);
    let odd = first_varies(lanes, neighbours(lanes, c0, 1), rest, 0, key);
    join(lanes, even, odd)
}

/// [`philox4x32`] at the counters (c₀, c₁ + lane, c₂, c₃), word by word: `[w][lane]`.
#[inline(always)]
pub fn along_second<L: Lanes>(lanes: L, counter: [u32; 4], key: [u32; 2]) -> [L::Bits; 4] {
    let [c0, c1, c2, c3] = counter;
    // The first round leaves the lanes different in the first word alone.
    let [k0, k1] = round_key(key, 0);
    let ([low0, high0], [low1, high1]) = (product(M0, c0), product(M1, c2));
    let rest = [low1, high0 ^ c3 ^ k1, low0];
    let mask = lanes.splat(high1 ^ k0);
    let first_even = lanes.xor(neighbours(lanes, c1, 0), mask);
    let first_odd = lanes.xor(neighbours(lanes, c1, 1), mask);
    let even = first_varies(lanes, first_even, rest, 1, key);
    let odd = first_varies(lanes, first_odd, rest, 1, key);
    join(lanes, even, odd)
}

/// `first` + lane in the even lanes, or `first` + lane + 1, so that a vector of pairs has the odd
/// ones in their place. Here and below the odd lanes hold nothing.
#[inline(always)]
fn neighbours<L: Lanes>(lanes: L, first: u32, odd: u32) -> L::Bits {
    const LANE: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    lanes.add(lanes.load(&LANE), lanes.splat(first.wrapping_add(odd)))
}

#[inline(always)]
fn join<L: Lanes>(lanes: L, even: [L::Bits; 4], odd: [L::Bits; 4]) -> [L::Bits; 4] {
    [
        lanes.join_low_halves(even[0], odd[0]),
        lanes.join_low_halves(even[1], odd[1]),
        lanes.join_low_halves(even[2], odd[2]),
        lanes.join_low_halves(even[3], odd[3]),
    ]
}

/// The rounds from `round` on, where the lanes differ in the first word alone. Two rounds later
/// they differ in all; until then what is the same in all lanes is computed once.
#[inline(always)]
fn first_varies<L: Lanes>(
    lanes: L,
    c0: L::Bits,
    [c1, c2, c3]: [u32; 3],
    round: u32,
    key: [u32; 2],
) -> [L::Bits; 4] {
    let (m0, m1) = (lanes.splat(M0), lanes.splat(M1));
    let [k0, k1] = round_key(key, round);
    let p0 = lanes.multiply_low_halves(m0, c0);
    let [low1, high1] = product(M1, c2);
    let (c0, c1) = (high1 ^ c1 ^ k0, low1);
    let c2 = lanes.xor(lanes.high_halves(p0), lanes.splat(c3 ^ k1));

    let [k0, k1] = round_key(key, round + 1);
    let [low0, high0] = product(M0, c0);
    let p1 = lanes.multiply_low_halves(m1, c2);
    let c0 = lanes.xor(lanes.high_halves(p1), lanes.splat(c1 ^ k0));
    let mut c = [c0, p1, lanes.xor(p0, lanes.splat(high0 ^ k1)), lanes.splat(low0)];

    let mut round = round + 2;
    while round < ROUNDS {
        let [k0, k1] = round_key(key, round);
        let p0 = lanes.multiply_low_halves(m0, c[0]);
        let p1 = lanes.multiply_low_halves(m1, c[2]);
        let high0 = lanes.xor(lanes.high_halves(p0), lanes.splat(k1));
        let high1 = lanes.xor(lanes.high_halves(p1), lanes.splat(k0));
        c = [lanes.xor(high1, c[1]), p1, lanes.xor(high0, c[3]), p0];
        round += 1;
    }
    c
}

#[inline(always)]
fn round_key(key: [u32; 2], round: u32) -> [u32; 2] {
    [key[0].wrapping_add(round.wrapping_mul(W0)), key[1].wrapping_add(round.wrapping_mul(W1))]
}

/// Low and high word of a·b.
#[inline(always)]
fn product(a: u32, b: u32) -> [u32; 2] {
    let product = u64::from(a) * u64::from(b);
    [product as u32, (product >> 32) as u32]
}

/// Half-word `index` mod 8 of four words, the low half first: 16 random bits.
#[inline(always)]
pub fn half_word(words: [u32; 4], index: u32) -> u32 {
    let word = words[(index as usize >> 1) & 3];
    (word >> (16 * (index & 1))) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::lanes::{WithLanes, on_each};

    /// Random123's `kat_vectors`: counter, key, output.
    const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];

    #[test]
    fn known_answers() {
        for (counter, key, output) in KNOWN {
            assert_eq!(philox4x32(counter, key), output);
            assert_eq!(rand_philox::philox4x32_10(counter, key), output);
        }
    }

    #[derive(Clone)]
    struct Along([u32; 4], [u32; 2]);

    impl WithLanes for Along {
        type Output = [[[u32; LANES]; 4]; 2];

        #[inline(always)]
        fn with_lanes<L: Lanes>(self, lanes: L) -> Self::Output {
            let first = along_first(lanes, self.0, self.1);
            let second = along_second(lanes, self.0, self.1);
            [first, second].map(|words| words.map(|word| lanes.store(word)))
        }
    }

    #[test]
    fn lanes_are_neighbouring_counters() {
        let mut counters: Vec<_> = KNOWN.map(|(counter, key, _)| (counter, key)).into();
        for i in 0..200 {
            let [k0, k1, ..] = philox4x32([i, 1, 0, 0], [0; 2]);
            counters.push((philox4x32([i, 0, 0, 0], [0; 2]), [k0, k1]));
        }
        for (counter, key) in counters {
            for (name, [first, second]) in on_each(&Along(counter, key)) {
                for lane in 0..LANES {
                    let mut at = counter;
                    at[0] = at[0].wrapping_add(lane as u32);
                    assert_eq!(first.map(|word| word[lane]), philox4x32(at, key), "{name}");
                    let mut at = counter;
                    at[1] = at[1].wrapping_add(lane as u32);
                    assert_eq!(second.map(|word| word[lane]), philox4x32(at, key), "{name}");
                }
            }
        }
    }

    #[test]
    fn half_words_low_first() {
        let words = [0x2222_1111, 0x4444_3333, 0x6666_5555, 0x8888_7777];
        let halves: Vec<_> = (0..8).map(|h| half_word(words, h)).collect();
        assert_eq!(halves, [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888]);
    }
}
