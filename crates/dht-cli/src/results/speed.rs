//! Measurement of texts per second, on a sample of the scored texts.

use std::collections::BTreeMap;

use dht_dynamic::evaluation::InPrecision;
use dht_dynamic::router::{ExitRule, ExitView, Notes};
use dht_dynamic::serving::ServedModel;
use dht_dynamic::transformer::{EncodedDataset, Precision};
use dht_dynamic::{DynamicModel, Result as DynamicResult};

use super::answers::Answers;
use crate::error::Result;

/// Target cost of timing all models together, as a share of one pass of all layers over the scored texts. The actual
/// cost can be higher, since at least one batch is timed for each model.
const SHARE: f64 = 0.5;
/// Maximum cost of timing one model, as a multiple of the full model's mean cost per text.
const MOST: f64 = 256.0;
/// Minimum number of texts in a timing, if the texts of a model are divided among several timings.
const TURN: usize = 128;
/// Maximum number of timings of a model, each on other texts. The fastest one counts.
const TURNS: usize = 3;
/// Minimum number of texts on which a model is timed: one batch.
const LEAST: usize = 64;
/// Number of texts that run before all timings, while the weights are packed.
const WARM_UP: usize = 8;

/// Measures the texts per second of each model, in batches of 64. `answers` are the answers of each model to the texts,
/// and `full` is the number of FLOPs of all texts in the full model.
///
/// A model is timed on a sample of texts: they are sorted by their cost, and taken at equal distances, so that their
/// mean cost is that of all texts. Each model gets the same time, so that a cheap model is timed on more texts. The
/// models take turns and share packed weights. The fastest turn counts, since other work on the machine can only slow a
/// model.
pub(super) fn texts_per_second(
    models: &[ServedModel],
    answers: &[Answers],
    texts: &EncodedDataset,
    full: u64,
) -> Result<Vec<f64>> {
    let Some(first) = models.first() else { return Ok(Vec::new()) };
    let packed = InPrecision::new(first, Precision::F32);
    let budget = (SHARE * texts.len() as f64 / models.len() as f64).min(MOST) * full as f64;
    let turns: Vec<Vec<Vec<usize>>> = answers.iter().map(|answers| turns(&answers.flops, budget)).collect();
    let seconds = |model: &ServedModel, rows: &[usize]| -> Result<f64> {
        Ok(Answers::of_pass(&packed.with_model(model), &texts.select(rows.iter().copied())?)?.1)
    };
    seconds(first, &(0..WARM_UP.min(texts.len())).collect::<Vec<_>>())?;
    let mut fastest = vec![0.0_f64; models.len()];
    for turn in 0..TURNS {
        for place in 0..models.len() {
            let model = (turn + place) % models.len();
            if let Some(rows) = turns[model].get(turn) {
                fastest[model] = fastest[model].max(rate(rows.len(), seconds(&models[model], rows)?));
            }
        }
    }
    Ok(fastest)
}

pub(super) fn rate(texts: usize, seconds: f64) -> f64 {
    texts as f64 / seconds.max(1e-9)
}

/// Selects the rows for each timing of a model, at equal distances in the order of their FLOPs. `budget` is the number
/// of FLOPs to spend, multiplied by the number of all rows.
fn turns(flops: &[u64], budget: f64) -> Vec<Vec<usize>> {
    let all = flops.len();
    let total: u64 = flops.iter().sum();
    let count = ((budget / total.max(1) as f64) as usize).clamp(LEAST.min(all), all);
    let mut order: Vec<usize> = (0..all).collect();
    order.sort_by_key(|row| flops[*row]);
    let timed: Vec<usize> = (0..count).map(|at| order[(2 * at + 1) * all / (2 * count)]).collect();
    let turns = (count / TURN).clamp(1, TURNS);
    (0..turns).map(|turn| timed.iter().skip(turn).step_by(turns).copied().collect()).collect()
}

/// Copies a model with a fixed depth (number of layers) for each text, that of its answer in `answers`. Without fixed
/// depths, training texts would stop earlier, and take less time, than unseen texts.
pub(super) fn on_routes(model: &DynamicModel, texts: &EncodedDataset, answers: &Answers) -> ServedModel {
    let depths = model.depths().collect();
    let ids = texts.samples.iter().map(|sample| sample.id);
    let reads = model.speed().is_none_or(|speed| speed > 0.0);
    let routes = Routes { reads, depths, depth_of: ids.zip(answers.depths.iter().copied()).collect() };
    model.clone().with_router(Box::new(routes)).into()
}

/// Router that stops each text at a fixed depth (number of layers). It evaluates the same exits as the rule of the
/// original router.
#[derive(Debug)]
struct Routes {
    /// True if exits are evaluated; false at speed 0, at which all layers run.
    reads: bool,
    /// Depth of each exit in layers.
    depths: Vec<usize>,
    /// Depth in layers at which each text stops, by the text's id.
    depth_of: BTreeMap<u64, usize>,
}

impl ExitRule for Routes {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last && self.reads
    }

    fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> DynamicResult<Vec<bool>> {
        let depth = self.depths[view.exit];
        Ok(view.ids().map(|id| self.depth_of.get(&id).is_none_or(|own| *own <= depth)).collect())
    }
}

#[cfg(test)]
mod tests {
    use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
    use dht_dynamic::transformer::Pooling;
    use dht_toys::planted;

    use super::*;

    #[test]
    fn timed_texts_cost_as_much_as_all_on_average() {
        // One text in ten runs many layers.
        let flops: Vec<u64> =
            (0..2_000).map(|row| if row % 10 == 3 { 1_000 + row % 7 } else { 10 + row % 3 }).collect();
        let total: u64 = flops.iter().sum();
        for (budget, count, turns_of) in
            [(0.0, 64, 1), (150.0, 150, 1), (300.0, 300, 2), (600.0, 600, 3), (1e9, 2_000, 3)]
        {
            let turns = turns(&flops, budget * total as f64);
            assert_eq!(turns.len(), turns_of);
            let mut rows = turns.concat();
            assert_eq!(rows.len(), count);
            let mean = rows.iter().map(|row| flops[*row]).sum::<u64>() as f64 / count as f64;
            assert!((mean / (total as f64 / 2_000.0) - 1.0).abs() < 0.1, "{mean} at {budget}");
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), count, "no row twice");
        }
        assert_eq!(turns(&[5, 4, 3], 0.0), [[2, 1, 0]], "fewer than a batch");
    }

    #[test]
    fn fixed_routes_give_the_answers_of_their_exits() -> Result<()> {
        let classifier = planted::full_model(Pooling::Mean);
        let (training, test) = (planted::task(300, 1), planted::task(90, 9));
        let settings = AccelerateSettings { ngram: None, ..AccelerateSettings::default() };
        let made = accelerate(classifier, Texts::new(&training), &settings, &mut dht_toys::rng(5))?;
        let at = |cost: f64| made.model.with_speed(made.report.within(cost).expect("a speed").speed);
        let (slow, fast) = (at(0.8)?, at(0.5)?);
        let answers = [&slow, &fast].map(|model| Answers::of_pass(model, &test).expect("answers").0);
        assert!(answers[0].depths.iter().any(|depth| *depth != answers[0].depths[0]), "{:?}", answers[0].depths);
        assert_ne!(answers[0], answers[1]);
        assert_eq!(Answers::of_pass(&on_routes(&fast, &test, &answers[0]), &test)?.0, answers[0]);
        let models = [fast.clone().into(), on_routes(&fast, &test, &answers[0])];
        let rates = texts_per_second(&models, &answers, &test, fast.full_inference_flops(&test))?;
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{rates:?}");
        Ok(())
    }
}
