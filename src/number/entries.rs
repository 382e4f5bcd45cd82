//! Entries of a result in the format that it was computed in, so that none loses a bit on its way to
//! a comparison.

/// Numbers in one of the formats of results.
#[derive(Clone, Debug, PartialEq)]
pub enum Entries {
    /// f32, and f16 held as f32.
    Single(Vec<f32>),
    /// Double-single: each number is the sum of an upper and a lower f32.
    Pair(Vec<[f32; 2]>),
    /// f64.
    Double(Vec<f64>),
}

/// How many numbers differ from those expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// In more than the sign of a zero. All NaNs are equal.
    pub entries: u64,
    /// In the sign of a zero alone.
    pub signed_zeros: u64,
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(c) => c.len(),
            Self::Pair(c) => c.len(),
            Self::Double(c) => c.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each as an f64: a pair as the sum of its parts, rounded once to 53 bits.
    pub fn values(&self) -> Vec<f64> {
        match self {
            Self::Single(c) => c.iter().map(|&x| x.into()).collect(),
            Self::Pair(c) => c.iter().map(|&[hi, lo]| f64::from(hi) + f64::from(lo)).collect(),
            Self::Double(c) => c.clone(),
        }
    }

    /// The given rows of a matrix of `columns` columns.
    pub fn rows(&self, rows: &[usize], columns: usize) -> Self {
        fn of<T: Copy>(c: &[T], rows: &[usize], columns: usize) -> Vec<T> {
            rows.iter().flat_map(|&i| &c[i * columns..][..columns]).copied().collect()
        }
        match self {
            Self::Single(c) => Self::Single(of(c, rows, columns)),
            Self::Pair(c) => Self::Pair(of(c, rows, columns)),
            Self::Double(c) => Self::Double(of(c, rows, columns)),
        }
    }

    /// Compares bit by bit. Entries of another format or number all differ.
    pub fn mismatches(&self, expected: &Self) -> Mismatches {
        let mut found = Mismatches::default();
        match (self, expected) {
            (Self::Single(a), Self::Single(b)) if a.len() == b.len() => {
                a.iter().zip(b).for_each(|(&a, &b)| found.count([a.into()], [b.into()]));
            }
            (Self::Pair(a), Self::Pair(b)) if a.len() == b.len() => {
                let parts = |x: &[f32; 2]| x.map(f64::from);
                a.iter().zip(b).for_each(|(a, b)| found.count(parts(a), parts(b)));
            }
            (Self::Double(a), Self::Double(b)) if a.len() == b.len() => {
                a.iter().zip(b).for_each(|(&a, &b)| found.count([a], [b]));
            }
            _ => found.entries = self.len().max(expected.len()) as u64,
        }
        found
    }

    /// Whether both are the same bits, NaNs included.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.len() == other.len() && self.words().eq(other.words())
    }

    /// All bits, as 32-bit words: of an f64 the lower one first.
    pub fn words(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Single(c) => Box::new(c.iter().map(|x| x.to_bits())),
            Self::Pair(c) => Box::new(c.iter().flatten().map(|x| x.to_bits())),
            Self::Double(c) => Box::new(c.iter().flat_map(|x| {
                let bits = x.to_bits();
                [bits as u32, (bits >> 32) as u32]
            })),
        }
    }

    /// Bytes that they occupy.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Single(c) => size_of_val(&c[..]) as u64,
            Self::Pair(c) => size_of_val(&c[..]) as u64,
            Self::Double(c) => size_of_val(&c[..]) as u64,
        }
    }

    /// Makes each a NaN.
    pub fn spoil(&mut self) {
        match self {
            Self::Single(c) => c.fill(f32::NAN),
            Self::Pair(c) => c.fill([f32::NAN; 2]),
            Self::Double(c) => c.fill(f64::NAN),
        }
    }
}

impl Mismatches {
    /// Counts one number. An f32 is compared as the f64 that it equals.
    fn count<const PARTS: usize>(&mut self, computed: [f64; PARTS], expected: [f64; PARTS]) {
        let (mut differ, mut zeros) = (false, false);
        for (a, b) in computed.into_iter().zip(expected) {
            differ |= a != b && !(a.is_nan() && b.is_nan());
            zeros |= a == b && a.to_bits() != b.to_bits();
        }
        if differ {
            self.entries += 1;
        } else if zeros {
            self.signed_zeros += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_differ_but_nans_do_not() {
        let found = |a: &[f32], b: &[f32]| {
            Entries::Single(a.to_vec()).mismatches(&Entries::Single(b.to_vec()))
        };
        let next = f32::from_bits(1f32.to_bits() + 1);
        let expected = Mismatches { entries: 2, signed_zeros: 1 };
        assert_eq!(found(&[f32::NAN, 0.0, 1.0, 1.0], &[-f32::NAN, -0.0, next, f32::NAN]), expected);
        let pair = |lo| Entries::Pair(vec![[1.0, lo], [2.0, -0.0]]);
        assert_eq!(pair(1e-30).mismatches(&pair(2e-30)).entries, 1, "in the lower part alone");
        assert_eq!(pair(0.0).mismatches(&pair(-0.0)), Mismatches { entries: 0, signed_zeros: 1 });
        assert_eq!(pair(0.0).mismatches(&Entries::Double(vec![1.0, 2.0])).entries, 2);
        let wide = |x: f64| Entries::Double(vec![x]);
        assert_eq!(wide(1.0).mismatches(&wide(1.0 + f64::EPSILON)).entries, 1);
        assert!(!wide(0.0).same_bits(&wide(-0.0)));
    }

    #[test]
    fn values_rows_and_words() {
        let c = Entries::Pair(vec![[1.0, 2f32.powi(-40)], [-3.0, 0.0], [5.0, 0.5], [7.0, 0.0]]);
        assert_eq!(c.values()[..2], [1.0 + 2f64.powi(-40), -3.0]);
        assert_eq!(c.rows(&[1], 2), Entries::Pair(vec![[5.0, 0.5], [7.0, 0.0]]));
        assert_eq!(c.words().count(), 8);
        let words: Vec<u32> = Entries::Double(vec![1.0]).words().collect();
        assert_eq!(words, [0, 0x3ff0_0000]);
    }
}
