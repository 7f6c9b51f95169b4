//! A classifier that keeps a part of the heads and neurons of each layer, the same for all texts.

use dht_cli::TrainingProgress;
use dht_dynamic::Predictor;
use dht_transformer::flops::Load;
use dht_transformer::pruning::{Importance, PrunePlan};
use dht_transformer::{EncodedDataset, TextClassifier, TrainSettings, Trainer};
use rand::RngExt;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::experiment::{RunData, RunPlan, rng, train_settings};

/// The stream of random numbers of orders by chance.
const ORDER: u64 = 7;
/// Texts that the importance by gradients is of.
const TEXTS: usize = 512;

/// By what heads and neurons are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The size of the loss's gradient at a gate (Michel, Levy and Neubig 2019).
    Gradient,
    /// Chance.
    Random,
}

/// What stays in each layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pruned {
    /// The share of the heads.
    pub(super) heads: f64,
    /// The share of the feed-forward's neurons.
    pub(super) neurons: f64,
    pub(super) order: Order,
    /// Passes over the training rows after it.
    pub(super) passes: usize,
}

/// A classifier without them, twice: a dynamic model wants all heads, so the others are zeros there.
pub(super) struct Smaller {
    pub(super) with_zeros: TextClassifier,
    without: TextClassifier,
    /// What it took to make it, in FLOPs.
    pub(super) spent: u64,
}

impl Smaller {
    /// What a layer costs less, for a text of so many tokens, where zeros are not multiplied.
    pub(super) fn saved(&self, tokens: usize) -> u64 {
        let [all, kept] = [&self.with_zeros, &self.without].map(|model| model.full_flops(tokens));
        (all - kept) / self.without.encoder().layers() as u64
    }
}

impl Pruned {
    pub(super) fn of(&self, classifier: &TextClassifier, data: &RunData, plan: &RunPlan) -> Result<Smaller> {
        let encoder = classifier.encoder();
        let config = encoder.config();
        let (heads, neurons) = (config.num_attention_heads, config.intermediate_size);
        let mut rng = rng(plan, ORDER);
        let mut spent = 0;
        let importance = match self.order {
            Order::Gradient => {
                let rows: Vec<usize> = (0..data.train.len().min(TEXTS)).collect();
                let texts = data.train.samples[..rows.len()].to_vec();
                spent += training_flops(classifier, &EncodedDataset { samples: texts, ..data.train.clone() });
                Importance::by_gradient(encoder, &data.train, &rows, |batch, ctx| classifier.loss(batch, ctx))?
            }
            Order::Random => {
                let mut row = |count: usize| -> Vec<f64> { (0..count).map(|_| rng.random()).collect() };
                let mut scores = |count: usize| (0..encoder.layers()).map(|_| row(count)).collect();
                Importance { heads: scores(heads), neurons: scores(neurons) }
            }
        };
        let share = |share: f64, count: usize| ((share * count as f64).round() as usize).max(1);
        let plan_of =
            PrunePlan::most_important(encoder, &importance, share(self.heads, heads), share(self.neurons, neurons))?;
        let mut pruned = classifier.prune(&plan_of)?;
        if self.passes > 0 {
            spent += self.passes as u64 * training_flops(&pruned, &data.train);
            let settings = TrainSettings { epochs: self.passes, ..train_settings(plan) };
            let mut progress = TrainingProgress::new("after pruning", plan.quiet);
            Trainer::new(settings).fit(&mut pruned, &data.train, &data.validation, &mut progress)?;
        }
        Ok(Smaller { with_zeros: with_zeros(&pruned, &data.train.labels, plan)?, without: pruned, spent })
    }
}

/// The same classifier, whose missing heads are there and zero: what any other library reads from its directory.
fn with_zeros(pruned: &TextClassifier, labels: &[String], plan: &RunPlan) -> Result<TextClassifier> {
    let failed = |source| Error::Io { path: std::env::temp_dir(), source };
    let folder = tempfile::tempdir().map_err(failed)?;
    pruned.save(folder.path(), None, labels)?;
    let path = folder.path().join("config.json");
    let text = std::fs::read(&path).map_err(failed)?;
    let mut config: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    config.retain(|name, _| !matches!(&**name, "kept_heads" | "kept_neurons"));
    std::fs::write(&path, Value::Object(config).to_string()).map_err(failed)?;
    Ok(TextClassifier::load(folder.path(), &plan.device.open()?)?)
}

/// A pass over all texts.
fn training_flops(model: &TextClassifier, texts: &EncodedDataset) -> u64 {
    let load = Load::of_texts(texts.lengths());
    (model.forward_flops(load) + model.backward_flops(load)).0
}
