//! Bias and activation of a feed-forward sublayer in one pass over the values.

use super::real::Real;
use super::rows::vectorised;
use crate::config::Activation;

/// Computes the activation gelu, f(x) = x·Φ(x) with the normal distribution function Φ, and its derivative f′(x).
#[inline(always)]
fn gelu<T: Real>(x: T) -> (T, T) {
    let (cdf, pdf) = x.normal_cdf_pdf();
    (x * cdf, cdf + x * pdf)
}

/// Computes the tanh approximation f(x) of gelu, and its derivative f′(x). The logistic function σ replaces tanh by the
/// identity ½(1 + tanh u) = σ(2u).
#[inline(always)]
fn gelu_new<T: Real>(x: T) -> (T, T) {
    let (c, a) = (T::from_f64(1.595_769_121_605_730_8), T::from_f64(0.044_715));
    let gate = T::ONE / (T::ONE + (-(c * (x + a * x * x * x))).exp());
    let inner = c * (T::ONE + T::from_f64(3.0) * a * x * x);
    (x * gate, gate + x * gate * (T::ONE - gate) * inner)
}

/// Computes the activation relu, f(x) = max(x, 0), and its derivative f′(x).
#[inline(always)]
fn relu<T: Real>(x: T) -> (T, T) {
    if x > T::ZERO { (x, T::ONE) } else { (T::ZERO, T::ZERO) }
}

/// Replaces u by f(u + bias), element by element, where f is the activation.
pub(crate) fn bias_activation<T: Real>(u: &mut [T], bias: &[T], activation: Activation) {
    let _span = tracing::trace_span!("bias and activation").entered();
    vectorised(
        #[inline(always)]
        // The activation is matched outside of the loops, since a match inside would prevent vectorisation.
        move || match activation {
            Activation::Gelu => rows_forward(u, bias, gelu),
            Activation::GeluNew => rows_forward(u, bias, gelu_new),
            Activation::Relu => rows_forward(u, bias, relu),
        },
    );
}

#[inline(always)]
fn rows_forward<T: Real>(u: &mut [T], bias: &[T], f: impl Fn(T) -> (T, T)) {
    for row in u.chunks_exact_mut(bias.len()) {
        for (u, bias) in row.iter_mut().zip(bias) {
            *u = f(*u + *bias).0;
        }
    }
}

/// Backward pass of [`bias_activation`]. Replaces `da`, the gradient of the activation's output, by the gradient of u.
/// Replaces u by f(u + bias), from which the weight gradient is computed. Returns the gradient of the bias.
pub(crate) fn bias_activation_backward<T: Real>(
    u: &mut [T],
    bias: &[T],
    da: &mut [T],
    activation: Activation,
) -> Vec<T> {
    let _span = tracing::trace_span!("bias and activation, backward").entered();
    let mut sums = vec![T::ZERO; bias.len()];
    let dbias = &mut sums[..];
    vectorised(
        #[inline(always)]
        move || match activation {
            Activation::Gelu => rows_backward(u, bias, da, dbias, gelu),
            Activation::GeluNew => rows_backward(u, bias, da, dbias, gelu_new),
            Activation::Relu => rows_backward(u, bias, da, dbias, relu),
        },
    );
    sums
}

/// Backward pass of [`bias_activation`] for an activation. `f` returns the activation's value and derivative. The
/// slices are arguments of a function, so that the compiler knows that they do not overlap.
#[inline(always)]
fn rows_backward<T: Real>(u: &mut [T], bias: &[T], da: &mut [T], dbias: &mut [T], f: impl Fn(T) -> (T, T)) {
    for (u, da) in u.chunks_exact_mut(bias.len()).zip(da.chunks_exact_mut(bias.len())) {
        for (((u, da), bias), dbias) in u.iter_mut().zip(da).zip(bias).zip(dbias.iter_mut()) {
            let (value, derivative) = f(*u + *bias);
            *u = value;
            *da *= derivative;
            *dbias += *da;
        }
    }
}
