//! Layers that are frozen in the middle of a training run.
//!
//! The count of products belongs to the process, so this file holds one test.

use dht_toys::{adamw, config, data, rng, sample};
use dht_transformer::{
    EncodedDataset, Error, Objective, PackedBatch, Pooling, Progress, Result, StepLoss, TextClassifier, TrainSettings,
    Trainer,
    flops::{BackwardNeeds, Breakdown, FlopCount, Load},
    tensors::Parameters,
};
use serde_json::Value;

const LAYERS: usize = 4;
const FROZEN: std::ops::Range<usize> = 2..4;
/// Epoch from which the layers are frozen.
const FROM: usize = 1;

/// Classifier whose last two layers are trained in the first epoch only.
struct FrozenLater {
    model: TextClassifier,
    /// For each batch, the FLOPs that were executed before it, and the FLOPs that its step must cost.
    steps: Vec<(u64, u64)>,
    /// Weights of the frozen layers at the time when they were frozen.
    held: Option<Vec<Vec<u32>>>,
}

impl FrozenLater {
    fn new() -> Self {
        let model = dht_toys::classifier(&config([LAYERS, 2, 16, 20], None), 2, Pooling::Pooler, &mut rng(2));
        Self { model, steps: Vec::new(), held: None }
    }

    /// Bits of the frozen layers, or of all other parameters.
    fn bits(&self, frozen: bool) -> Result<Vec<Vec<u32>>> {
        let inside = |name: &str| FROZEN.into_iter().any(|layer| name.contains(&format!(".layer.{layer}.")));
        let values = self.model.parameters().values()?.into_iter().filter(|(name, _)| inside(name) == frozen);
        Ok(values.map(|(_, tensor)| tensor.values.into_iter().map(f32::to_bits).collect()).collect())
    }

    /// Predicted FLOPs of a forward and a backward pass of a batch.
    fn flops(&self, batch: &PackedBatch, frozen: bool) -> u64 {
        let (block, classifier) = (self.model.encoder().block_shape(), self.model.classifier().shape());
        let (load, samples) = (Load::from(&batch.spans), batch.len() as u64);
        let layers = (0..LAYERS).map(|layer| {
            let needs = if frozen && FROZEN.contains(&layer) { BackwardNeeds::INPUT_ONLY } else { BackwardNeeds::ALL };
            block.forward(load, block.full()) + block.backward(load, block.full(), needs)
        });
        let ends = classifier.forward(samples) + classifier.backward(samples, BackwardNeeds::ALL);
        (layers.sum::<Breakdown>() + ends).total().0
    }
}

impl Objective for FrozenLater {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let frozen = progress.epoch >= FROM;
        if frozen && self.held.is_none() {
            self.held = Some(self.bits(true)?);
        }
        FROZEN.for_each(|layer| self.model.encoder().freeze_layer(layer, frozen));
        self.steps.push((FlopCount::executed().0, self.flops(&batch, frozen)));
        self.model.offer(batch, progress)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.model.score(data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        self.model.state()
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.model.restore(state, training)
    }
}

fn texts(count: u64) -> EncodedDataset {
    let text = |id| sample(id, (id % 2) as u32, (0..2 + id % 5).map(|place| (id * 7 + place * 3) as u32 % 20));
    data(["even", "odd"], (0..count).map(text))
}

#[test]
fn frozen_layers_keep_their_bits_and_skip_weight_products() -> Result<()> {
    let mut objective = FrozenLater::new();
    let at_first = [objective.bits(true)?, objective.bits(false)?];
    let optimizer = adamw(1e-3);
    let settings = TrainSettings { epochs: 2, batch_size: 4, optimizer, keep_best: false, ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut objective, &texts(16), &texts(0), &mut ())?;

    let held = objective.held.clone().expect("the second epoch began");
    assert!(at_first[0] != held, "the layers were trained before they were frozen");
    assert!(objective.bits(true)? == held, "a frozen layer changed");
    // All other values changed, except for biases of keys, whose gradient is rounding error, and unread rows of tables.
    assert!(objective.bits(false)?.iter().zip(&at_first[1]).all(|(now, then)| now != then));

    let mut readings: Vec<u64> = objective.steps.iter().map(|(before, _)| *before).collect();
    readings.push(FlopCount::executed().0);
    for (step, (_, predicted)) in objective.steps.iter().enumerate() {
        assert_eq!(readings[step + 1] - readings[step], *predicted, "step {step}");
    }
    Ok(())
}
