//! Wall-clock timing: several models take turns in predicting the same texts.

use std::time::Instant;

use dht_transformer::{EncodedDataset, ForwardContext};

use crate::error::{Error, Result};
use crate::prediction::{Predictor, in_pool};

/// Wall-clock times of one model's passes over a data set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PassTimes {
    /// Seconds of each pass over the data set, in the order of the runs. The warm-up pass is not included.
    pub passes: Vec<f64>,
}

impl PassTimes {
    /// Median duration of a pass, in seconds. For an even number of passes, the median is the mean of the middle two.
    pub fn median(&self) -> f64 {
        let mut sorted = self.passes.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
    }
}

/// Measures and compares the wall-clock time that several models need to predict a data set.
///
/// Each model has a forward context of its own, and packs its weights in a first pass that is not measured. Then the
/// models take turns in `passes` rounds. Each round starts with the model that ran second in the round before, so that
/// no model always runs after the same other model. A pass is [`Predictor::predict_all`]: forming batches is measured,
/// tokenising and scoring are not.
///
/// # Errors
/// [`Error::Argument`] if `passes` is 0; errors of a model, for example if the batch size is 0.
///
/// # Examples
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::router::LeavingRule;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
/// # use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
/// # use rand::SeedableRng;
/// use dht_dynamic::evaluation::time_in_turns;
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
/// let fast = model.with_speed(2.0)?;
/// let times = time_in_turns(&[&model, &fast], &texts, 8, 3)?;
/// assert_eq!(times.len(), 2);
/// assert_eq!(times[1].passes.len(), 3);
/// println!("{:.1} times as fast", times[0].median() / times[1].median());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub fn time_in_turns(
    models: &[&dyn Predictor],
    data: &EncodedDataset,
    batch_size: usize,
    passes: usize,
) -> Result<Vec<PassTimes>> {
    if passes == 0 {
        return Err(Error::argument("passes", "at least 1", 0));
    }
    models.iter().try_for_each(|model| model.check(data))?;
    let contexts: Vec<ForwardContext> = models.iter().map(|_| ForwardContext::inference()).collect();
    let pass = |model: usize| -> Result<f64> {
        let start = Instant::now();
        in_pool(|| models[model].predict_all(&data.samples, batch_size, &contexts[model]))?;
        Ok(start.elapsed().as_secs_f64())
    };
    for model in 0..models.len() {
        pass(model)?;
    }
    let mut times = vec![PassTimes { passes: Vec::with_capacity(passes) }; models.len()];
    for round in 0..passes {
        for turn in 0..models.len() {
            let model = (round + turn) % models.len();
            times[model].passes.push(pass(model)?);
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use dht_transformer::{Encoding, PackedBatch, Sample};

    use super::*;
    use crate::prediction::BatchPredictions;

    /// Mock model that records each call: its name, the batch size and the address of the forward context.
    struct Noting<'a> {
        name: usize,
        seen: &'a Mutex<Vec<(usize, usize, usize)>>,
    }

    impl Predictor for Noting<'_> {
        fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
            let ctx = std::ptr::from_ref(ctx) as usize;
            self.seen.lock().unwrap().push((self.name, batch.len(), ctx));
            Ok(BatchPredictions { predictions: Vec::new(), deciding: Duration::ZERO })
        }

        fn check(&self, _: &EncodedDataset) -> Result<()> {
            Ok(())
        }

        fn full_flops(&self, _: usize) -> u64 {
            0
        }
    }

    fn texts() -> EncodedDataset {
        let sample = |id: u64| {
            let encoding =
                Encoding { ids: vec![1; 2], type_ids: vec![0; 2], truncated: false, rest: Default::default() };
            Sample { id, label: 0, targets: Vec::new(), encoding }
        };
        EncodedDataset { samples: (0..5).map(sample).collect(), labels: vec!["0".into()], truncated_rows: 0 }
    }

    #[test]
    fn timed_models_take_turns_on_the_same_batches_after_a_warm_up() {
        let seen = Mutex::new(Vec::new());
        let models: Vec<Noting<'_>> = (0..3).map(|name| Noting { name, seen: &seen }).collect();
        let models: Vec<&dyn Predictor> = models.iter().map(|model| model as &dyn Predictor).collect();
        let times = time_in_turns(&models, &texts(), 3, 4).unwrap();
        assert!(times.iter().all(|times| times.passes.len() == 4 && times.passes.iter().all(|pass| *pass >= 0.0)));
        let seen = seen.lock().unwrap().clone();
        let order: Vec<usize> = seen.iter().step_by(2).map(|(name, ..)| *name).collect();
        assert_eq!(order, [0, 1, 2, /* in turns: */ 0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
        assert!(seen.iter().enumerate().all(|(at, (_, samples, _))| *samples == [3, 2][at % 2]));
        for name in 0..3 {
            let mut contexts: Vec<usize> = seen.iter().filter(|note| note.0 == name).map(|note| note.2).collect();
            contexts.dedup();
            assert_eq!(contexts.len(), 1, "one context a model keeps its packed weights");
        }
        assert!(matches!(time_in_turns(&models, &texts(), 3, 0), Err(Error::Argument { name: "passes", .. })));
    }

    #[test]
    fn the_median_is_the_middle_pass_or_the_mean_of_the_middle_two() {
        let median = |passes: &[f64]| PassTimes { passes: passes.to_vec() }.median();
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[4.0]), 4.0);
    }
}
