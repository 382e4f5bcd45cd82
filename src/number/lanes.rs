//! Sixteen lanes of 32 bits under AVX-512, AVX2 or plain Rust, chosen at run time. The result is
//! the same bits under each: only operations are here that leave no choice.
//!
//! Loops over arrays suffice where the compiler vectorises them. It does not where 32-bit words
//! are multiplied to 64 bits, as Philox does throughout, so what is built on that is written in
//! these.

use pulp::NullaryFnOnce;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Operations on [`LANES`] lanes. Integer ones wrap. Those that speak of pairs see eight numbers
/// of 64 bits, each a pair of neighbouring lanes whose even one is its low half.
pub trait Lanes: Copy {
    /// A `u32` in each lane.
    type Bits: Copy;
    /// An `f32` in each lane.
    type Real: Copy;

    /// `x` in each lane.
    fn splat(self, x: u32) -> Self::Bits;
    /// One word for each lane.
    fn load(self, x: &[u32; LANES]) -> Self::Bits;
    /// The word of each lane.
    fn store(self, x: Self::Bits) -> [u32; LANES];
    /// `a & b`.
    fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// `a & !b`.
    fn and_not(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// `a ^ b`.
    fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// `a + b`.
    fn add(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// `a − b`.
    fn sub(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// The larger of `a` and `b`.
    fn max(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// `a >> N`.
    fn shift_right<const N: u32>(self, a: Self::Bits) -> Self::Bits;
    /// Whether `a ≥ b` in any lane.
    fn any_at_least(self, a: Self::Bits, b: Self::Bits) -> bool;

    /// Product of the low halves of each pair, 64 bits.
    fn multiply_low_halves(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// The high half of each pair as its low half; the high half is 0.
    fn high_halves(self, a: Self::Bits) -> Self::Bits;
    /// Low halves of `even` in the even lanes, low halves of `odd` in the odd ones.
    fn join_low_halves(self, even: Self::Bits, odd: Self::Bits) -> Self::Bits;

    /// `x` in each lane.
    fn splat_real(self, x: f32) -> Self::Real;
    /// One number for each lane.
    fn load_real(self, x: &[f32; LANES]) -> Self::Real;
    /// The number of each lane.
    fn store_real(self, x: Self::Real) -> [f32; LANES];
    /// The bits of each number.
    fn bits_of(self, x: Self::Real) -> Self::Bits;
    /// The numbers with these bits.
    fn real_of(self, x: Self::Bits) -> Self::Real;
    /// `a·b + c`, where `a·b` is exact, so that rounding it or not is the same.
    fn add_exact_product(self, a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real;
    /// [`f16_nearest`](super::round::f16_nearest) of any number, where there is an instruction.
    #[inline(always)]
    fn f16_nearest(self, _: Self::Real) -> Option<Self::Real> {
        None
    }
}

/// Something to do on the widest lanes that this processor has.
///
/// Code that the compiler does not inline is compiled without the processor's instructions: what
/// it calls must be `#[inline(always)]`, and must not pass closures to functions that are not.
pub trait WithLanes {
    /// What comes of it.
    type Output;
    /// Does it.
    fn with_lanes<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Does `op` on the widest lanes that this processor has.
pub fn dispatch<O: WithLanes>(op: O) -> O::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(lanes) = pulp::x86::V4::try_new() {
            return lanes.vectorize(On { lanes, op });
        }
        if let Some(lanes) = pulp::x86::V3::try_new() {
            return lanes.vectorize(On { lanes, op });
        }
    }
    op.with_lanes(Portable)
}

/// `op` on all lanes that this processor has, one after the other: for tests that compare them.
#[cfg(test)]
pub(crate) fn on_each<O: WithLanes + Clone>(op: &O) -> Vec<(&'static str, O::Output)> {
    let mut outputs = vec![("portable", op.clone().with_lanes(Portable))];
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(lanes) = pulp::x86::V3::try_new() {
            outputs.push(("AVX2", lanes.vectorize(On { lanes, op: op.clone() })));
        }
        if let Some(lanes) = pulp::x86::V4::try_new() {
            outputs.push(("AVX-512", lanes.vectorize(On { lanes, op: op.clone() })));
        }
    }
    outputs
}

struct On<L, O> {
    lanes: L,
    op: O,
}

impl<L: Lanes, O: WithLanes> NullaryFnOnce for On<L, O> {
    type Output = O::Output;

    #[inline(always)]
    fn call(self) -> O::Output {
        self.op.with_lanes(self.lanes)
    }
}

/// Arrays: for processors without the instructions, and what the others are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// An array of what `$e` is for each lane.
macro_rules! each {
    ($lane:ident => $e:expr) => {
        std::array::from_fn(
            #[inline(always)]
            |$lane| $e,
        )
    };
}

impl Lanes for Portable {
    type Bits = [u32; LANES];
    type Real = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: u32) -> Self::Bits {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[u32; LANES]) -> Self::Bits {
        *x
    }
    #[inline(always)]
    fn store(self, x: Self::Bits) -> [u32; LANES] {
        x
    }
    #[inline(always)]
    fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l] & b[l])
    }
    #[inline(always)]
    fn and_not(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l] & !b[l])
    }
    #[inline(always)]
    fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l] ^ b[l])
    }
    #[inline(always)]
    fn add(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l].wrapping_add(b[l]))
    }
    #[inline(always)]
    fn sub(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l].wrapping_sub(b[l]))
    }
    #[inline(always)]
    fn max(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        each!(l => a[l].max(b[l]))
    }
    #[inline(always)]
    fn shift_right<const N: u32>(self, a: Self::Bits) -> Self::Bits {
        each!(l => a[l] >> N)
    }
    #[inline(always)]
    fn any_at_least(self, a: Self::Bits, b: Self::Bits) -> bool {
        (0..LANES).fold(false, |any, l| any | (a[l] >= b[l]))
    }
    #[inline(always)]
    fn multiply_low_halves(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        let product = |l: usize| u64::from(a[l & !1]) * u64::from(b[l & !1]);
        each!(l => (product(l) >> (32 * (l & 1))) as u32)
    }
    #[inline(always)]
    fn high_halves(self, a: Self::Bits) -> Self::Bits {
        each!(l => if l & 1 == 0 { a[l + 1] } else { 0 })
    }
    #[inline(always)]
    fn join_low_halves(self, even: Self::Bits, odd: Self::Bits) -> Self::Bits {
        each!(l => if l & 1 == 0 { even[l] } else { odd[l - 1] })
    }
    #[inline(always)]
    fn splat_real(self, x: f32) -> Self::Real {
        [x; LANES]
    }
    #[inline(always)]
    fn load_real(self, x: &[f32; LANES]) -> Self::Real {
        *x
    }
    #[inline(always)]
    fn store_real(self, x: Self::Real) -> [f32; LANES] {
        x
    }
    #[inline(always)]
    fn bits_of(self, x: Self::Real) -> Self::Bits {
        x.map(f32::to_bits)
    }
    #[inline(always)]
    fn real_of(self, x: Self::Bits) -> Self::Real {
        x.map(f32::from_bits)
    }
    #[inline(always)]
    fn add_exact_product(self, a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real {
        each!(l => a[l] * b[l] + c[l])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256i, __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT,
    };

    use pulp::cast;
    use pulp::x86::{V3, V4};

    use super::{LANES, Lanes};

    impl Lanes for V4 {
        type Bits = __m512i;
        type Real = __m512;

        #[inline(always)]
        fn splat(self, x: u32) -> Self::Bits {
            self.avx512f._mm512_set1_epi32(x as i32)
        }
        #[inline(always)]
        fn load(self, x: &[u32; LANES]) -> Self::Bits {
            cast(*x)
        }
        #[inline(always)]
        fn store(self, x: Self::Bits) -> [u32; LANES] {
            cast(x)
        }
        #[inline(always)]
        fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_and_si512(a, b)
        }
        #[inline(always)]
        fn and_not(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_andnot_si512(b, a)
        }
        #[inline(always)]
        fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_xor_si512(a, b)
        }
        #[inline(always)]
        fn add(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_add_epi32(a, b)
        }
        #[inline(always)]
        fn sub(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_sub_epi32(a, b)
        }
        #[inline(always)]
        fn max(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_max_epu32(a, b)
        }
        #[inline(always)]
        fn shift_right<const N: u32>(self, a: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_srli_epi32::<N>(a)
        }
        #[inline(always)]
        fn any_at_least(self, a: Self::Bits, b: Self::Bits) -> bool {
            self.avx512f._mm512_cmpge_epu32_mask(a, b) != 0
        }
        #[inline(always)]
        fn multiply_low_halves(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_mul_epu32(a, b)
        }
        #[inline(always)]
        fn high_halves(self, a: Self::Bits) -> Self::Bits {
            self.avx512f._mm512_srli_epi64::<32>(a)
        }
        #[inline(always)]
        fn join_low_halves(self, even: Self::Bits, odd: Self::Bits) -> Self::Bits {
            let odd = self.avx512f._mm512_slli_epi64::<32>(odd);
            self.avx512f._mm512_mask_blend_epi32(0xaaaa, even, odd)
        }
        #[inline(always)]
        fn splat_real(self, x: f32) -> Self::Real {
            self.avx512f._mm512_set1_ps(x)
        }
        #[inline(always)]
        fn load_real(self, x: &[f32; LANES]) -> Self::Real {
            cast(*x)
        }
        #[inline(always)]
        fn store_real(self, x: Self::Real) -> [f32; LANES] {
            cast(x)
        }
        #[inline(always)]
        fn bits_of(self, x: Self::Real) -> Self::Bits {
            cast(x)
        }
        #[inline(always)]
        fn real_of(self, x: Self::Bits) -> Self::Real {
            cast(x)
        }
        #[inline(always)]
        fn add_exact_product(self, a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real {
            self.avx512f._mm512_fmadd_ps(a, b, c)
        }
        #[inline(always)]
        fn f16_nearest(self, x: Self::Real) -> Option<Self::Real> {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            let half = self.avx512f._mm512_cvtps_ph::<NEAREST>(x);
            Some(self.avx512f._mm512_cvtph_ps(half))
        }
    }

    /// What `$e` is for each half of sixteen lanes. No closure: it would not be inlined.
    macro_rules! both {
        ($half:ident => $e:expr) => {{
            let low = {
                let $half = 0;
                $e
            };
            let high = {
                let $half = 1;
                $e
            };
            [low, high]
        }};
    }

    impl Lanes for V3 {
        type Bits = [__m256i; 2];
        type Real = [__m256; 2];

        #[inline(always)]
        fn splat(self, x: u32) -> Self::Bits {
            [self.avx._mm256_set1_epi32(x as i32); 2]
        }
        #[inline(always)]
        fn load(self, x: &[u32; LANES]) -> Self::Bits {
            cast(*x)
        }
        #[inline(always)]
        fn store(self, x: Self::Bits) -> [u32; LANES] {
            cast(x)
        }
        #[inline(always)]
        fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_and_si256(a[h], b[h]))
        }
        #[inline(always)]
        fn and_not(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_andnot_si256(b[h], a[h]))
        }
        #[inline(always)]
        fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_xor_si256(a[h], b[h]))
        }
        #[inline(always)]
        fn add(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_add_epi32(a[h], b[h]))
        }
        #[inline(always)]
        fn sub(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_sub_epi32(a[h], b[h]))
        }
        #[inline(always)]
        fn max(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_max_epu32(a[h], b[h]))
        }
        #[inline(always)]
        fn shift_right<const N: u32>(self, a: Self::Bits) -> Self::Bits {
            // Its immediate form takes an i32, which N cannot become in a type.
            let count = self.sse2._mm_cvtsi32_si128(N as i32);
            both!(h => self.avx2._mm256_srl_epi32(a[h], count))
        }
        #[inline(always)]
        fn any_at_least(self, a: Self::Bits, b: Self::Bits) -> bool {
            let larger = self.max(a, b);
            let [low, high] = both!(h => self.avx2._mm256_cmpeq_epi32(larger[h], a[h]));
            self.avx2._mm256_movemask_epi8(self.avx2._mm256_or_si256(low, high)) != 0
        }
        #[inline(always)]
        fn multiply_low_halves(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_mul_epu32(a[h], b[h]))
        }
        #[inline(always)]
        fn high_halves(self, a: Self::Bits) -> Self::Bits {
            both!(h => self.avx2._mm256_srli_epi64::<32>(a[h]))
        }
        #[inline(always)]
        fn join_low_halves(self, even: Self::Bits, odd: Self::Bits) -> Self::Bits {
            let odd = both!(h => self.avx2._mm256_slli_epi64::<32>(odd[h]));
            both!(h => self.avx2._mm256_blend_epi32::<0xaa>(even[h], odd[h]))
        }
        #[inline(always)]
        fn splat_real(self, x: f32) -> Self::Real {
            [self.avx._mm256_set1_ps(x); 2]
        }
        #[inline(always)]
        fn load_real(self, x: &[f32; LANES]) -> Self::Real {
            cast(*x)
        }
        #[inline(always)]
        fn store_real(self, x: Self::Real) -> [f32; LANES] {
            cast(x)
        }
        #[inline(always)]
        fn bits_of(self, x: Self::Real) -> Self::Bits {
            cast(x)
        }
        #[inline(always)]
        fn real_of(self, x: Self::Bits) -> Self::Real {
            cast(x)
        }
        #[inline(always)]
        fn add_exact_product(self, a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real {
            both!(h => self.fma._mm256_fmadd_ps(a[h], b[h], c[h]))
        }
    }
}
