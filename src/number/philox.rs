//! Philox4x32-10 as the kernels use it: random bits addressed by what they round.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

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

/// The 128 random bits at `counter` under `key`. Written here rather than taken from
/// `rand_philox` so that a mirror's loop over counters vectorises; a test compares the two.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(M0) * u64::from(c0);
        let p1 = u64::from(M1) * u64::from(c2);
        (c0, c1, c2, c3) =
            ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
    }
    [c0, c1, c2, c3]
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

    #[test]
    fn half_words_low_first() {
        let words = [0x2222_1111, 0x4444_3333, 0x6666_5555, 0x8888_7777];
        let halves: Vec<_> = (0..8).map(|h| half_word(words, h)).collect();
        assert_eq!(halves, [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888]);
    }
}
