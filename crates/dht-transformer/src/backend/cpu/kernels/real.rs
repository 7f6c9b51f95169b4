//! Floating-point types that kernels are generic over.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use pulp::Simd;

/// Floating-point type: f32 in production, f64 in tests with finite differences.
pub(crate) trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + Sum
{
    const ZERO: Self;
    const ONE: Self;
    /// Negative infinity, the start value for a maximum.
    const LEAST: Self;
    const ALL_BITS: Self;

    fn from_f64(value: f64) -> Self;
    fn as_f32(self) -> f32;
    fn sqrt(self) -> Self;
    fn max(self, other: Self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    /// Distribution function Φ and density φ of the standard normal distribution at this value.
    fn normal_cdf_pdf(self) -> (Self, Self);

    type Vector<S: Simd>: Copy;
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    fn multiply<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// Computes the elementwise maximum of two vectors.
    fn larger<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// Computes the bitwise and of two vectors. With `b` as a mask, the result is `a` in lanes where `b` is
    /// [`ALL_BITS`](Self::ALL_BITS), and 0 in lanes where `b` is 0, even if `a` is NaN there.
    fn common_bits<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn sum_of_lanes<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
    fn largest_lane<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
    /// Reinterprets a slice as SIMD vectors. Values after the last full vector are not included.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];
    /// Reinterprets a mutable slice as SIMD vectors. Values after the last full vector are not included.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];
}

/// Implements the vector operations of [`Real`] for one floating-point type by pulp's functions.
macro_rules! vectors_of_pulp {
    ($vector:ident, $splat:ident, $multiply:ident, $multiply_add:ident, $add:ident, $larger:ident, $and:ident, $sum:ident, $largest:ident, $vectors:ident, $vectors_mut:ident) => {
        type Vector<S: Simd> = S::$vector;

        #[inline(always)]
        fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
            simd.$splat(value)
        }
        #[inline(always)]
        fn multiply<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
            simd.$multiply(a, b)
        }
        #[inline(always)]
        fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
            simd.$multiply_add(a, b, c)
        }
        #[inline(always)]
        fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
            simd.$add(a, b)
        }
        #[inline(always)]
        fn larger<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
            simd.$larger(a, b)
        }
        #[inline(always)]
        fn common_bits<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
            simd.$and(a, b)
        }
        #[inline(always)]
        fn sum_of_lanes<S: Simd>(simd: S, a: S::$vector) -> Self {
            simd.$sum(a)
        }
        #[inline(always)]
        fn largest_lane<S: Simd>(simd: S, a: S::$vector) -> Self {
            simd.$largest(a)
        }
        #[inline(always)]
        fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
            S::$vectors(numbers).0
        }
        #[inline(always)]
        fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
            S::$vectors_mut(numbers).0
        }
    };
}

/// Evaluates a polynomial at x by Horner's rule. The coefficients begin with that of the highest power. The code is a
/// loop, since a fold over an array may not be inlined on processors without fused multiply-adds.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, *coefficient);
    }
    sum
}

const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LEAST: Self = Self::NEG_INFINITY;
    const ALL_BITS: Self = Self::from_bits(!0);

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn as_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// Computes eˣ as 2ⁿ·eʳ, where |r| ≤ ln 2 / 2 and eʳ is a polynomial of degree 6 (Cephes' `expf`). The relative
    /// error is below 2e-7. The function has no branches, so that loops over it vectorise.
    #[inline(always)]
    fn exp(self) -> Self {
        const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
        // `clamp` is not used. NaN stays NaN here, since comparisons with it are false.
        let x = if self < -87.0 { -87.0 } else { self };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
        let n = shifted - MAGIC;
        let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
        let poly = polynomial(
            r,
            [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0],
        );
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        poly * scale
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }

    /// Computes the normal distribution function Φ(x) as ½ + x·q(x²), and its density φ(x) by the exponential function.
    /// The absolute error is below 2e-7, and no division is needed.
    ///
    /// The polynomial q is fitted at the Chebyshev points of |x| ≤ 5.25. Its variable is s = 2x²/5.25² − 1, for which
    /// the coefficients are small.
    #[inline(always)]
    fn normal_cdf_pdf(self) -> (Self, Self) {
        const END: f32 = 5.25;
        // NaN must stay NaN.
        let x = if self > END { END } else { self };
        let s = (x * x).mul_add(2.0 / (END * END), -1.0);
        let q = polynomial(
            s,
            [
                2.306_388_8e-4,
                -6.519_745e-4,
                6.950_205e-4,
                -1.053_364_6e-3,
                2.853_879e-3,
                -5.432_67e-3,
                8.441_951e-3,
                -1.278_389_7e-2,
                1.853_097_4e-2,
                -2.503_966_2e-2,
                3.203_259_4e-2,
                -3.976_366_7e-2,
                4.964_572e-2,
                -6.712_681e-2,
                1.346_593_5e-1,
            ],
        );
        let cdf = q.mul_add(x, 0.5);
        let cdf = if self < -END { 0.0 } else { cdf };
        (cdf, Real::exp(-0.5 * self * self) * INV_SQRT_TAU as f32)
    }

    vectors_of_pulp!(
        f32s,
        splat_f32s,
        mul_f32s,
        mul_add_f32s,
        add_f32s,
        max_f32s,
        and_f32s,
        reduce_sum_f32s,
        reduce_max_f32s,
        as_simd_f32s,
        as_mut_simd_f32s
    );
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LEAST: Self = Self::NEG_INFINITY;
    const ALL_BITS: Self = Self::from_bits(!0);

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn as_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn normal_cdf_pdf(self) -> (Self, Self) {
        let cdf = 0.5 * candle_core::cpu::erf::erfc_f64(-self * std::f64::consts::FRAC_1_SQRT_2);
        (cdf, (-0.5 * self * self).exp() * INV_SQRT_TAU)
    }

    vectors_of_pulp!(
        f64s,
        splat_f64s,
        mul_f64s,
        mul_add_f64s,
        add_f64s,
        max_f64s,
        and_f64s,
        reduce_sum_f64s,
        reduce_max_f64s,
        as_simd_f64s,
        as_mut_simd_f64s
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_agrees_with_the_library() {
        let mut worst = 0f64;
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(Real::exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 3e-7, "relative error {worst}");
        assert!(Real::exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_fast_normal_distribution_agrees_with_the_library() {
        for step in -1000..=1000 {
            let x = step as f32 / 100.0;
            let (cdf, pdf) = Real::normal_cdf_pdf(x);
            let (exact_cdf, exact_pdf) = Real::normal_cdf_pdf(f64::from(x));
            assert!((f64::from(cdf) - exact_cdf).abs() < 2e-7, "Φ({x})");
            assert!((f64::from(pdf) - exact_pdf).abs() < 1e-7, "φ({x})");
        }
    }
}
