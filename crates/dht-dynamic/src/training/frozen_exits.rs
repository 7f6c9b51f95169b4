//! Trains early exits, while the encoder and its last exit stay frozen.

use candle_core::Tensor;
use dht_transformer::{
    EncodedDataset, ForwardContext, Objective, PackedBatch, Progress, StepLoss,
    error::SettingMismatch,
    tensors::{Parameters, binary_cross_entropy, soft_cross_entropy},
    train::metrics::Confusion,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state_cache::{BatchStates, FrozenStates};
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::outputs::{Outputs, truth_of};

/// Training targets of early exits: the texts' labels, the last exit's probabilities (distillation), or both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitTargets {
    /// Labels of the training texts; the loss is the cross-entropy.
    Labels,
    /// Probabilities that the last exit predicts (knowledge distillation, Hinton et al. 2015). The loss is
    /// τ²·KL(softmax(t/τ) ‖ softmax(z/τ)) at temperature τ, where t are the logits of the last exit and z those of the
    /// trained exit. For multi-label tasks, it is τ² times the cross-entropy of σ(t/τ) and σ(z/τ), which differs from
    /// the Kullback–Leibler divergence by a constant.
    SoftLabels {
        /// Temperature τ by which the logits are divided, above 0.
        temperature: f64,
    },
    /// Labels and the last exit's probabilities. The loss is the mean of the losses of [`Labels`](Self::Labels) and
    /// [`SoftLabels`](Self::SoftLabels).
    Both {
        /// Temperature τ by which the logits are divided, above 0.
        temperature: f64,
    },
}

impl ExitTargets {
    fn check(self) -> Result<()> {
        match self {
            Self::SoftLabels { temperature } | Self::Both { temperature }
                if !(temperature > 0.0 && temperature.is_finite()) =>
            {
                Err(Error::argument("temperature", "a finite number above 0", temperature))
            }
            _ => Ok(()),
        }
    }
}

/// Training objective for the exits before the last, on a frozen encoder. The layers and the last exit stay identical
/// to the bit.
///
/// Each trained exit has a mean loss over the batch, and the total loss is the sum over these exits. The exits do not
/// influence each other. The [score](Objective::score) is the mean macro F1 of the trained exits; for multi-label
/// tasks, the mean micro F1.
///
/// # Examples
/// Trains the first of two exits for one epoch, on the labels of the texts:
///
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::router::LeavingRule;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
/// # use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
/// # use rand::SeedableRng;
/// use dht_dynamic::training::{ExitTargets, FrozenExits};
/// use dht_dynamic::transformer::{TrainSettings, Trainer};
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let exits = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
/// # let model = DynamicModel::new(exits, LeavingRule::Confidence)?;
/// # let texts = tokenizer.encode_all(&data, 16)?;
/// let mut training = FrozenExits::new(model, ExitTargets::Labels)?;
/// let settings = TrainSettings { epochs: 1, batch_size: 4, ..TrainSettings::default() };
/// Trainer::new(settings).fit(&mut training, &texts, &texts, &mut ())?;
/// assert!(training.flops() > 0);
/// let trained = training.into_model();
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug)]
pub struct FrozenExits {
    model: DynamicModel,
    targets: ExitTargets,
    states: FrozenStates,
    /// Weight of each class in the loss; `None` for equal weights.
    class_weights: Option<Vec<f32>>,
    flops: u64,
}

impl FrozenExits {
    /// Creates the training objective for all exits of a model except the last one.
    ///
    /// # Errors
    /// [`Error::Argument`] if the temperature is not a finite number above 0, or if the model has only one exit or has
    /// an n-gram classifier.
    pub fn new(model: DynamicModel, targets: ExitTargets) -> Result<Self> {
        targets.check()?;
        if model.model().exits().len() < 2 {
            return Err(Error::argument("exits", "at least two", model.model().exits().len()));
        }
        if model.front().is_some() {
            let expected = "one without a front exit, which was stacked on other exits";
            return Err(Error::argument("model", expected, "one with it"));
        }
        Ok(Self { model, targets, states: FrozenStates::default(), class_weights: None, flops: 0 })
    }

    /// Caches hidden states in half precision, in at most `bytes` bytes: two for each token, exit and hidden unit.
    /// Training then runs the frozen layers only once for each cached text. When training is resumed from a checkpoint,
    /// the cache is empty, and the result then differs by rounding.
    #[must_use]
    pub fn with_cache(self, bytes: usize) -> Self {
        self.with_states(FrozenStates::new(bytes))
    }

    /// Uses a cache of hidden states that a model with the same layers and the same last exit has filled.
    pub(crate) fn with_states(self, states: FrozenStates) -> Self {
        Self { states, ..self }
    }

    /// Weights the classes in the loss of a batch, which is then the mean of w(class)·loss over its texts. The mean
    /// weight of the training texts must be 1.
    pub(crate) fn with_class_weights(self, class_weights: Option<Vec<f32>>) -> Self {
        Self { class_weights, ..self }
    }

    /// Model, with its exits in their current state of training.
    pub fn model(&self) -> &DynamicModel {
        &self.model
    }

    /// FLOPs of all matrix products of training so far, without validation. They include the forward pass of the frozen
    /// layers, and the forward and backward passes of the exits.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// Returns the model with its trained exits.
    pub fn into_model(self) -> DynamicModel {
        self.model
    }

    /// Number of exits to train, and the number of frozen layers that must run for their loss.
    fn students(&self) -> (usize, usize) {
        let exits = self.model.model().depths();
        let students = exits.len() - 1;
        match self.targets {
            ExitTargets::Labels => (students, exits[students - 1]),
            ExitTargets::SoftLabels { .. } | ExitTargets::Both { .. } => (students, exits[students]),
        }
    }

    /// FLOPs of one training step. `ran` are the texts that were not cached: they need a forward pass of the frozen
    /// layers, and of the last exit if it provides targets. Every text of the batch needs a forward and a backward pass
    /// of the trained exits. Gradients of the hidden states are not computed.
    fn step_flops(&self, batch: &PackedBatch, ran: &[usize]) -> u64 {
        let (model, (students, depth)) = (self.model.model(), self.students());
        let of_exits = |tokens| -> u64 {
            let flops = model.exits()[..students].iter().map(|exit| exit.flops(tokens));
            flops.map(|flops| flops.forward.0 + flops.backward_weights.0).sum()
        };
        let of_frozen = |sample: &usize| {
            let tokens = batch.spans.range(*sample).len();
            let teacher = if self.reads_teacher() { model.exits()[students].flops(tokens).forward.0 } else { 0 };
            model.layer_flops(depth, tokens) + teacher
        };
        ran.iter().map(of_frozen).sum::<u64>() + batch.spans.lengths().map(of_exits).sum::<u64>()
    }

    /// Computes the training loss of a batch, summed over the trained exits. Also returns the indices of the texts for
    /// which the frozen layers ran, because their states were not cached.
    fn loss(&mut self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<(Tensor, Vec<usize>)> {
        let (model, reads_teacher) = (self.model.model(), self.reads_teacher());
        let outputs = model.outputs();
        let BatchStates { exits, own: teacher, ran } = self.states.states(model, batch, reads_teacher)?;
        let logits = model.exits().iter().zip(&exits).map(|(exit, hidden)| exit.logits(hidden, ctx));
        let logits = logits.collect::<Result<Vec<Tensor>>>()?;
        let of_exit = |logits: &Tensor| -> Result<Tensor> {
            let labels = || outputs.task().losses(logits, batch);
            let soft = |teacher: &Tensor, temperature: f64| -> Result<Tensor> {
                Ok(match outputs {
                    Outputs::Classes(_) => soft_cross_entropy(logits, teacher, temperature)?,
                    Outputs::Labels(_) => {
                        let teacher = ((teacher.detach() / -temperature)?.exp()? + 1.0)?.recip()?;
                        let loss = binary_cross_entropy(&(logits / temperature)?, &teacher)?;
                        (loss * (temperature * temperature))?
                    }
                })
            };
            Ok(match (self.targets, &teacher) {
                (ExitTargets::SoftLabels { temperature }, Some(teacher)) => soft(teacher, temperature)?,
                (ExitTargets::Both { temperature }, Some(teacher)) => {
                    ((labels()? + soft(teacher, temperature)?)? * 0.5)?
                }
                _ => labels()?,
            })
        };
        let losses = logits.iter().map(of_exit).collect::<Result<Vec<_>>>()?;
        let losses = Tensor::stack(&losses, 0)?.sum(0)?; // (texts)
        let Some(weights) = &self.class_weights else { return Ok((losses.mean_all()?, ran)) };
        let weights: Vec<f32> = batch.labels.iter().map(|label| weights[*label as usize]).collect();
        let weights = Tensor::from_vec(weights, batch.len(), losses.device())?;
        Ok(((losses.to_dtype(weights.dtype())? * weights)?.mean_all()?, ran))
    }

    fn reads_teacher(&self) -> bool {
        self.targets != ExitTargets::Labels
    }

    fn comparable(&self) -> Result<Value> {
        let of_state = |source| Error::Json { what: "training state".into(), source };
        let settings = serde_json::to_value(self.model.model().settings()).map_err(of_state)?;
        let targets = serde_json::to_value(self.targets).map_err(of_state)?;
        Ok(json!({ "exits": settings, "targets": targets, "encoder": self.model.encoder().config() }))
    }
}

impl Objective for FrozenExits {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.encoder().parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.model.model().check_texts(data)
    }

    fn prepare(&mut self, training: &EncodedDataset, _: Progress) -> Result<()> {
        self.model.model().check_texts(training)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let (loss, ran) = self.loss(&batch, &ctx)?;
        self.flops += self.step_flops(&batch, &ran);
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.model.model().check_texts(data)?;
        let by_exit = self.model.model().exit_log_probabilities(data, batch_size)?;
        let students = &by_exit[..by_exit.len() - 1];
        let macro_f1 = |exit: &LogProbabilities| match exit.outputs() {
            Outputs::Classes(_) => Ok(Confusion::from_predictions(data, &exit.labels())?.macro_f1()),
            Outputs::Labels(_) => Ok(exit.score(&truth_of(data))),
        };
        Ok(students.iter().map(macro_f1).sum::<Result<f64>>()? / students.len() as f64)
    }

    fn metric(&self) -> &'static str {
        match self.model.model().outputs() {
            Outputs::Classes(_) => "mean macro F1 of the exits",
            Outputs::Labels(_) => "mean micro F1 of the exits",
        }
    }

    fn state(&self) -> Result<Value> {
        let mut state = self.comparable()?;
        state["flops"] = self.flops.into();
        Ok(state)
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        let stored = json!({ "exits": state["exits"], "targets": state["targets"], "encoder": state["encoder"] });
        Ok(SettingMismatch::between(&stored, &self.comparable()?))
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.model.model().check_texts(training)?;
        let flops = state["flops"].as_u64();
        let missing = || Error::state("flops", "a number of FLOPs in the training state", &state["flops"]);
        self.flops = flops.ok_or_else(missing)?;
        Ok(())
    }
}
