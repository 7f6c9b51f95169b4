//! Evaluates any [`Predictor`] on a data set: scores, costs and time.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::train::metrics::Confusion;
use dht_transformer::{EncodedDataset, ForwardContext, HeadSet, Sample};

use crate::error::Result;
use crate::outputs::{Outputs, truth_of};
use crate::prediction::{BatchPredictions, Prediction, Predictor, in_pool};
use crate::route::Route;

/// Predictions of a model on a data set, with their scores, costs and time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation {
    /// Confusion matrix of the true and predicted classes. For a multi-label model, the matrix counts all labels of all
    /// rows together, with two classes: 0 for a label that does not apply, and 1 for a label that applies. A label is
    /// predicted to apply if its probability is at least one half. The F1 of class 1 is then the micro F1.
    pub confusion: Confusion,
    /// Predicted class of each row. For a multi-label model, 0 or 1 for each label of the first row, then of the second
    /// row, and so on.
    pub labels: Vec<u32>,
    /// Predicted probability of each class or label, by row.
    pub probabilities: Vec<Vec<f32>>,
    /// Cross-entropy loss of each row in nats: −ln of the probability of the true class, at most 87, the value for the
    /// smallest f32. For a multi-label model, the mean over the labels.
    pub losses: Vec<f64>,
    /// Route of each row: the layers that ran, and the number of attention heads in each.
    pub routes: Vec<Route>,
    /// Selected attention heads, by row and by group of layers (only groups whose heads are selected). The lists are
    /// empty for models that do not select heads.
    pub head_sets: Vec<Vec<HeadSet>>,
    /// FLOPs of each row: all matrix products, plus the routers.
    pub row_flops: Vec<u64>,
    /// FLOPs of all matrix products, without the routers: the sum of [`Prediction::flops`] over the rows.
    pub flops: u64,
    /// FLOPs of the routing decisions on all rows, computed by formula.
    pub routing_flops: u64,
    /// Mean over the rows of the share of attention heads that run, relative to all heads in all layers. The DHT paper
    /// (Meng et al. 2023) uses this share as its estimate of the cost.
    pub layer_head_ratio: f64,
    /// Wall-clock seconds of predicting the data set, including packing the weights in the first batch, without
    /// tokenising. To compare models, use [`time_in_turns`](super::time_in_turns).
    pub seconds: f64,
    /// Seconds spent on routing decisions, including pooling the hidden states for the routers. Part of `seconds`.
    pub routing_seconds: f64,
}

impl Evaluation {
    /// Number of rows on each route. The keys are routes in their text notation.
    pub fn route_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for route in &self.routes {
            *counts.entry(route.to_string()).or_default() += 1;
        }
        counts
    }
}

/// Predicts every row of a data set and scores the predictions.
///
/// # Errors
/// * [`Error::Argument`](crate::Error::Argument) if the classes or labels of the data set differ from the model's, or
///   if its targets are numbers.
/// * Errors of the model, for example if the batch size is 0.
///
/// # Examples
/// Model with an exit after each of two layers, at full cost and at its highest speed:
///
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::router::LeavingRule;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
/// # use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
/// # use rand::SeedableRng;
/// use dht_dynamic::evaluate;
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let exits = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
/// # let model = DynamicModel::new(exits, LeavingRule::Confidence)?;
/// let texts = tokenizer.encode_all(&data, 16)?;
/// let full = evaluate(&model, &texts, 8)?;
/// let fast = evaluate(&model.with_speed(2.0)?, &texts, 8)?;
/// assert_eq!((full.routes[0].depth(), fast.routes[0].depth()), (2, 1));
/// assert!(fast.flops < full.flops);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub fn evaluate(model: &dyn Predictor, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    model.check(data)?;
    let start = Instant::now();
    let ctx = ForwardContext::inference();
    let result = in_pool(|| model.predict_all(&data.samples, batch_size, &ctx))?;
    let seconds = start.elapsed().as_secs_f64();
    let BatchPredictions { predictions, deciding } = result;
    let outputs = Outputs::of_texts(data);
    let labels: Vec<u32> = match outputs {
        Outputs::Classes(_) => predictions.iter().map(|prediction| prediction.label).collect(),
        Outputs::Labels(_) => {
            predictions.iter().flat_map(|prediction| &prediction.probabilities).map(|p| u32::from(*p >= 0.5)).collect()
        }
    };
    let confusion = match outputs {
        Outputs::Classes(_) => Confusion::from_predictions(data, &labels)?,
        Outputs::Labels(_) => {
            let index = |labels: &[u32]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
            Confusion::from_labels(2, &index(&truth_of(data)), &index(&labels))?
        }
    };
    let log = |probability: f32| f64::from(probability.max(f32::MIN_POSITIVE)).ln();
    // `check` has verified that every label is one of the model's.
    let loss = |(prediction, sample): (&Prediction, &Sample)| match sample.targets.is_empty() {
        true => -log(prediction.probabilities[sample.label as usize]),
        false => {
            let of_label = |(p, target): (&f32, &f32)| -log(if *target >= 0.5 { *p } else { 1.0 - p });
            let labels = prediction.probabilities.iter().zip(&sample.targets);
            labels.map(of_label).sum::<f64>() / sample.targets.len() as f64
        }
    };
    let losses = predictions.iter().zip(&data.samples).map(loss).collect();
    let row_flops = predictions.iter().map(|prediction| prediction.flops + prediction.routing_flops).collect();
    let mut layer_head = 0.0;
    for prediction in &predictions {
        layer_head += prediction.route.head_share();
    }
    let flops = predictions.iter().map(|prediction| prediction.flops).sum();
    let routing_flops = predictions.iter().map(|prediction| prediction.routing_flops).sum();
    let layer_head_ratio = layer_head / predictions.len().max(1) as f64;
    let choices = predictions.into_iter().map(|row| (row.probabilities, (row.route, row.head_sets)));
    let (probabilities, (routes, head_sets)) = choices.unzip();
    Ok(Evaluation {
        confusion,
        labels,
        probabilities,
        losses,
        flops,
        routing_flops,
        layer_head_ratio,
        row_flops,
        routes,
        head_sets,
        seconds,
        routing_seconds: deciding.as_secs_f64(),
    })
}
