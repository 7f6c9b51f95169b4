//! Toy task with known answers, and a model small enough to train in a second.

use dht_dynamic::{Evaluation, Predictor};
use dht_search::{
    CostAccounting, Error, Preset, Result, SearchModel, SearchObjective, SearchSettings, SearchSpace,
    settings::Dispatch, space::Search,
};
use dht_search::{
    transformer::tensors::Parameters,
    transformer::train::Predict,
    transformer::{
        BertConfig, EncodedDataset, Encoder, ForwardContext, Objective, PackedBatch, Progress, StepLoss, TrainSettings,
        Trainer,
    },
};
use dht_toys::{Bits, config, planted, rng};

pub use dht_toys::{bits, planted::CLASSES, without_seconds};

pub const LAYERS: usize = 6;
pub const HEADS: usize = 12;

/// Texts of two to seven tokens.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    planted::texts(rows, seed, 1..7, 50)
}

/// Data set with the same classes and no texts.
pub fn nothing() -> EncodedDataset {
    task(0, 0)
}

/// Encoder with dropout, so that a step depends on its seed.
pub fn encoder(layers: usize, seed: u64) -> Encoder {
    let config = BertConfig { max_position_embeddings: 10, ..config([layers, HEADS, 24, 50], 0.1) };
    dht_toys::encoder(&config, &mut rng(seed))
}

/// Model of 6 layers of 12 heads that is not trained.
pub fn untrained(space: SearchSpace, settings: SearchSettings, classes: usize, seed: u64) -> Result<SearchModel> {
    SearchModel::new(encoder(LAYERS, seed), space, settings, classes, &mut rng(seed))
}

/// Objective that trains a model in the space of a preset.
pub fn model_of(preset: Preset, settings: SearchSettings, seed: u64) -> Result<SearchObjective> {
    SearchObjective::new(untrained(preset.space(LAYERS, HEADS)?, settings, CLASSES, seed)?)
}

/// Objective that trains a model with exits 1, 2, 4, 6, and 8, 10 or 12 heads in each group.
pub fn model(settings: SearchSettings, seed: u64) -> Result<SearchObjective> {
    model_of(Preset::TDht, settings, seed)
}

/// Objective that trains a model without dropout, with all heads in every group or with T-DHT's options.
pub fn without_dropout(all_heads: bool, settings: SearchSettings) -> Result<SearchObjective> {
    let mut space = Preset::TDht.space(LAYERS, HEADS)?.config().clone();
    if all_heads {
        space.search = Search::Tree { heads: vec![vec![HEADS]; 3] };
    }
    let (rng, mut shape) = (&mut rng(1), config([LAYERS, HEADS, 24, 50], None));
    (shape.hidden_dropout_prob, shape.attention_probs_dropout_prob) = (0.0, 0.0);
    let encoder = dht_toys::encoder(&shape, rng);
    SearchObjective::new(SearchModel::new(encoder, SearchSpace::new(space)?, settings, CLASSES, rng)?)
}

/// Trains without validation.
pub fn trained(mut model: SearchObjective, training: &EncodedDataset) -> Result<SearchObjective> {
    Trainer::new(train_settings()).fit(&mut model, training, &nothing(), &mut ())?;
    Ok(model)
}

/// Settings by name, each with a warm-up that ends within the first epoch: the default and the paper's, in flight
/// and with queues.
pub fn kinds() -> [(&'static str, SearchSettings); 4] {
    let defaults = SearchSettings { warm_up_contexts: 16, arm_feature_texts: Some(20), ..SearchSettings::default() };
    let paper = SearchSettings { warm_up_contexts: 16, arm_feature_texts: Some(20), ..SearchSettings::paper() };
    let queue = Dispatch::Queue { size: 5 };
    [
        ("default", defaults.clone()),
        ("default with queues", SearchSettings { dispatch: queue, ..defaults }),
        ("the paper's in flight", SearchSettings { dispatch: Dispatch::InFlight, ..paper.clone() }),
        ("the paper's", SearchSettings { dispatch: queue, ..paper }),
    ]
}

pub fn train_settings() -> TrainSettings {
    dht_toys::train_settings(2)
}

/// Cost accounting without its seconds, which differ between runs.
pub fn accounting_without_seconds(accounting: &CostAccounting) -> CostAccounting {
    CostAccounting { bandit_seconds: 0.0, ..accounting.clone() }
}

/// Result of a training run: weights, routers, queues and costs, without seconds.
pub fn weights_and_state(model: &SearchObjective) -> Result<(Bits, serde_json::Value)> {
    let mut state = model.state()?;
    state["accounting"]["bandit_seconds"] = 0.into();
    Ok((bits(model.parameters()), state))
}

/// Weights and routers of a model outside a training run.
pub fn weights_and_state_of(model: &SearchModel) -> Result<(Bits, serde_json::Value)> {
    weights_and_state(&SearchObjective::new(model.clone())?)
}

/// Observer that records a training run, and stops it after a number of batches.
pub struct Observed {
    pub model: SearchObjective,
    /// Rows of the batches, in the order of arrival.
    pub order: Vec<u64>,
    /// For each step: its samples, and whether the queues were drained.
    pub steps: Vec<(usize, bool)>,
    /// Number of batches after which the training run stops.
    pub stop_after: Option<usize>,
    /// Number of batches so far.
    pub offers: usize,
}

impl Observed {
    pub fn new(model: SearchObjective) -> Self {
        Self { model, order: Vec::new(), steps: Vec::new(), stop_after: None, offers: 0 }
    }
}

#[derive(Debug)]
pub enum Stop {
    Asked,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<dht_search::transformer::Error> for Stop {
    fn from(error: dht_search::transformer::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<dht_dynamic::Error> for Stop {
    fn from(error: dht_dynamic::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Calls [`dht_dynamic::evaluate`], with the error type of a search.
pub fn evaluate(model: &dyn Predictor, texts: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    Ok(dht_dynamic::evaluate(model, texts, batch_size)?)
}

impl Objective for Observed {
    type Error = Stop;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<(), Stop> {
        Ok(self.model.prepare(training, progress)?)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Stop> {
        if self.stop_after == Some(self.offers) {
            return Err(Stop::Asked);
        }
        self.offers += 1;
        self.order.extend(&batch.sample_ids);
        Ok(self.model.offer(batch, progress)?)
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>, Stop> {
        let step = self.model.next_loss(progress, drain)?;
        self.steps.extend(step.as_ref().map(|step| (step.samples, drain)));
        Ok(step)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Stop> {
        self.macro_f1(data, batch_size)
    }

    fn state(&self) -> Result<serde_json::Value, Stop> {
        Ok(self.model.state()?)
    }

    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<(), Stop> {
        Ok(self.model.restore(state, training)?)
    }

    fn restore_best(&mut self, state: serde_json::Value) -> Result<(), Stop> {
        Ok(self.model.restore_best(state)?)
    }
}

impl Predict for Observed {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, Stop> {
        Ok(self.model.predict(batch, ctx)?)
    }
}
