//! Measurement of a model's latency by timing narrower copies of the model.

use std::time::Instant;

use dht_transformer::flops::LayerSizes;
use dht_transformer::{Encoding, ForwardContext, HeadPlan, PackedBatch, Sample, TextClassifier};
use rand::seq::index;
use rand::{Rng, RngExt};

use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::extract::extract;
use crate::latency::Latency;
use crate::space::{NasSpace, Part};

/// Number of random narrower copies to time, in addition to the whole model and the model without layers.
const COPIES: usize = 24;
/// Number of timed forward passes per copy of the model, after one warm-up pass. Passes of the copies alternate.
const PASSES: usize = 9;
/// Smallest share of each part's units that a copy keeps.
const LEAST_SHARE: f64 = 0.1;

impl Latency {
    /// Measures the latency of narrower copies of a classifier on `texts` texts of `tokens` tokens, and fits a latency
    /// model. The result depends on the machine and its current load. Measure once, and use the stored result for all
    /// comparisons.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the number of texts is 0, or if a text has more tokens than the model reads.
    /// * Fails as [`extract`] does, if units of the model were already removed.
    pub fn measure<R: Rng + ?Sized>(model: &TextClassifier, texts: usize, tokens: usize, rng: &mut R) -> Result<Self> {
        let longest = model.encoder().config().longest_text();
        if texts == 0 || !(1..=longest).contains(&tokens) {
            let got = format!("{texts} of {tokens}");
            return Err(Error::argument(
                "texts and tokens",
                format!("one or more texts of 1 to {longest} tokens"),
                got,
            ));
        }
        let encoding =
            Encoding { ids: vec![0; tokens], type_ids: vec![0; tokens], truncated: false, rest: Default::default() };
        let sample = |id| Sample { id, label: 0, targets: Vec::new(), encoding: encoding.clone() };
        let batch = PackedBatch::from_samples(&(0..texts as u64).map(sample).collect::<Vec<_>>())?;
        let mut models =
            vec![TimedModel::new(model.clone(), 0), TimedModel::new(model.clone(), model.encoder().layers())];
        for _ in 0..COPIES {
            models.push(TimedModel::new(extract(model, &drawn(model, rng)?)?, model.encoder().layers()));
        }
        for pass in 0..=PASSES {
            for model in &mut models {
                let seconds = model.pass(&batch)?;
                if pass > 0 {
                    model.least = model.least.min(seconds);
                }
            }
        }
        let measured: Vec<_> = models.iter().map(|model| (model.sizes(), model.least)).collect();
        Self::fit(&measured)
    }
}

/// Draws a random architecture. For each part, such as attention heads, it keeps a random share of the units.
fn drawn<R: Rng + ?Sized>(model: &TextClassifier, rng: &mut R) -> Result<Architecture> {
    let (shape, layers) = (model.encoder().block_shape(), model.encoder().layers());
    let groups = NasSpace::default().groups(shape, layers)?;
    let shares = Part::ALL.map(|_| rng.random_range(LEAST_SHARE..1.0));
    let selected = groups.iter().map(|group| {
        let share = Part::ALL.iter().zip(shares).find(|(part, _)| **part == group.part).map_or(1.0, |(_, share)| share);
        let mut selected = vec![false; group.units()];
        // All heads keep the same number of outputs.
        for block in selected.chunks_mut(group.width) {
            let count = ((block.len() as f64 * share).round() as usize).clamp(1, block.len());
            index::sample(rng, block.len(), count).into_iter().for_each(|unit| block[unit] = true);
        }
        selected
    });
    let selected: Vec<Vec<bool>> = selected.collect();
    Ok(Architecture::of_groups(shape, layers, &groups, &selected))
}

struct TimedModel {
    model: TextClassifier,
    layers: usize,
    ctx: ForwardContext,
    least: f64,
}

impl TimedModel {
    fn new(model: TextClassifier, layers: usize) -> Self {
        Self { model, layers, ctx: ForwardContext::inference(), least: f64::INFINITY }
    }

    fn sizes(&self) -> Vec<LayerSizes> {
        (0..self.layers).map(|layer| self.model.encoder().layer_sizes(layer)).collect()
    }

    fn pass(&self, batch: &PackedBatch) -> Result<f64> {
        let (encoder, start) = (self.model.encoder(), Instant::now());
        let hidden = encoder.run(0..self.layers, &encoder.embed(batch, &self.ctx)?, &HeadPlan::Full, &self.ctx)?;
        let logits = self.model.classifier().forward(&hidden, &self.ctx)?;
        // On a device the numbers are available only after they are fetched.
        std::hint::black_box(logits.to_vec2::<f32>().map_err(dht_transformer::Error::from)?);
        Ok(start.elapsed().as_secs_f64())
    }
}
