//! A task whose answer is planted, and a model small enough to train in a second.

use candle_core::Device;
use dht_dynamic::{Evaluation, Predictor};
use dht_search::{
    CostAccounting, Error, Preset, Result, SearchModel, SearchObjective, SearchSettings, settings::Dispatch,
};
use dht_search::{
    transformer::tensors::Parameters,
    transformer::train::metrics::macro_f1,
    transformer::train::{History, Predict},
    transformer::{
        AdamWSettings, BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, Objective, PackedBatch, Progress,
        Sample, StepLoss, TrainSettings,
    },
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CLASSES: u32 = 3;
pub const LAYERS: usize = 6;
pub const HEADS: usize = 12;

/// Texts of two to seven tokens, one of them 1, 2 or 3: that is the class.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let samples = (0..rows).map(|id| {
        let label = rng.random_range(0..CLASSES);
        let mut ids: Vec<u32> = (0..rng.random_range(1..7)).map(|_| rng.random_range(4..50)).collect();
        let index = rng.random_range(0..ids.len());
        ids[index] = 1 + label;
        ids.insert(0, 0);
        Sample {
            id,
            label,
            targets: Vec::new(),
            encoding: Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() },
        }
    });
    let labels = (0..CLASSES).map(|class| class.to_string()).collect();
    EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 }
}

/// An encoder with dropout, so that a step depends on its seed.
pub fn encoder(layers: usize, seed: u64) -> Result<Encoder> {
    let mut config = BertConfig::small(layers, HEADS, 24, 50)?;
    (config.max_position_embeddings, config.initializer_range) = (10, 0.1);
    Ok(Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed))?)
}

/// The training of a model of 6 layers of 12 heads: exits 1, 2, 4, 6, and 8, 10 or 12 heads in each group.
pub fn model(settings: SearchSettings, seed: u64) -> Result<SearchObjective> {
    let space = Preset::TDht.space(LAYERS, HEADS)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    SearchObjective::new(SearchModel::new(encoder(LAYERS, seed)?, space, settings, CLASSES as usize, &mut rng)?)
}

/// The settings by name, each with a warm-up that ends within the first epoch: the default and the paper's, in flight
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
    TrainSettings {
        epochs: 2,
        batch_size: 8,
        length_window: 2,
        seed: 3,
        optimizer: AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() },
        ..TrainSettings::default()
    }
}

/// The values of each parameter by its name.
pub type Bits = Vec<(String, Vec<u32>)>;

/// The bits of every value of every parameter.
pub fn bits(parameters: &Parameters) -> Result<Bits> {
    let values = parameters.values()?.into_iter();
    Ok(values.map(|(name, tensor)| (name, tensor.values.into_iter().map(f32::to_bits).collect())).collect())
}

/// A history without its seconds, which differ between runs.
pub fn without_seconds(history: History) -> History {
    History { train_seconds: 0.0, optimizer_seconds: 0.0, ..history }
}

/// A cost accounting without its seconds, which differ between runs.
pub fn accounting_without_seconds(accounting: &CostAccounting) -> CostAccounting {
    CostAccounting { bandit_seconds: 0.0, ..accounting.clone() }
}

/// The result of a training: weights, routers, queues and costs, without seconds.
pub fn weights_and_state(model: &SearchObjective) -> Result<(Bits, serde_json::Value)> {
    let mut state = model.state()?;
    state["accounting"]["bandit_seconds"] = 0.into();
    Ok((bits(model.parameters())?, state))
}

/// The same of a model that is not in training.
pub fn weights_and_state_of(model: &SearchModel) -> Result<(Bits, serde_json::Value)> {
    weights_and_state(&SearchObjective::new(model.clone())?)
}

/// Observes a training, and stops it after a number of batches.
pub struct Observed {
    pub model: SearchObjective,
    /// Rows of the batches as they come.
    pub order: Vec<u64>,
    /// For each step: its samples, and whether the queues were drained.
    pub steps: Vec<(usize, bool)>,
    /// Batches before the training stops.
    pub stop_after: Option<usize>,
    /// Batches so far.
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

/// As [`dht_dynamic::evaluate`], with the errors of a search.
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
        macro_f1(self, data, batch_size)
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
