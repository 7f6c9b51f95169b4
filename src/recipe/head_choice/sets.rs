//! Sets of heads, one for each layer, and what a classifier says with them.

use candle_core::Tensor;
use dht_dynamic::LogProbabilities;
use dht_transformer::data::longest_first;
use dht_transformer::pruning::Importance;
use dht_transformer::tensors::{HeadPlan, HeadSet, log_softmax};
use dht_transformer::{EncodedDataset, ForwardContext, TextClassifier};
use rand::Rng;
use rand::seq::SliceRandom;

use super::super::BATCH;
use crate::error::Result;

/// Training texts that the importance of heads is of, at most.
const TEXTS: usize = 512;

/// The heads that run, by layer.
pub(super) struct Sets(Vec<HeadSet>);

impl Sets {
    pub(super) fn random<R: Rng>(layers: usize, heads: usize, kept: usize, rng: &mut R) -> Result<Self> {
        let mut order: Vec<usize> = (0..heads).collect();
        let mut drawn = || {
            order.shuffle(rng);
            HeadSet::from_indices(order[..kept].iter().copied(), heads)
        };
        Ok(Self((0..layers).map(|_| drawn()).collect::<Result<_, _>>()?))
    }

    pub(super) fn most_important(importance: &Importance, kept: usize) -> Result<Self> {
        let of_layer = |layer: usize| {
            let order = importance.head_order(layer);
            HeadSet::from_indices(order[..kept].iter().copied(), order.len())
        };
        Ok(Self((0..importance.heads.len()).map(of_layer).collect::<Result<_, _>>()?))
    }

    /// The plan of each layer, for all texts.
    pub(super) fn for_all(&self) -> Vec<HeadPlan> {
        self.0.iter().map(|set| HeadPlan::Same(*set)).collect()
    }

    /// The plan of each layer, where every text has sets of its own.
    pub(super) fn for_each(sets: &[Self]) -> Vec<HeadPlan> {
        let layers = sets.first().map_or(0, |sets| sets.0.len());
        (0..layers).map(|layer| HeadPlan::PerSample(sets.iter().map(|sets| sets.0[layer]).collect())).collect()
    }

    /// From the heads of each layer.
    pub(super) fn new(layers: Vec<HeadSet>) -> Self {
        Self(layers)
    }
}

/// How important heads are to training texts, or to those of a class.
pub(super) fn important(classifier: &TextClassifier, data: &EncodedDataset, class: Option<u32>) -> Result<Importance> {
    let wanted = |row: &usize| class.is_none_or(|class| data.samples[*row].label == class);
    let rows: Vec<usize> = (0..data.len()).filter(wanted).take(TEXTS).collect();
    Ok(Importance::by_gradient(classifier.encoder(), data, &rows, |batch, ctx| classifier.loss(batch, ctx))?)
}

/// By text and layer: the size of the loss's gradient at a gate on each head.
pub(super) fn gates(classifier: &TextClassifier, texts: &EncodedDataset) -> Result<Vec<Vec<Vec<f64>>>> {
    let of_text = |row: usize| {
        let loss = |batch: &_, ctx: &_| classifier.loss(batch, ctx);
        Ok(Importance::by_gradient(classifier.encoder(), texts, &[row], loss)?.heads)
    };
    (0..texts.len()).map(of_text).collect()
}

/// The classifier's log-probabilities with a plan of heads for each layer.
pub(super) fn losses(
    classifier: &TextClassifier,
    texts: &EncodedDataset,
    plans: &[HeadPlan],
) -> Result<LogProbabilities> {
    let (encoder, ctx) = (classifier.encoder(), ForwardContext::inference());
    let classes = classifier.classifier().classes();
    let mut values = vec![0.0; texts.len() * classes];
    for rows in longest_first(&texts.lengths(), BATCH)? {
        let batch = texts.batch(&rows)?;
        let mut hidden = encoder.embed(&batch, &ctx)?;
        for (layer, plan) in plans.iter().enumerate() {
            let own = match plan {
                HeadPlan::PerSample(sets) => HeadPlan::PerSample(rows.iter().map(|row| sets[*row]).collect()),
                same => same.clone(),
            };
            hidden = encoder.run(layer..layer + 1, &hidden, &own, &ctx)?;
        }
        let logits: Tensor = classifier.classifier().forward(&hidden, &ctx)?;
        for (row, logs) in
            rows.iter().zip(log_softmax(&logits)?.to_vec2::<f32>().map_err(dht_transformer::Error::from)?)
        {
            let of_row = values[row * classes..(row + 1) * classes].iter_mut();
            of_row.zip(logs).for_each(|(value, log)| *value = f64::from(log));
        }
    }
    Ok(LogProbabilities::new(classes, values)?)
}
