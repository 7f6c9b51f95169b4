//! Mode and state of a forward pass: inference, or a training step with its dropout masks and weight gradients.

mod backward;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::Tensor;
use candle_core::{DType, Device, Var};

use crate::backend::cpu::{Dropout, DropoutSite, PackedWeights};
use crate::error::{Error, Result};
#[cfg(feature = "cuda")]
use crate::tensors::Parameter;
use crate::tensors::{Gradient, Gradients, HeadSet, Packing, ParameterId, Parameters, Precision};

/// Execution mode of a forward pass: inference, or one training step.
///
/// Fused operations, which run whole layers or sublayers, do not pass the gradients of their weights to candle's graph:
/// the graph would copy and add buffers of the size of the model. They accumulate these gradients in the context.
/// [`backward`](Self::backward) returns them together with the gradients that candle collected.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use dht_transformer::{ForwardContext, HeadPlan};
///
/// let run = |ctx: &ForwardContext| encoder.run(0..2, &encoder.embed(&batch, ctx)?, &HeadPlan::Full, ctx);
/// let rows = run(&ForwardContext::inference())?;
/// assert_eq!(rows.tensor().dims(), [batch.tokens(), 16]);
///
/// let ctx = ForwardContext::training(encoder.parameters(), 7, 0);
/// let loss = run(&ctx)?.to_f32()?.sqr()?.sum_all()?;
/// let gradients = ctx.backward(&loss, encoder.parameters())?;
/// assert!(gradients.iter().count() > 0);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ForwardContext {
    training: Option<Arc<Training>>,
    /// `true` if all layers run as candle's own operations, without fused operations.
    in_graph: bool,
    gates: Option<Arc<Mutex<Gates>>>,
    /// Precision in which the encoder's layers run. `None` selects the precision of the model's parameters.
    precision: Option<Precision>,
    packed_weights: Arc<PackedWeights>,
    #[cfg(feature = "cuda")]
    rounded_weights: Arc<Mutex<RoundedWeights>>,
}

/// Weights rounded to the layers' precision. The key is the variable's id and the data type; the value has the version
/// of the weight that was rounded, and the rounded tensor.
#[cfg(feature = "cuda")]
type RoundedWeights = std::collections::HashMap<(candle_core::TensorId, DType), (u64, Tensor)>;

#[derive(Debug)]
struct Training {
    /// Parameters whose gradients this training step collects. A parameter added to the model later is not among them.
    parameters: Parameters,
    seed: u64,
    step: u32,
    dropout: bool,
    /// `true` while [`ForwardContext`] itself runs candle's backward pass and collects the gradients of weights.
    in_backward: AtomicBool,
    gradients: Mutex<Gradients>,
}

/// Gradient ∂L/∂ξ of the loss L with respect to a gate ξ = 1. The gate multiplies the output of one head in one layer
/// for one sample.
///
/// Its absolute value is the importance of the head for the sample (Michel, Levy and Neubig 2019, equation 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadGateGradient {
    /// Layer number, counted from 0.
    pub layer: usize,
    /// Id of the sample, which is its row in the data set.
    pub sample: u64,
    /// Head number within the layer, counted from 0.
    pub head: usize,
    /// Value of ∂L/∂ξ, in the unit of the loss. If the loss is a mean over n samples, this is 1/n of the derivative of
    /// the sample's own loss.
    pub gradient: f32,
}

/// Gates that multiply the outputs of attention heads. After a backward pass, also the gradients of the gates.
#[derive(Debug, Default)]
struct Gates {
    gate_gradients: Vec<HeadGateGradient>,
    /// Gate variables in candle's graph, on devices other than the CPU. Each entry has a layer number, the sample ids,
    /// the heads, and a variable of shape (samples, heads).
    vars: Vec<(usize, Vec<u64>, HeadSet, Var)>,
    /// Gradients of gates that a backward pass left on a GPU. Each entry has a layer number, the sample ids, the heads,
    /// and the gradients with shape (samples, heads).
    #[cfg(feature = "cuda")]
    on_device: Vec<(usize, Vec<u64>, HeadSet, Tensor)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock means that a backward pass panicked; its gradients are then never read.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ForwardContext {
    /// Creates a context for inference, without gradients and without dropout.
    ///
    /// The context caches weights that are packed for matrix products, which takes as much memory as the weights. Use
    /// one context for all batches of an evaluation. Create a new context after a variable was changed by anything but
    /// [`AdamW`](crate::train::optim::AdamW) or [`Parameters::set_values`].
    pub fn inference() -> Self {
        Self {
            training: None,
            in_graph: false,
            gates: None,
            precision: None,
            packed_weights: Arc::default(),
            #[cfg(feature = "cuda")]
            rounded_weights: Arc::default(),
        }
    }

    /// Creates a context for inference in `precision`, which overrides the precision of the model.
    /// [`Encoder::embed`](crate::Encoder::embed) returns an error if the device does not support it.
    pub fn inference_in(precision: Precision) -> Self {
        let packed_weights = Arc::new(PackedWeights::new(precision));
        Self { precision: Some(precision), packed_weights, ..Self::inference() }
    }

    /// Creates an [`inference`](Self::inference) context that replaces the fused CPU operations by candle's own
    /// operations. Use it to compare the CPU with other devices, which run the same operations except for their custom
    /// kernels.
    pub fn inference_in_candle_graph() -> Self {
        Self { in_graph: true, ..Self::inference() }
    }

    /// Creates the context of one training step over `parameters`. `seed` and `step` determine the dropout masks.
    pub fn training(parameters: &Parameters, seed: u64, step: u32) -> Self {
        Self::with(parameters, (seed, step), true, false)
    }

    /// Creates the context of one training step without dropout, even if the model's configuration has a dropout.
    pub fn training_without_dropout(parameters: &Parameters) -> Self {
        Self::with(parameters, (0, 0), false, false)
    }

    /// Creates the context of one training step that uses only candle's operations, even on the CPU. `loss.backward()`
    /// and `candle_nn::Optimizer::backward_step` then obtain the gradients of all weights from candle's graph.
    ///
    /// The values equal those of [`training`](Self::training) up to rounding. A training loop that can call
    /// [`grad_store`](Self::grad_store) in place of `loss.backward()` does not need this context, and can use the fused
    /// operations, which are faster on a CPU.
    pub fn in_candle_graph(parameters: &Parameters, seed: u64, step: u32) -> Self {
        Self::with(parameters, (seed, step), true, true)
    }

    fn with(parameters: &Parameters, (seed, step): (u64, u32), dropout: bool, in_graph: bool) -> Self {
        let gradients = Mutex::new(Gradients::empty(parameters.len()));
        let training = Training {
            parameters: parameters.clone(),
            seed,
            step,
            dropout,
            in_backward: AtomicBool::new(false),
            gradients,
        };
        Self { training: Some(Arc::new(training)), in_graph, ..Self::inference() }
    }

    /// Makes the backward pass compute a [gradient](Self::head_gate_gradients) for a gate on each head. The gradient is
    /// the dot product Σ c·∂L/∂c over the rows of a sample, where c is the attention output of the head. The backward
    /// pass computes c and ∂L/∂c anyway.
    #[must_use]
    pub fn with_head_gate_gradients(mut self) -> Self {
        self.gates = Some(Arc::default());
        self
    }

    /// Gradients of gates on attention heads, computed by the [backward](Self::backward) pass: one for each head that
    /// ran, in every layer and for every sample.
    ///
    /// The list is ordered from the last layer to the first, and then by sample. It is empty before the backward pass,
    /// and if [`with_head_gate_gradients`](Self::with_head_gate_gradients) was not called.
    ///
    /// Clones of a context share the list. To read it after a training loop has consumed the context, clone the context
    /// first.
    pub fn head_gate_gradients(&self) -> Vec<HeadGateGradient> {
        self.lock_gates().map_or_else(Vec::new, |gates| gates.gate_gradients.clone())
    }

    fn lock_gates(&self) -> Option<MutexGuard<'_, Gates>> {
        self.gates.as_deref().map(lock)
    }

    pub(crate) fn wants_gate_gradients(&self) -> bool {
        self.lock_gates().is_some()
    }

    /// Records the gradients of the gates on attention heads for one sample in one layer. `gate_gradients` has one
    /// value for each head of `heads`.
    pub(crate) fn record_gate_gradients(&self, layer: usize, sample: u64, heads: &[usize], gate_gradients: &[f32]) {
        if let Some(mut gates) = self.lock_gates() {
            let gate_gradients = heads.iter().zip(gate_gradients);
            gates.gate_gradients.extend(gate_gradients.map(|(&head, &gradient)| HeadGateGradient {
                layer,
                sample,
                head,
                gradient,
            }));
        }
    }

    /// Creates a variable of gates that multiply the outputs of attention heads, shape (samples, heads).
    /// [`backward`](Self::backward) reads its gradient. Returns `None` if gate gradients are not enabled.
    pub(crate) fn gates(
        &self,
        layer: usize,
        packing: &Packing,
        heads: HeadSet,
        device: &Device,
    ) -> Result<Option<Var>> {
        let Some(mut gates) = self.lock_gates() else { return Ok(None) };
        let samples = packing.sample_ids().to_vec();
        let var = Var::ones((samples.len(), heads.len()), DType::F32, device)?;
        gates.vars.push((layer, samples, heads, var.clone()));
        Ok(Some(var))
    }

    /// Stores the gradients of one layer's gates on attention heads, shape (samples, heads). They stay on the GPU until
    /// [`backward`](Self::backward) reads them. If gate gradients are not enabled, `gradients` is not called.
    #[cfg(feature = "cuda")]
    pub(crate) fn keep_gate_gradients(
        &self,
        layer: usize,
        packing: &Packing,
        heads: HeadSet,
        gradients: impl FnOnce() -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<()> {
        if self.wants_gate_gradients() {
            let gradients = gradients()?;
            if let Some(mut gates) = self.lock_gates() {
                gates.on_device.push((layer, packing.sample_ids().to_vec(), heads, gradients));
            }
        }
        Ok(())
    }

    /// Copies this context without gates on attention heads, for layers that are not part of the encoder.
    pub(crate) fn without_head_gates(&self) -> Self {
        Self { gates: None, ..self.clone() }
    }

    /// Checks that this training step collects the gradients of `parameters`.
    ///
    /// # Errors
    /// [`Error::Argument`] if this context belongs to other parameters, or was created before some of the parameters
    /// were added.
    pub(crate) fn check(&self, parameters: &Parameters) -> Result<()> {
        let Some(own) = self.training.as_ref().map(|training| &training.parameters) else { return Ok(()) };
        let got = match own.is_same(parameters) {
            true if own.len() >= parameters.len() => return Ok(()),
            true => "made before parameters were added to them",
            false => "made for others",
        };
        Err(Error::argument("context", "one of a training step over the model's parameters", got))
    }

    /// Precision in which the encoder's layers run: the precision that this context sets, otherwise that of
    /// `parameters`.
    pub(crate) fn precision(&self, parameters: &Parameters) -> Precision {
        self.precision.unwrap_or(parameters.precision())
    }

    /// Frees the values of all weights that this context has packed on the CPU, and returns the freed bytes. The packed
    /// copies remain, so that the model runs in this context and its clones as before, with the same results.
    ///
    /// Call this method after a forward pass through all layers. Nothing is freed if a text ran only some heads of a
    /// layer, since the heads of the next text may be others, or if the context is for training.
    ///
    /// Afterwards, the weights of layers cannot be read: saving or training the model, and running it in another
    /// context, fails or panics.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn release_packed_values(&self) -> Result<usize> {
        if self.is_training() {
            return Ok(0);
        }
        Ok(self.packed_weights.release_values()?)
    }

    /// Memory of the weights that this context has packed on the CPU, in bytes.
    pub fn packed_bytes(&self) -> usize {
        self.packed_weights.bytes()
    }

    /// Cache of packed weights of this context.
    pub(crate) fn packed_weights(&self) -> &PackedWeights {
        &self.packed_weights
    }

    /// Rounds a weight to the data type in which layers run. The result is detached from candle's graph. In inference
    /// it is cached for the next batch.
    #[cfg(feature = "cuda")]
    pub(crate) fn rounded(&self, parameter: &Parameter, dtype: DType) -> candle_core::Result<Tensor> {
        let value = parameter.var().as_detached_tensor();
        if self.is_training() || dtype == value.dtype() {
            return value.to_dtype(dtype);
        }
        let (key, version) = ((parameter.var().id(), dtype), parameter.version());
        if let Some((_, cached)) = lock(&self.rounded_weights).get(&key).filter(|(cached, _)| *cached == version) {
            return Ok(cached.clone());
        }
        let rounded = value.to_dtype(dtype)?;
        lock(&self.rounded_weights).insert(key, (version, rounded.clone()));
        Ok(rounded)
    }

    pub(super) fn in_graph(&self) -> bool {
        self.in_graph
    }

    /// Returns an error if a program called candle's backward pass directly. The weight gradients of fused operations
    /// would be lost.
    pub(crate) fn check_in_backward(&self, operation: &str) -> candle_core::Result<()> {
        let lost = |training: &Arc<Training>| !training.in_backward.load(Ordering::Relaxed);
        if self.training.as_ref().is_some_and(lost) {
            candle_core::bail!(
                "{operation}: `loss.backward()` would lose the gradients of its weights; call \
                 `ForwardContext::grad_store` or `ForwardContext::backward`, or run in \
                 `ForwardContext::in_candle_graph`"
            )
        }
        Ok(())
    }

    /// Returns whether this is the context of a training step, which a backward pass may follow.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// Creates the dropout of this training step at one place of the model. Returns `None` in inference and for a
    /// probability of 0.
    pub(crate) fn dropout(&self, probability: f64, site: DropoutSite) -> Option<Dropout> {
        let training = self.training.as_ref().filter(|training| training.dropout)?;
        Dropout::new(probability, training.seed, training.step, site)
    }

    fn gradients(&self) -> Option<MutexGuard<'_, Gradients>> {
        self.training.as_ref().map(|training| lock(&training.gradients))
    }

    /// Adds `gradient` to the sum of gradients that this context stores for a parameter. The sum and `gradient` must be
    /// on the CPU.
    pub(crate) fn accumulate(&self, id: ParameterId, gradient: Gradient) {
        if let Some(mut gradients) = self.gradients() {
            gradients.add_on_host(id, gradient);
        }
    }

    /// Adds `gradient` to the sum of gradients that this context stores for a parameter. Both must be on the same
    /// device, which is not the CPU.
    #[cfg(feature = "cuda")]
    pub(crate) fn accumulate_on_device(&self, id: ParameterId, gradient: Tensor) -> Result<()> {
        self.gradients().map_or(Ok(()), |mut gradients| gradients.add(id, Gradient::Device(gradient)))
    }
}
