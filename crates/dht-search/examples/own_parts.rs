//! Custom parts: a router that sends short texts to an early exit, and a baseline that always predicts the most
//! frequent class. The library's own loop trains, scores and times both.
//!
//! `cargo run --release -p dht-search --example own_parts`

use candle_core::Device;
use dht_search::dynamic::route::ModelShape;
use dht_search::dynamic::router::{Decisions, ExitView, Mode};
use dht_search::dynamic::{self, BatchPredictions, Predictor, Router, evaluate};
use dht_search::transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, PackedBatch, Sample, TrainSettings,
    Trainer,
};
use dht_search::{Learner, Preset, Result, Route, SearchModel, SearchObjective, SearchSettings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: u32 = 2;

/// Router by length: texts of up to `tokens` tokens leave at the first exit, all others at the last.
#[derive(Debug, Clone)]
struct ByLength {
    tokens: usize,
}

impl Router for ByLength {
    /// Returns false: the router reads no answers, so that no exit has to run for it.
    fn reads(&self, _exit: usize, _last: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        _: &mut Mode<'_>,
    ) -> dynamic::Result<()> {
        let exit = |tokens| if tokens <= self.tokens { 0 } else { last };
        decisions.exits = view.lengths().map(exit).collect();
        Ok(())
    }
}

/// Uses the default methods, since the router learns nothing.
impl Learner for ByLength {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

/// Baseline that predicts the class frequencies of the training texts for every text. It runs no layer.
struct Frequencies {
    probabilities: Vec<f32>,
    shape: ModelShape,
}

impl Frequencies {
    fn new(texts: &EncodedDataset, shape: ModelShape) -> Self {
        let mut probabilities = vec![0.0; texts.labels.len()];
        texts.samples.iter().for_each(|sample| probabilities[sample.label as usize] += 1.0 / texts.len() as f32);
        Self { probabilities, shape }
    }
}

impl Predictor for Frequencies {
    fn predict(&self, batch: &PackedBatch, _: &ForwardContext) -> dynamic::Result<BatchPredictions> {
        let route = Route::without_layers(self.shape)?;
        Ok(BatchPredictions::of_fixed_route(
            vec![self.probabilities.clone(); batch.len()],
            &route,
            vec![0; batch.len()],
        ))
    }

    fn check(&self, texts: &EncodedDataset) -> dynamic::Result<()> {
        Ok(texts.check_classes(self.probabilities.len())?)
    }

    fn full_flops(&self, _tokens: usize) -> u64 {
        0
    }
}

/// Texts that contain one of the tokens 1 and 2, which is their class. Longer texts hide it among other tokens.
fn texts(count: u64, rng: &mut ChaCha8Rng) -> EncodedDataset {
    let samples = (0..count).map(|id| {
        let label = rng.random_range(0..CLASSES);
        let mut ids: Vec<u32> = (0..rng.random_range(1..12)).map(|_| rng.random_range(3..40)).collect();
        let index = rng.random_range(0..ids.len());
        ids[index] = 1 + label;
        ids.insert(0, 0);
        let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
        Sample { id, label, targets: Vec::new(), encoding }
    });
    let samples = samples.collect();
    EncodedDataset { samples, labels: ["one", "two"].map(String::from).into(), truncated_rows: 0 }
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (training, validation, test) = (texts(600, &mut rng), texts(100, &mut rng), texts(200, &mut rng));
    let encoder = Encoder::random(&BertConfig::small(4, 6, 24, 40)?, &Device::Cpu, &mut rng)?;
    let space = Preset::TDht.space(4, 6)?;
    let settings = SearchSettings { warm_up_contexts: 64, ..SearchSettings::default() };
    let model = SearchModel::new(encoder, space, settings, CLASSES as usize, &mut rng)?;

    let mut search = SearchObjective::new(model.with_router(Box::new(ByLength { tokens: 6 })))?;
    let optimizer = AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 6, batch_size: 8, optimizer, ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut search, &training, &validation, &mut ())?;
    let model = search.into_model();

    let baseline = Frequencies::new(&training, model.space().model_shape());
    let full = model.full_inference_flops(&test) as f64;
    for (name, predictor) in [("by length", &model as &dyn Predictor), ("class frequencies", &baseline)] {
        let evaluation = evaluate(predictor, &test, 16)?;
        let (f1, cost) = (evaluation.confusion.macro_f1(), evaluation.flops as f64 / full);
        println!("{name}: macro F1 {f1:.3} at {cost:.2} of the full model's FLOPs");
    }
    Ok(())
}
