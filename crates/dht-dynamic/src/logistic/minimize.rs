//! L-BFGS, with the crate `argmin`.

use std::cell::{Cell, RefCell};

use argmin::core::{CostFunction, Error as ArgminError, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use crate::error::{Error, Result};

/// The number of pairs of differences that L-BFGS stores. Ten, the usual number, would take fewer steps. But with
/// hundreds of thousands of weights, the pairs dominate the time of a step.
const REMEMBERED: usize = 5;

/// The maximum number of evaluations for each step. The solver's line search has no limit of its own and does not end
/// on a function that is unbounded below.
const EVALUATIONS: u64 = 20;

/// A differentiable function of a vector.
pub(crate) trait Function {
    /// The value and the gradient at a point.
    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>);

    /// FLOPs of one evaluation of the value and the gradient: two for each multiply-add of the matrix products.
    fn flops(&self) -> u64;
}

/// Result of a minimisation.
#[derive(Debug, Clone)]
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    /// The gradient norm ‖∇f‖₂ at the result.
    pub(crate) gradient_norm: f64,
    /// FLOPs of all evaluated values and gradients. The solver's own vector sums over stored pairs are not included.
    pub(crate) flops: u64,
}

/// A point, with the value and the gradient at this point.
type Evaluated = (Vec<f64>, f64, Vec<f64>);

/// Cache of the last evaluation. The value and the gradient of a point are computed together, but the solver requests
/// them separately.
struct Remembering<'a, F> {
    function: &'a F,
    last: RefCell<Option<Evaluated>>,
    /// The number of evaluations so far, limited to `most`.
    evaluations: &'a Cell<u64>,
    most: u64,
}

impl<F: Function> Remembering<'_, F> {
    fn at<T>(&self, at: &[f64], read: impl Fn(&Evaluated) -> T) -> Result<T, ArgminError> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some(known) if known.0 == at => Ok(read(known)),
            _ => {
                if self.evaluations.get() == self.most {
                    return Err(ArgminError::msg("a line search that does not end"));
                }
                self.evaluations.set(self.evaluations.get() + 1);
                let (value, gradient) = self.function.value_and_gradient(at);
                Ok(read(last.insert((at.to_vec(), value, gradient))))
            }
        }
    }
}

impl<F: Function> CostFunction for Remembering<'_, F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, ArgminError> {
        self.at(at, |known| known.1)
    }
}

impl<F: Function> Gradient for Remembering<'_, F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, ArgminError> {
        self.at(at, |known| known.2.clone())
    }
}

/// Minimises a convex function from a starting point. The minimisation stops when ‖∇f‖₂ < `tolerance`, when a step does
/// not lower the value in f64, or after `most_steps`.
///
/// # Errors
/// [`Error::Argument`] when the function or its gradient is not finite at the start or at the result.
pub(crate) fn minimize<F: Function>(function: &F, start: Vec<f64>, tolerance: f64, most_steps: u64) -> Result<Minimum> {
    let failed = |got: String| Error::argument("objective", "a function that L-BFGS can minimise", got);
    let (value, gradient) = function.value_and_gradient(&start);
    let norm = norm(&gradient);
    if !value.is_finite() || !norm.is_finite() {
        return Err(failed(format!("{value}, with a gradient of norm {norm}")));
    }
    if norm < tolerance {
        return Ok(Minimum { at: start, gradient_norm: norm, flops: function.flops() });
    }
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), REMEMBERED)
        .with_tolerance_grad(tolerance)
        // The value of a nearly flat function changes less than any useful tolerance long before convergence.
        .and_then(|solver| solver.with_tolerance_cost(0.0))
        .map_err(|error| failed(error.to_string()))?;
    let (most, evaluations) = (EVALUATIONS * most_steps, Cell::new(0));
    let remembering = Remembering { function, last: RefCell::new(None), evaluations: &evaluations, most };
    let result = Executor::new(remembering, solver)
        .configure(|state| state.param(start).cost(value).gradient(gradient).max_iters(most_steps))
        .timer(false)
        .run()
        .map_err(|error| failed(error.to_string()))?;
    let steps = result.state().get_iter();
    let at = result.state().get_best_param().cloned().ok_or_else(|| failed("without a result".into()))?;
    let (value, gradient) = function.value_and_gradient(&at);
    let gradient_norm = self::norm(&gradient);
    if !value.is_finite() || !gradient_norm.is_finite() {
        return Err(failed(format!("{value}, with a gradient of norm {gradient_norm}, after {steps} steps")));
    }
    // Includes the evaluations at the start and at the result.
    Ok(Minimum { at, gradient_norm, flops: (evaluations.get() + 2) * function.flops() })
}

fn norm(gradient: &[f64]) -> f64 {
    gradient.iter().map(|part| part * part).sum::<f64>().sqrt()
}
