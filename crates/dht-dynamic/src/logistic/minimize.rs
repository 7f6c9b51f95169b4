//! Minimisation of convex functions by L-BFGS.

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Number of recent steps, with their gradient changes, that L-BFGS stores. With more steps, a fit takes fewer
/// iterations. With hundreds of thousands of weights, however, the stored steps would dominate the time of an
/// iteration.
const REMEMBERED: usize = 8;
/// Maximum number of function evaluations in one line search. It ends the search on functions that have no minimum.
const EVALUATIONS: usize = 20;
/// Sufficient-decrease constant of the weak Wolfe conditions. A step must lower the function by at least this fraction
/// of the decrease that the slope at its start predicts.
const DECREASE: f64 = 1e-4;
/// Curvature constant of the weak Wolfe conditions. The slope at the end of a step must be at most this fraction of the
/// slope at its start.
const CURVATURE: f64 = 0.9;
/// Relative rounding error of a function value. If a step changes the value by less, its slope alone decides whether it
/// is accepted (approximate Wolfe conditions, Hager and Zhang 2005).
const ROUNDING: f64 = 1e-13;
/// Number of values that one parallel task sums. It is fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// Differentiable function of a vector, which is to be minimised.
pub(crate) trait Function {
    /// Computes the function's value and its gradient at a point.
    ///
    /// # Errors
    /// [`Error`] if the data that define the function cannot be read.
    fn value_and_gradient(&self, at: &[f64]) -> Result<(f64, Vec<f64>)>;

    /// FLOPs of computing the value and the gradient once. A multiply-add of the matrix products counts as two.
    fn flops(&self) -> u64;
}

/// Minimum of a function that [`minimize`] returned, and the cost of the minimisation.
#[derive(Debug, Clone)]
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    /// Norm of the gradient at the minimum.
    pub(crate) gradient_norm: f64,
    /// FLOPs of all evaluations of the function. The vector operations of the optimiser itself are not included.
    pub(crate) flops: u64,
    /// Second moments of the features, cached for the next fit on the same features. They are used by `Scaling`.
    pub(super) moments: Option<Vec<f64>>,
}

/// Point at which the function was evaluated, with the function's value and gradient.
struct Point {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// Stored step s of L-BFGS, with the change y of the gradient along it, and 1/(s·y).
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// Minimises a convex function from the starting point `start`, by L-BFGS (Nocedal and Wright 2006, algorithm 7.4). The
/// line search bisects until the weak Wolfe conditions hold. The optimiser stops when the gradient norm is below
/// `tolerance`, when no step lowers the value in f64, or after `most_steps` steps.
///
/// # Errors
/// * [`Error::Argument`] if the value or the gradient is not finite at the start or at the result.
/// * Any error that the function returns.
pub(crate) fn minimize<F: Function>(function: &F, start: Vec<f64>, tolerance: f64, most_steps: u64) -> Result<Minimum> {
    let mut evaluations = 0;
    let mut evaluate = |at: Vec<f64>| {
        evaluations += 1;
        let (value, gradient) = function.value_and_gradient(&at)?;
        Ok(Point { at, value, gradient })
    };
    let mut here = evaluate(start)?;
    let mut norm = norm_of(&here)?;
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(REMEMBERED);
    for _ in 0..most_steps {
        if norm < tolerance {
            break;
        }
        let mut direction = direction(&here.gradient, &pairs);
        let mut slope = dot(&here.gradient, &direction);
        if slope.is_nan() || slope >= 0.0 {
            pairs.clear();
            direction = here.gradient.iter().map(|part| -part).collect();
            slope = -norm * norm;
        }
        let Some(next) = search(&here, &direction, slope, &mut evaluate)? else { break };
        let (step, change) = (difference(&next.at, &here.at), difference(&next.gradient, &here.gradient));
        let curvature = dot(&step, &change);
        if curvature > 0.0 {
            if pairs.len() == REMEMBERED {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step, change, inverse: 1.0 / curvature });
        }
        here = next;
        norm = norm_of(&here)?;
    }
    Ok(Minimum { at: here.at, gradient_norm: norm, flops: evaluations * function.flops(), moments: None })
}

/// Gradient norm at a point. Returns an error if the value or the norm is not finite.
fn norm_of(point: &Point) -> Result<f64> {
    let norm = dot(&point.gradient, &point.gradient).sqrt();
    if point.value.is_finite() && norm.is_finite() {
        return Ok(norm);
    }
    let got = format!("{}, with a gradient of norm {norm}", point.value);
    Err(Error::argument("objective", "a function that L-BFGS can minimise", got))
}

/// Computes the L-BFGS search direction −H·∇f, where H is the inverse Hessian approximated from the stored steps
/// (two-loop recursion, algorithm 7.4 of Nocedal and Wright 2006).
fn direction(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let Some(last) = pairs.back() else { return direction };
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &direction);
        add_scaled(&mut direction, -share, &pair.change);
        shares.push(share);
    }
    let scale = 1.0 / (last.inverse * dot(&last.change, &last.change));
    direction.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|part| *part *= scale));
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let back = pair.inverse * dot(&pair.change, &direction);
        add_scaled(&mut direction, share - back, &pair.step);
    }
    direction
}

/// Searches along the direction for a point where the weak Wolfe conditions hold. Returns `None` if no step lowers the
/// function's value.
fn search(
    here: &Point,
    direction: &[f64],
    slope: f64,
    evaluate: &mut impl FnMut(Vec<f64>) -> Result<Point>,
) -> Result<Option<Point>> {
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
    let mut best: Option<Point> = None;
    for _ in 0..EVALUATIONS {
        let mut at = here.at.clone();
        add_scaled(&mut at, length, direction);
        let next = evaluate(at)?;
        let end = dot(&next.gradient, direction);
        let flat = next.value <= here.value + ROUNDING * here.value.abs() && end <= (2.0 * DECREASE - 1.0) * slope;
        if !(next.value <= here.value + DECREASE * length * slope || flat) {
            high = length;
            // The minimum of the parabola through both values with the slope at the start.
            let parabola = -0.5 * slope * length.powi(2) / (next.value - here.value - slope * length);
            let inside = if low == 0.0 && parabola.is_finite() { parabola } else { 0.5 * (low + high) };
            length = inside.clamp(low + 0.1 * (high - low), low + 0.5 * (high - low));
            continue;
        }
        if end >= CURVATURE * slope {
            return Ok(Some(next));
        }
        low = length;
        length = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * length };
        best = Some(next);
    }
    Ok(best)
}

/// Dot product. The order of summation depends only on the length, not on the number of threads.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let of_chunk = |(left, right): (&[f64], &[f64])| {
        let mut sums = [0.0; 8];
        let ((lefts, left), (rights, right)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
        for (left, right) in lefts.iter().zip(rights) {
            for lane in 0..8 {
                sums[lane] += left[lane] * right[lane];
            }
        }
        sums.iter().sum::<f64>() + left.iter().zip(right).map(|(left, right)| left * right).sum::<f64>()
    };
    if left.len() <= CHUNK {
        return of_chunk((left, right));
    }
    let sums: Vec<f64> = left.par_chunks(CHUNK).zip(right.par_chunks(CHUNK)).map(of_chunk).collect();
    sums.iter().sum()
}

fn add_scaled(to: &mut [f64], scale: f64, values: &[f64]) {
    to.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(to, values)| {
        to.iter_mut().zip(values).for_each(|(to, value)| *to += scale * value);
    });
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}
