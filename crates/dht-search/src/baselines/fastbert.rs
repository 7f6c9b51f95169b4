//! FastBERT (Liu et al. 2020): exits that are distilled from a frozen, trained classifier, and an entropy threshold.
//!
//! ```text
//! backbone    a TextClassifier, fine-tuned before; it is frozen, and its classifier is the last exit
//! training    Σⱼ τ²·KL(softmax(t/τ) ‖ softmax(zⱼ/τ))   over the exits j before the last, whose logits are t; labels are not used
//! inference   a text leaves at the first exit where −Σ p·ln p / ln C < speed
//! ```
//!
//! At speed 0 it is the backbone, to the bit. Speeds are normalised entropies: .1 is slow, .8 is fast.
//!
//! Differences from the source:
//!
//! - Its classifiers are a projection to 128 dimensions, self-attention over all tokens there, and two more layers on the first
//!   token. Ours are [side exits](ExitKind::Side) of 128 neurons on the mean of the states, or linear ones: no attention, and
//!   less than a hundredth of its classifiers' FLOPs at 128 tokens.
//! - The backbone's own classifier, too, is of that kind in the source; here it is whatever the [`TextClassifier`] has.
//! - The paper has KL(p_s ‖ p_t), its released code KL(p_t ‖ p_s), as here. Both have τ = 1, the default.
//! - Its code leaves dropout on in the frozen backbone; here the exits learn the states and answers that inference has.

use candle_core::Tensor;
use dht_transformer::{
    EncodedDataset, ForwardContext, HeadPlan, Objective, PackedBatch, Pooling, Progress, StepLoss, TextClassifier,
    error::SettingMismatch,
    tensors::{Parameters, soft_cross_entropy},
    train::metrics::score,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Baseline;
use crate::error::{Error, Result};
use crate::evaluation::exit_log_probabilities;
use crate::model::{DynamicModel, most_probable};
use crate::routing::ExitReads;
use crate::settings::{ExitKind, RouterKind, SearchSettings};

/// The options of FastBERT. How long the exits are distilled, and with which learning rate, are the
/// [trainer's](dht_transformer::TrainSettings).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastBertSettings {
    /// A text leaves where the normalised entropy is below it. It changes nothing in the training;
    /// [`DynamicModel::set_speed`] sets it later, and [`calibrate`](crate::evaluation::calibrate) finds it for a budget.
    pub speed: f64,
    /// The depths of the exits, ascending, the last of them the backbone's; `None` for every layer, as in the source.
    pub exits: Option<Vec<usize>>,
    /// The exits before the last.
    pub exit_kind: ExitKind,
    /// How they pool the states of a text.
    pub pooling: Pooling,
    /// The temperature τ of the distillation, above 0.
    pub temperature: f64,
}

impl Default for FastBertSettings {
    /// Side exits of 128 neurons after every layer on the mean of the states, τ = 1, and a middle speed.
    fn default() -> Self {
        let exit_kind = ExitKind::Side { width: 128 };
        Self { speed: 0.5, exits: None, exit_kind, pooling: Pooling::Mean, temperature: 1.0 }
    }
}

/// Distils the exits of a FastBERT. The [score](Objective::score) is the mean macro F1 of the exits that learn.
#[derive(Debug)]
pub struct FastBert {
    model: DynamicModel,
    settings: FastBertSettings,
    pending: Option<PackedBatch>,
    flops: u64,
}

impl FastBert {
    /// The distillation of new exits from a backbone that has been fine-tuned. The model has weights of its own, copies of the
    /// backbone's.
    ///
    /// # Errors
    /// [`Error::Setting`] for a temperature that is not above 0; as [`DynamicModel::of_classifier`].
    pub fn new<R: Rng + ?Sized>(backbone: &TextClassifier, settings: FastBertSettings, rng: &mut R) -> Result<Self> {
        if !(settings.temperature > 0.0 && settings.temperature.is_finite()) {
            return Err(Error::setting("temperature", "a finite number above 0", settings.temperature));
        }
        let search = SearchSettings {
            router: RouterKind::EntropyThreshold { threshold: settings.speed },
            exit_kind: settings.exit_kind,
            pooling: settings.pooling,
            ..SearchSettings::default()
        };
        let model = DynamicModel::of_classifier(backbone, settings.exits.as_deref(), search, rng)?;
        Ok(Self { model, settings, pending: None, flops: 0 })
    }

    /// The model as it stands.
    pub fn model(&self) -> &DynamicModel {
        &self.model
    }

    /// FLOPs of all matrix products of the distillation so far, without validation: the backbone's forward, and the exits'
    /// forward and backward. The backbone's own training is not contained.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// The model: the backbone with its exits, a threshold router and the speed of the settings.
    pub fn into_model(self) -> DynamicModel {
        self.model
    }

    /// FLOPs of a step on a text: the full model's forward, which the last exit reads; all other exits forward and
    /// backward, without gradients of the states.
    fn step_flops(&self, batch: &PackedBatch) -> Result<u64> {
        let model = self.model.model();
        let (route, mut reads) = (model.full_route()?, model.full_reads());
        let students = reads.len() - 1;
        reads[..students].iter_mut().for_each(|reads| *reads = ExitReads { attached: 0, detached: 1 });
        let backward: u64 = (0..students).map(|exit| model.exits.at(exit).flops().backward_weights.0).sum();
        Ok(batch.spans.lengths().map(|tokens| model.forward_flops(&route, tokens, &reads) + backward).sum())
    }

    /// The sum over the exits before the last of their mean divergence from it.
    fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let (model, frozen) = (self.model.model(), ForwardContext::inference());
        let (mut hidden, mut depth) = (model.encoder.embed(batch, &frozen)?, 0);
        let mut students = Vec::new();
        let last = model.space.exits().len() - 1;
        for (exit, &end) in model.space.exits().iter().enumerate() {
            hidden = model.encoder.run(depth..end, &hidden, &HeadPlan::Full, &frozen)?.detach();
            depth = end;
            if exit < last {
                students.push(model.exits.at(exit).logits(&hidden, ctx)?);
            }
        }
        let teacher = model.exits.at(last).logits(&hidden, &frozen)?;
        let losses = students.iter().map(|student| soft_cross_entropy(student, &teacher, self.settings.temperature));
        let losses = losses.collect::<dht_transformer::Result<Vec<_>>>()?;
        Ok(Tensor::stack(&losses, 0)?.sum(0)?.mean_all()?)
    }

    fn comparable(&self) -> Result<Value> {
        let of_state = |source| Error::State { what: "training state".into(), source };
        let settings = serde_json::to_value(&self.settings).map_err(of_state)?;
        Ok(json!({ "fastbert": settings, "encoder": self.model.encoder().config() }))
    }
}

impl Objective for FastBert {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.encoder().parameters()
    }

    fn prepare(&mut self, training: &EncodedDataset, _: Progress) -> Result<()> {
        self.pending = None;
        self.model.model().check_texts(training)
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<()> {
        self.pending = Some(batch);
        Ok(())
    }

    fn next_loss(&mut self, progress: Progress, _drain: bool) -> Result<Option<StepLoss>> {
        let Some(batch) = self.pending.take() else { return Ok(None) };
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = self.loss(&batch, &ctx)?;
        self.flops += self.step_flops(&batch)?;
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.model.model().check_texts(data)?;
        let by_exit = exit_log_probabilities(self.model.model(), data, batch_size)?;
        let students = &by_exit[..by_exit.len() - 1];
        let macro_f1 = |rows: &Vec<Vec<f32>>| -> Result<f64> {
            let labels: Vec<u32> = rows.iter().map(|row| most_probable(row)).collect();
            Ok(score(data, &labels)?.macro_f1())
        };
        Ok(students.iter().map(macro_f1).sum::<Result<f64>>()? / students.len() as f64)
    }

    fn state(&self) -> Result<Value> {
        let mut state = self.comparable()?;
        state["flops"] = self.flops.into();
        Ok(state)
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        let stored = json!({ "fastbert": state["fastbert"], "encoder": state["encoder"] });
        Ok(SettingMismatch::between(&stored, &self.comparable()?))
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.model.model().check_texts(training)?;
        let flops = state["flops"].as_u64();
        let missing = || Error::setting("flops", "a number of FLOPs in the training state", &state["flops"]);
        self.flops = flops.ok_or_else(missing)?;
        self.pending = None;
        Ok(())
    }
}

impl Baseline for FastBert {
    type Model = DynamicModel;

    fn flops(&self) -> u64 {
        self.flops()
    }

    fn into_model(self) -> DynamicModel {
        self.into_model()
    }
}
