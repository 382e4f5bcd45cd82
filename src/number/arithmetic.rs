//! What a device's f32 arithmetic does where IEEE 754 and WGSL leave a choice.

/// The choices that a mirror must follow to equal a device bit for bit. Probed once a device,
/// never chosen by comparing results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Arithmetic {
    /// `fma(a, b, c)` rounds once; otherwise the product is rounded before the sum.
    pub fused_fma: bool,
    /// f32 subnormals are replaced by a zero of their sign, as operands and as results.
    pub flush_f32_subnormals: bool,
    /// f16 subnormals read as zero when unpacked to f32.
    pub flush_f16_subnormals: bool,
}

impl Arithmetic {
    /// Nothing flushed; fma fused where this processor has the instruction (elsewhere a fused
    /// one is a slow library call, and the CPU measures its own arithmetic).
    pub fn host() -> Self {
        Self { fused_fma: host_has_fma(), flush_f32_subnormals: false, flush_f16_subnormals: false }
    }

    /// Fma fused or not, subnormals of both formats flushed or kept: each, for tests.
    #[cfg(test)]
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        (0..4).map(|bits| Self {
            fused_fma: bits & 1 != 0,
            flush_f32_subnormals: bits & 2 != 0,
            flush_f16_subnormals: bits & 2 != 0,
        })
    }
}

fn host_has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

/// [`Arithmetic`] as types, so that a mirror's inner loop has no branch on it.
pub trait Ops: Copy + Default + Send + Sync + 'static {
    /// `a·b + c` as the device does it.
    fn fma(a: f32, b: f32, c: f32) -> f32;
    /// `sums[r][j] = fma(a[r], b[j], sums[r][j])` for each r and j.
    fn fma_outer<const R: usize, const N: usize>(
        sums: &mut [[f32; N]; R],
        a: &[f32; R],
        b: &[f32; N],
    );
    /// `a + b` as the device does it.
    fn add(a: f32, b: f32) -> f32;
    /// `a · b` as the device does it.
    fn mul(a: f32, b: f32) -> f32;
    /// What remains of an operand or a result.
    fn keep(x: f32) -> f32;
}

/// The four combinations of fused/unfused and flushed/kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Model<const FUSED: bool, const FLUSH: bool>;

impl<const FUSED: bool, const FLUSH: bool> Ops for Model<FUSED, FLUSH> {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        let (a, b, c) = (Self::keep(a), Self::keep(b), Self::keep(c));
        if FUSED { Self::keep(a.mul_add(b, c)) } else { Self::keep(Self::keep(a * b) + c) }
    }

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // the indexed form is the one that vectorises
    fn fma_outer<const R: usize, const N: usize>(
        sums: &mut [[f32; N]; R],
        a: &[f32; R],
        b: &[f32; N],
    ) {
        if FUSED {
            for (sums, &a) in sums.iter_mut().zip(a) {
                sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum = Self::fma(a, b, *sum));
            }
            return;
        }
        // All products before any sum, by index: otherwise LLVM leaves them scalar under AVX-512.
        let mut products = [[0.0; N]; R];
        for r in 0..R {
            for j in 0..N {
                products[r][j] = Self::mul(a[r], b[j]);
            }
        }
        for r in 0..R {
            for j in 0..N {
                sums[r][j] = Self::add(sums[r][j], products[r][j]);
            }
        }
    }

    #[inline(always)]
    fn add(a: f32, b: f32) -> f32 {
        Self::keep(Self::keep(a) + Self::keep(b))
    }

    #[inline(always)]
    fn mul(a: f32, b: f32) -> f32 {
        Self::keep(Self::keep(a) * Self::keep(b))
    }

    #[inline(always)]
    fn keep(x: f32) -> f32 {
        if FLUSH {
            let bits = x.to_bits();
            let tiny = bits & 0x7f80_0000 == 0;
            f32::from_bits(if tiny { bits & 0x8000_0000 } else { bits })
        } else {
            x
        }
    }
}

/// Calls `$body` with `$ops` naming the [`Model`] of `$arithmetic`.
#[macro_export]
macro_rules! with_ops {
    ($arithmetic:expr, $ops:ident => $body:expr) => {{
        let arithmetic: $crate::number::Arithmetic = $arithmetic;
        match (arithmetic.fused_fma, arithmetic.flush_f32_subnormals) {
            (false, false) => {
                type $ops = $crate::number::arithmetic::Model<false, false>;
                $body
            }
            (false, true) => {
                type $ops = $crate::number::arithmetic::Model<false, true>;
                $body
            }
            (true, false) => {
                type $ops = $crate::number::arithmetic::Model<true, false>;
                $body
            }
            (true, true) => {
                type $ops = $crate::number::arithmetic::Model<true, true>;
                $body
            }
        }
    }};
}

/// a + b and what its rounding leaves (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B).
#[inline(always)]
pub(crate) fn two_sum<O: Ops>(a: f32, b: f32) -> [f32; 2] {
    let sum = O::add(a, b);
    let of_b = O::add(sum, -a);
    let of_a = O::add(sum, -of_b);
    [sum, O::add(O::add(a, -of_a), O::add(b, -of_b))]
}
