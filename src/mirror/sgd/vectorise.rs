//! Loops compiled for the vector instructions that the processor turns out to have.

/// Runs `body` as compiled for the widest instructions that pulp finds at run time. Everything
/// that `body` calls must be `#[inline(always)]`, and so must `body` itself.
#[inline(always)]
pub(crate) fn vectorise<R>(body: impl FnMut() -> R) -> R {
    pulp::Arch::new().dispatch(Body(body))
}

/// pulp also takes closures as they are, but calls them as `FnOnce`: for most closures that is a
/// shim which is not inlined, and so keeps the baseline's instructions.
struct Body<F>(F);

impl<R, F: FnMut() -> R> pulp::WithSimd for Body<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
