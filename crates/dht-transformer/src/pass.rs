//! One way through the encoder and back: inference, or a training step with its dropout masks and its gradients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use crate::Result;
use crate::kernels::dropout::{Dropout, Place};
use crate::ops::Layouts;
use crate::parameters::{Gradient, Gradients, ParameterId, Parameters};

/// How the encoder runs: without gradient, or as one training step.
///
/// The fused operations do not hand the gradients of their weights to candle's graph, which would copy and add buffers
/// of the size of the model. They add them up here, and [`backward`](Self::backward) returns them together with those
/// that candle collected.
#[derive(Debug, Clone)]
pub struct Pass {
    training: Option<Arc<Training>>,
    layouts: Arc<Layouts>,
}

#[derive(Debug)]
struct Training {
    seed: u64,
    step: u32,
    dropout: bool,
    gradients: Mutex<Gradients>,
}

impl Pass {
    /// A pass without gradient and without dropout.
    pub fn inference() -> Self {
        Self { training: None, layouts: Arc::default() }
    }

    /// A training step over `parameters`: `seed` and `step` key the dropout masks.
    pub fn training(parameters: &Parameters, seed: u64, step: u32) -> Self {
        Self::with(parameters, seed, step, true)
    }

    /// A training step whose dropouts are switched off, whatever the model's configuration says.
    pub fn training_without_dropout(parameters: &Parameters) -> Self {
        Self::with(parameters, 0, 0, false)
    }

    fn with(parameters: &Parameters, seed: u64, step: u32, dropout: bool) -> Self {
        let gradients = Mutex::new(Gradients::empty(parameters.len()));
        let training = Training { seed, step, dropout, gradients };
        Self { training: Some(Arc::new(training)), layouts: Arc::default() }
    }

    /// Weights laid out for the runs of this pass: parameters do not change in the course of it.
    pub(crate) fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// Whether a backward may follow.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// The dropout of this step at a place, if any number is to be dropped there.
    pub(crate) fn dropout(&self, probability: f64, place: Place) -> Option<Dropout> {
        let training = self.training.as_ref().filter(|training| training.dropout)?;
        Dropout::new(probability, training.seed, training.step, place)
    }

    fn gradients(&self) -> Option<MutexGuard<'_, Gradients>> {
        // A poisoned lock means that a backward panicked; its gradients are then never read.
        self.training.as_ref().map(|t| t.gradients.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a gradient to a parameter's.
    pub(crate) fn accumulate(&self, id: ParameterId, gradient: Gradient) {
        if let Some(mut gradients) = self.gradients() {
            gradients.add(id, gradient);
        }
    }

    /// Adds the gradient of a block of rows and columns of a matrix parameter; see [`Gradients::add_block`].
    pub(crate) fn accumulate_block(
        &self,
        id: ParameterId,
        shape: [usize; 2],
        rows: &[usize],
        columns: &[usize],
        values: &[f32],
    ) {
        if let Some(mut gradients) = self.gradients() {
            gradients.add_block(id, shape, rows, columns, values);
        }
    }

    /// Runs the backward of `loss` (one number) and returns every parameter's gradient.
    ///
    /// Call it once for a pass: the activations are given up on the way.
    ///
    /// # Errors
    /// What candle or an operation reports.
    pub fn backward(&self, loss: &Tensor, parameters: &Parameters) -> Result<Gradients> {
        let store = loss.backward()?;
        let mut gradients = match self.gradients() {
            Some(mut gradients) => std::mem::replace(&mut *gradients, Gradients::empty(parameters.len())),
            None => Gradients::empty(parameters.len()),
        };
        for (id, _, var) in parameters.iter() {
            if parameters.is_frozen(id) {
                *gradients.slot(id) = None;
                continue;
            }
            if let Some(gradient) = store.get(var) {
                let gradient = if gradient.device().is_cpu() {
                    Gradient::Dense(gradient.flatten_all()?.to_vec1()?)
                } else {
                    Gradient::Device(gradient.clone())
                };
                gradients.add(id, gradient);
            }
        }
        Ok(gradients)
    }
}
