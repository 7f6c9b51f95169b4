//! Backward pass of a [`ForwardContext`]. It merges the gradients of candle's graph with those of the fused operations.

use std::sync::atomic::Ordering;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::ForwardContext;
use crate::backend::select::select;
use crate::error::Result;
use crate::tensors::{Gradients, Parameters};

impl ForwardContext {
    /// Runs the backward pass of `loss` (a tensor with one value) and returns the gradients of all parameters that are
    /// not frozen.
    ///
    /// Call this method once for each context, since the backward pass consumes the saved activations.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation or a fused operation fails.
    pub fn backward(&self, loss: &Tensor, parameters: &Parameters) -> Result<Gradients> {
        Ok(self.both(loss, parameters)?.1)
    }

    /// Runs the backward pass of `loss` (a tensor with one value) and returns all gradients as dense tensors, for an
    /// optimiser of candle.
    ///
    /// The returned store has the gradients of all parameters that are not frozen. It also has the gradients of every
    /// other variable on which the loss depends, such as a classifier created by `candle_nn::linear`.
    ///
    /// Call this method, or [`backward`](Self::backward), once for each context.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation or a fused operation fails.
    pub fn grad_store(&self, loss: &Tensor, parameters: &Parameters) -> Result<GradStore> {
        let (mut store, gradients) = self.both(loss, parameters)?;
        for (id, _, var) in parameters.iter().filter(|(id, ..)| parameters.is_frozen(*id)) {
            debug_assert!(gradients.get(id).is_none());
            store.remove(var);
        }
        gradients.put_into(&mut store, parameters)?;
        Ok(store)
    }

    /// Runs the backward pass of `loss`. Returns the gradients in candle's graph, and the gradients of all
    /// `parameters`, including those computed by fused operations.
    fn both(&self, loss: &Tensor, parameters: &Parameters) -> Result<(GradStore, Gradients)> {
        self.check(parameters)?;
        let in_backward = |runs| self.training.iter().for_each(|it| it.in_backward.store(runs, Ordering::Relaxed));
        in_backward(true);
        let store = loss.backward();
        in_backward(false);
        let store = store?;
        self.read_gates(&store)?;
        let mut gradients = match self.gradients() {
            Some(mut gradients) => std::mem::replace(&mut *gradients, Gradients::empty(parameters.len())),
            None => Gradients::empty(parameters.len()),
        };
        for (id, _, var) in parameters.iter() {
            if parameters.is_frozen(id) {
                *gradients.slot(id) = None;
            } else if let Some(gradient) = store.get(var) {
                gradients.add(id, select(gradient.device()).gradient(gradient)?)?;
            }
        }
        Ok((store, gradients))
    }

    /// Moves the gradients of gates on attention heads from candle's store and from the GPU into this context.
    fn read_gates(&self, store: &GradStore) -> Result<()> {
        #[cfg(feature = "cuda")]
        {
            let computed = self.lock_gates().map(|mut gates| std::mem::take(&mut gates.on_device)).unwrap_or_default();
            for (layer, samples, heads, gradients) in computed {
                let heads: Vec<usize> = heads.iter().collect();
                for (sample, gradients) in samples.iter().zip(gradients.to_vec2::<f32>()?) {
                    self.record_gate_gradients(layer, *sample, &heads, &gradients);
                }
            }
        }
        let vars = self.lock_gates().map(|mut gates| std::mem::take(&mut gates.vars)).unwrap_or_default();
        for (layer, samples, heads, var) in vars.iter().rev() {
            let Some(gate_gradients) = store.get(var) else { continue };
            let heads: Vec<usize> = heads.iter().collect();
            for (sample, gate_gradients) in samples.iter().zip(gate_gradients.to_vec2::<f32>()?) {
                self.record_gate_gradients(*layer, *sample, &heads, &gate_gradients);
            }
        }
        Ok(())
    }
}

impl Gradients {
    /// Selects the gradients of `parameters` from candle's store of gradients.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation fails, or if a gradient on the CPU is not in f32.
    pub fn from_grad_store(store: &GradStore, parameters: &Parameters) -> Result<Self> {
        let mut gradients = Self::empty(parameters.len());
        for (id, _, var) in parameters.iter() {
            if let Some(gradient) = store.get(var) {
                gradients.set(id, select(gradient.device()).gradient(gradient)?);
            }
        }
        Ok(gradients)
    }
}
