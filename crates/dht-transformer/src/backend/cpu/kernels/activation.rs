//! Bias and activation of the feed-forward, in one pass.

use super::real::Real;
use super::rows::vectorised;
use crate::config::Activation;

/// f(x) and f′(x).
#[inline(always)]
fn value_and_derivative<T: Real>(activation: Activation, x: T) -> (T, T) {
    match activation {
        Activation::Gelu => {
            let (cdf, pdf) = x.normal_cdf_pdf();
            (x * cdf, cdf + x * pdf)
        }
        Activation::GeluNew => {
            // ½(1 + tanh u) = σ(2u).
            let (c, a) = (T::from_f64(1.595_769_121_605_730_8), T::from_f64(0.044_715));
            let gate = T::ONE / (T::ONE + (-(c * (x + a * x * x * x))).exp());
            let inner = c * (T::ONE + T::from_f64(3.0) * a * x * x);
            (x * gate, gate + x * gate * (T::ONE - gate) * inner)
        }
        Activation::Relu => {
            if x > T::ZERO {
                (x, T::ONE)
            } else {
                (T::ZERO, T::ZERO)
            }
        }
    }
}

/// u ← f(u + bias), element by element.
pub(crate) fn bias_activation<T: Real>(u: &mut [T], bias: &[T], activation: Activation) {
    let _span = tracing::trace_span!("bias and activation").entered();
    vectorised(
        #[inline(always)]
        move || {
            for row in u.chunks_exact_mut(bias.len()) {
                for (u, bias) in row.iter_mut().zip(bias) {
                    *u = value_and_derivative(activation, *u + *bias).0;
                }
            }
        },
    );
}

/// Backward of [`bias_activation`]: u becomes f(u + bias) again (which the weight gradient needs), da becomes du; returns
/// the bias's gradient.
pub(crate) fn bias_activation_backward<T: Real>(
    u: &mut [T],
    bias: &[T],
    da: &mut [T],
    activation: Activation,
) -> Vec<T> {
    let _span = tracing::trace_span!("bias and activation, backward").entered();
    let width = bias.len();
    let mut sums = vec![T::ZERO; width];
    let dbias = &mut sums[..];
    vectorised(
        #[inline(always)]
        move || {
            for (u, da) in u.chunks_exact_mut(width).zip(da.chunks_exact_mut(width)) {
                for (((u, da), bias), dbias) in u.iter_mut().zip(da).zip(bias).zip(dbias.iter_mut()) {
                    let (value, derivative) = value_and_derivative(activation, *u + *bias);
                    *u = value;
                    *da *= derivative;
                    *dbias += *da;
                }
            }
        },
    );
    sums
}
