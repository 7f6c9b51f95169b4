//! Training of a T-DHT on recorded routes. It runs all computations of a search, without decisions that rounding could
//! change.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use dht_dynamic::router::{Decisions, ExitView, GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_dynamic::{Predictor, Router, evaluate};
use dht_search::{Learner, Preset, Result, SearchModel, SearchObjective, SearchSettings};
use dht_transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, ForwardContext, HeadSet, PackedBatch, TrainSettings, Trainer,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::text;

const CLASSES: usize = 3;
const VOCABULARY: u32 = 90;
const LAYERS: usize = 4;
const HEADS: usize = 6;
const HIDDEN: usize = 96;

/// Route of each text by its number: the exit, and the heads in each group of layers that the text runs.
type Routes = Arc<BTreeMap<u64, (usize, Vec<HeadSet>)>>;

/// Result of a training run: its predictions and their cost.
pub struct Trained {
    /// Probabilities by text and class.
    pub probabilities: Vec<f32>,
    /// FLOPs of all predictions.
    pub flops: u64,
}

/// Router that sends each text on its recorded route.
#[derive(Debug, Clone)]
struct Recorded(Routes);

impl Recorded {
    fn route(&self, id: u64) -> &(usize, Vec<HeadSet>) {
        &self.0[&id]
    }
}

impl Router for Recorded {
    fn reads(&self, _exit: usize, _last: usize) -> bool {
        false
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        _: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        decisions.exits = view.ids().map(|id| self.route(id).0).collect();
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, _: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let mut alike: BTreeMap<HeadSet, Vec<usize>> = BTreeMap::new();
        for (index, id) in view.hidden.packing().sample_ids().iter().enumerate() {
            let sets = &self.route(*id).1;
            let all = HeadSet::full(HEADS)?;
            alike.entry(sets.get(view.group).copied().unwrap_or(all)).or_default().push(index);
        }
        let sets = alike.into_iter().map(|(heads, samples)| HeadSetGroup::new(samples, heads));
        Ok(Some(GroupDecisions::new(sets.collect())))
    }

    fn keeps_all(&self) -> bool {
        false
    }
}

impl Learner for Recorded {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

fn texts(ids: std::ops::Range<u64>) -> EncodedDataset {
    let samples = ids.map(|id| text(id, 3 + (id * 13 % 37) as u32, VOCABULARY)).collect();
    EncodedDataset { samples, labels: ["one", "two", "three"].map(String::from).into(), truncated_rows: 0 }
}

fn model(device: &Device) -> Result<SearchModel> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut config = BertConfig::small(LAYERS, HEADS, HIDDEN, VOCABULARY as usize)?;
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.1, 0.1);
    let encoder = Encoder::random(&config, device, &mut rng)?;
    let settings = SearchSettings { warm_up_contexts: 64, ..SearchSettings::default() };
    SearchModel::new(encoder, Preset::TDht.space(LAYERS, HEADS)?, settings, CLASSES, &mut rng)
}

fn trained(model: SearchModel, texts: &EncodedDataset) -> Result<SearchModel> {
    let mut search = SearchObjective::new(model)?;
    let optimizer = AdamWSettings { learning_rate: 1e-3, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 2, batch_size: 16, optimizer, keep_best: false, ..TrainSettings::default() };
    Trainer::new(settings).fit(
        &mut search,
        texts,
        &EncodedDataset { samples: Vec::new(), ..texts.clone() },
        &mut (),
    )?;
    Ok(search.into_model())
}

/// Routes that bandits selected on the CPU, for training texts and for other texts.
pub fn recorded() -> Result<Routes> {
    let texts = texts(0..160);
    let model = trained(model(&Device::Cpu)?, &texts)?;
    let ctx = ForwardContext::inference();
    let predictions = model.predict(&PackedBatch::from_samples(&texts.samples)?, &ctx)?.predictions;
    let exits = model.space().exits().to_vec();
    let routes = texts.samples.iter().zip(predictions).map(|(sample, prediction)| {
        let exit = exits.iter().position(|exit| *exit == prediction.route.exit()).unwrap_or(0);
        (sample.id, (exit, prediction.head_sets))
    });
    Ok(Arc::new(routes.collect()))
}

/// Trains on recorded routes, and predicts the texts.
pub fn replayed(device: &Device, routes: &Routes) -> Result<Trained> {
    let texts = texts(0..160);
    let router = Recorded(routes.clone());
    let model = model(device)?.with_router(Box::new(router.clone())).with_head_router(Box::new(router));
    let model = trained(model, &texts)?;
    let evaluation = evaluate(&model, &texts, 32)?;
    let batch = PackedBatch::from_samples(&texts.samples)?;
    let predictions = model.predict(&batch, &ForwardContext::inference())?.predictions;
    let probabilities = predictions.into_iter().flat_map(|prediction| prediction.probabilities).collect();
    Ok(Trained { probabilities, flops: evaluation.flops })
}
