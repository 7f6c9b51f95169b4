//! Architecture search for a classifier.

use std::collections::{BTreeSet, VecDeque};

use candle_core::Tensor;
use dht_transformer::model::LayerGates;
use dht_transformer::tensors::{Parameter, ParameterId};
use dht_transformer::train::optim::{Multipliers, ParameterGroups};
use dht_transformer::{ForwardContext, PackedBatch, Task, TextClassifier};
use rand::Rng;

use crate::architecture::Architecture;
use crate::choose::{choose, with_minimum};
use crate::control::Control;
use crate::cost::{NasCost, hard};
use crate::error::{Error, Result};
use crate::extract::{extract_folded, layer_gates};
use crate::loss::{GatedRun, LabelLoss, TaskLoss};
use crate::relaxation::Relaxation;
use crate::settings::{GateLoss, NasSettings, Selection};
use crate::space::Part;

/// Parameters that a training step updates: the model's weights, the gates (factors on dimensions, neurons and heads),
/// or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepParameters {
    Both,
    Weights,
    Gates,
}

#[derive(Debug)]
pub(crate) struct PendingStep {
    pub(crate) batch: PackedBatch,
    pub(crate) trained: StepParameters,
    /// Next batch on which the weights are trained. The second-order gradient of the gates needs it.
    pub(crate) weights_batch: Option<PackedBatch>,
}

/// Architecture search: trains a classifier together with gates (factors on its dimensions, neurons and heads), and
/// selects a smaller architecture by the gates. The training loss is the sum of a task loss and a cost term.
///
/// ```text
/// L(w, α) = task(w, z(α)) + cost term of E(α)          E: the expected share of the whole cost, at the gates' degrees
/// ```
///
/// The gates z(α) depend on trainable architecture variables α. With [`GateLoss::Labels`], the weights w learn from the
/// task loss, and the variables α learn from the cross-entropy of the labels plus the cost term. One
/// training step minimises the sum of these three terms.
///
/// The variables α are parameters of the classifier's encoder (`nas.…`), so that the training loop trains, saves and
/// resumes them like weights. The validation score is the macro F1 of the architecture that the current gates select.
/// If the target cost falls during a warm-up, an epoch can become the best epoch only after the warm-up.
///
/// **Give the trainer the search's [`parameter_groups`](Self::parameter_groups)** for its learning rate, as the
/// [module's example](crate#a-complete-program) does. With them, the variables α have the learning rate
/// [`gate_rate`](NasSettings::gate_rate) and no weight decay. Without them there is no error, but α has the learning
/// rate of the weights, usually a thousandth of the gate rate, and decays like weights. The gates then stay near their
/// initial values, and the selection of units is almost arbitrary.
///
/// With [`Update::Alternating`](crate::Update::Alternating) and [`Update::Unrolled`](crate::Update::Unrolled), the
/// training texts are divided into two halves. Each batch is used in two steps. One step trains only the weights, on
/// the batch's texts from the first half. The other step trains only the gates, on the batch's texts from the second
/// half. Gradients cannot be accumulated over batches in this case.
#[derive(Debug)]
pub struct ArchitectureSearch {
    pub(crate) model: TextClassifier,
    pub(crate) settings: NasSettings,
    pub(crate) cost: NasCost,
    pub(crate) relaxations: Vec<Box<dyn Relaxation>>,
    pub(crate) alphas: Vec<Parameter>,
    pub(crate) loss: Box<dyn TaskLoss>,
    /// Multiplier μ of the Lagrangian cost term.
    pub(crate) multiplier: f64,
    /// True once the target cost has reached its final value.
    pub(crate) settled: bool,
    /// Ids of the rows that train the gates, if weights and gates train on different halves of the rows.
    pub(crate) second_half: BTreeSet<u64>,
    pub(crate) pending: VecDeque<PendingStep>,
    /// Parameters to unfreeze after a step that trains only gates.
    pub(crate) frozen: Vec<ParameterId>,
    pub(crate) last_step: Option<u64>,
}

/// Result of an architecture search: the selected architecture, its cost and its gates.
#[derive(Debug)]
pub struct Found {
    /// Selected architecture.
    pub architecture: Architecture,
    /// Cost of the architecture as a share of the whole encoder's cost, by the cost measure of the search.
    pub reached: f64,
    /// Final gates (factors on units). Gates of removed units are 0.
    pub gates: Vec<LayerGates>,
}

impl ArchitectureSearch {
    /// Creates a search for a single-label classifier, with the cross-entropy of the labels as task loss.
    ///
    /// # Errors
    /// * [`Error::Argument`] if a setting is out of range, or if the model is not a single-label classifier.
    /// * [`Error::Target`] if the target is below the cost of the minimum sizes.
    /// * Fails as [`Encoder::add_parameter`](dht_transformer::Encoder::add_parameter) does, if the encoder already has
    ///   gates.
    pub fn new<R: Rng>(model: TextClassifier, settings: NasSettings, rng: &mut R) -> Result<Self> {
        Self::with_loss(model, settings, Box::new(LabelLoss), rng)
    }

    /// Creates a search with a custom task loss. Otherwise like [`new`](Self::new).
    ///
    /// # Errors
    /// Fails as [`new`](Self::new) does.
    pub fn with_loss<R: Rng>(
        mut model: TextClassifier,
        settings: NasSettings,
        loss: Box<dyn TaskLoss>,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check()?;
        if model.task() != Task::Class {
            return Err(Error::argument("model", "a classifier of classes", format!("one for {:?}", model.task())));
        }
        let cost = NasCost::of_model(&model, settings.measure, &settings.space)?;
        let equal: Vec<Vec<f64>> = cost.groups().iter().map(|group| vec![0.0; group.units()]).collect();
        choose(&cost, &equal, settings.target)?;
        let relaxation = |part: Part| match part {
            Part::Heads => settings.head_relaxation.build(),
            _ => settings.relaxation.build(),
        };
        let relaxations: Vec<_> = cost.groups().iter().map(|group| relaxation(group.part)).collect::<Result<_>>()?;
        let mut alphas = Vec::new();
        for (group, relaxation) in cost.groups().iter().zip(&relaxations) {
            let start = relaxation.start(group, rng);
            let start = Tensor::new(&start[..], model.encoder().parameters().device())?;
            alphas.push(model.add_parameter(group.name(), &start)?);
        }
        Ok(Self {
            model,
            settings,
            cost,
            relaxations,
            alphas,
            loss,
            multiplier: 0.0,
            settled: false,
            second_half: BTreeSet::new(),
            pending: VecDeque::new(),
            frozen: Vec::new(),
            last_step: None,
        })
    }

    /// Continues the search with another task loss and another cost term, as in the second training stage of the report
    /// on differentiable search for BERT. Weights, gates and the multiplier of the Lagrangian are not reset.
    ///
    /// # Errors
    /// [`Error::Argument`] if a setting of the cost term is out of range.
    pub fn next_stage(self, loss: Box<dyn TaskLoss>, control: Control) -> Result<Self> {
        control.check()?;
        let settings = NasSettings { control, ..self.settings };
        Ok(Self { settings, loss, settled: false, pending: VecDeque::new(), last_step: None, ..self })
    }

    /// Classifier that the search trains. It still has all units.
    pub fn model(&self) -> &TextClassifier {
        &self.model
    }

    /// Settings of the search.
    pub fn settings(&self) -> &NasSettings {
        &self.settings
    }

    /// Cost function by which the search measures architectures.
    pub fn cost(&self) -> &NasCost {
        &self.cost
    }

    /// Current multiplier μ of the cost term [`Control::Lagrangian`](crate::Control::Lagrangian).
    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    /// Parameter groups for the trainer: the standard groups, and a group for the architecture variables α. Pass them
    /// to the trainer's [`groups`](dht_transformer::Trainer::groups). The variables α have the learning rate
    /// [`gate_rate`](NasSettings::gate_rate) and no weight decay, and their gradients are not clipped if they have a
    /// [separate loss](GateLoss::Labels). `learning_rate` is the peak learning rate of the training run. Pass the same
    /// rate to the trainer: with twice the rate, gates would move twice as fast.
    ///
    /// # Errors
    /// [`Error::Argument`] if the learning rate is not above 0.
    pub fn parameter_groups(&self, learning_rate: f64) -> Result<ParameterGroups> {
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return Err(Error::argument("learning_rate", "a finite number above 0", learning_rate));
        }
        let standard = ParameterGroups::standard(self.model.encoder().parameters());
        let rate = self.settings.gate_rate / learning_rate;
        // Clipping by one norm over weights and gates would let a separate loss of the gates affect the weights.
        let clipped = self.settings.gate_loss == GateLoss::Task;
        Ok(ParameterGroups::by_name(self.model.encoder().parameters(), |name| {
            match self.model.encoder().parameters().id(name) {
                Ok(_) if name.starts_with("nas.") => Multipliers { decay: 0.0, rate, clipped },
                Ok(id) => standard.get(id),
                Err(_) => Multipliers::ONE,
            }
        }))
    }

    pub(crate) fn alphas(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.alphas.iter().map(|alpha| alpha.var().to_vec1()).collect::<candle_core::Result<_>>()?)
    }

    /// Computes a value for each group of units (dimensions, neurons, heads), from the relaxation and the architecture
    /// variables α of the group.
    fn of_groups<T>(&self, alphas: &[Vec<f32>], of: impl Fn(&dyn Relaxation, &[f32], usize) -> T) -> Vec<T> {
        let groups = self.relaxations.iter().zip(alphas).enumerate();
        groups.map(|(group, (relaxation, alpha))| of(&**relaxation, alpha, group)).collect()
    }

    /// Scores by which units (dimensions, neurons, heads) are ranked: one list for each group of units in the
    /// [cost](Self::cost), with one score for each unit.
    ///
    /// # Errors
    /// Fails if a candle operation fails.
    pub fn scores(&self) -> Result<Vec<Vec<f64>>> {
        let groups = self.cost.groups();
        Ok(self.of_groups(&self.alphas()?, |relaxation, alpha, group| relaxation.score(alpha, &groups[group])))
    }

    pub(crate) fn thresholded(&self, alphas: &[Vec<f32>]) -> Vec<Vec<bool>> {
        let groups = self.cost.groups();
        let scores = self.of_groups(alphas, |relaxation, alpha, group| relaxation.score(alpha, &groups[group]));
        let selected = self
            .of_groups(alphas, |relaxation, alpha, group| relaxation.kept(alpha, &groups[group], self.settings.target));
        with_minimum(groups, &scores, selected)
    }

    /// Selects the architecture by the current gates (factors on dimensions, neurons and heads), and returns it with
    /// its cost and its gates.
    ///
    /// # Errors
    /// * Fails if a candle operation fails.
    /// * Fails as [`choose`](crate::choose()) does, if a gate is infinite or not a number.
    pub fn found(&self) -> Result<Found> {
        let (alphas, groups) = (self.alphas()?, self.cost.groups());
        let selected = match self.settings.selection {
            Selection::Threshold => self.thresholded(&alphas),
            Selection::Target => choose(&self.cost, &self.scores()?, self.settings.target)?,
        };
        let mut values = self.of_groups(&alphas, |relaxation, alpha, group| relaxation.value(alpha, &groups[group]));
        for (value, selected) in values.iter_mut().flatten().zip(selected.iter().flatten()) {
            if !selected {
                *value = 0.0;
            }
        }
        let (shape, layers) = (self.cost.shape(), self.cost.layers());
        Ok(Found {
            architecture: Architecture::of_groups(shape, layers, groups, &selected),
            reached: self.cost.share(&hard(&selected)).0,
            gates: layer_gates(groups, layers, &values, self.model.encoder().parameters().device())?,
        })
    }

    /// Extracts the selected architecture as a smaller classifier. The trained weights are multiplied by the final
    /// gates, factors on the selected dimensions, neurons and heads.
    ///
    /// # Errors
    /// Fails as [`extract_folded`] does.
    pub fn extracted(&self) -> Result<TextClassifier> {
        let result = self.found()?;
        extract_folded(&self.model, &result.architecture, &result.gates)
    }

    pub(crate) fn gate_loss(&self) -> &dyn TaskLoss {
        match self.settings.gate_loss {
            GateLoss::Task => &*self.loss,
            GateLoss::Labels => &LabelLoss,
        }
    }

    pub(crate) fn run(&self, batch: &PackedBatch, gates: &[LayerGates], ctx: &ForwardContext) -> Result<GatedRun> {
        let encoder = self.model.encoder();
        let embedded = encoder.embed(batch, ctx)?;
        let layers = encoder.record_gated(0..encoder.layers(), &embedded, gates, ctx)?;
        let last = layers.last().map_or(&embedded, |record| &record.hidden);
        let logits = self.model.classifier().forward(last, ctx)?;
        Ok(GatedRun { embedded, layers, logits })
    }

    /// Logits of the searched model if it were reduced to the selected architecture: selected units have their final
    /// gates, and all other units a gate of 0.
    ///
    /// # Errors
    /// Fails as [`Encoder::embed`](dht_transformer::Encoder::embed) does.
    pub fn masked_logits(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        Ok(self.run(batch, &self.found()?.gates, ctx)?.logits)
    }
}
