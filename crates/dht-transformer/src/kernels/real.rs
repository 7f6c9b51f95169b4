//! The two floating-point types the kernels run in.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use pulp::Simd;

/// f32 in production, f64 where a test compares with finite differences.
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

    fn from_f64(value: f64) -> Self;
    fn sqrt(self) -> Self;
    fn max(self, other: Self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    /// Distribution function Φ and density φ of the standard normal distribution.
    fn normal_cdf_pdf(self) -> (Self, Self);

    /// As many of these as a register of `S` holds.
    type Vector<S: Simd>: Copy;
    /// The same number in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// a·b, lane by lane.
    fn multiply<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a·b + c, lane by lane.
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// Numbers as vectors; a rest that fills none is left out.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];
    /// The same to be written.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];
}

/// The vectors of one of the two types, by pulp's names for them.
macro_rules! vectors_of_pulp {
    ($vector:ident, $splat:ident, $multiply:ident, $multiply_add:ident, $vectors:ident, $vectors_mut:ident) => {
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
        fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
            S::$vectors(numbers).0
        }
        #[inline(always)]
        fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
            S::$vectors_mut(numbers).0
        }
    };
}

/// 1/√(2π).
const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// eˣ by 2ⁿ·eʳ with |r| ≤ ln 2 / 2 and a polynomial of degree 6 (Cephes' `expf`): relative error below 2e-7,
    /// branch-free, so that loops over it vectorise.
    #[inline(always)]
    fn exp(self) -> Self {
        const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
        // Not `clamp`: NaN has to stay NaN, and does, since comparisons with it are false.
        let x = if self < -87.0 { -87.0 } else { self };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + MAGIC;
        let n = shifted - MAGIC;
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let mut poly = 1.987_569_1e-4_f32;
        poly = poly * r + 1.398_199_9e-3;
        poly = poly * r + 8.333_452e-3;
        poly = poly * r + 4.166_579_6e-2;
        poly = poly * r + 1.666_666_5e-1;
        poly = poly * r + 0.5;
        let value = poly * r * r + r + 1.0;
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        value * scale
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }

    /// Abramowitz & Stegun 7.1.26: absolute error of Φ below 2.5e-7 in f32, with one exponential for both.
    #[inline(always)]
    fn normal_cdf_pdf(self) -> (Self, Self) {
        let z = self.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let mut poly = 1.061_405_4_f32;
        poly = poly * t - 1.453_152;
        poly = poly * t + 1.421_413_7;
        poly = poly * t - 0.284_496_72;
        poly = poly * t + 0.254_829_6;
        let bell = Real::exp(-z * z);
        let tail = 0.5 * poly * t * bell;
        let cdf = if self < 0.0 { tail } else { 1.0 - tail };
        (cdf, bell * INV_SQRT_TAU as f32)
    }

    vectors_of_pulp!(f32s, splat_f32s, mul_f32s, mul_add_f32s, as_simd_f32s, as_mut_simd_f32s);
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
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

    vectors_of_pulp!(f64s, splat_f64s, mul_f64s, mul_add_f64s, as_simd_f64s, as_mut_simd_f64s);
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
            assert!((f64::from(cdf) - exact_cdf).abs() < 2.5e-7, "Φ({x})");
            assert!((f64::from(pdf) - exact_pdf).abs() < 1e-7, "φ({x})");
        }
    }
}
