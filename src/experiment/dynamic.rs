//! Evaluations of dynamic models: shuffled routes, other speeds, regret and oracle, results by difficulty.

use std::collections::BTreeMap;

use dht_dynamic::Route;
use dht_dynamic::evaluation::{PassTimes, Stages, time_in_turns};
use dht_dynamic::{DynamicModel, Evaluation, Predictor, SpeedCurve, WithSpeed, evaluate};
use dht_search::evaluation::controls::{evaluate_on, evaluate_shuffled};
use dht_search::evaluation::{FixedArms, Queued};
use dht_search::settings::Dispatch;
use dht_search::{Regret, SearchModel};
use dht_transformer::data::generated::Difficulty;
use dht_transformer::train::metrics::{Confusion, score};
use rand::seq::SliceRandom;

use super::choices::SettingsChoice;
use super::job::{CONTROL, Job, TIMED_PASSES, rng};
use super::plain::Plain;
use crate::error::Result;
use crate::record::{DifficultyResult, OperatingPoint, OracleResult, RunRecord};

/// The number of shuffles in the random control.
const SHUFFLES: u64 = 3;
/// The number of speeds λ that are tested besides the model's own.
const SPEEDS: usize = 7;

impl Job<'_> {
    /// Measures all models in turns on the test set: sets the seconds of the models of fixed depth, and returns those of the
    /// accelerated model and of the search.
    pub(super) fn time_inference(
        &self,
        full: &mut Plain,
        truncated: &mut BTreeMap<usize, Plain>,
        accelerated: &DynamicModel,
        search: &SearchModel,
    ) -> Result<[f64; 2]> {
        let plain = std::iter::once(&*full).chain(truncated.values()).map(|plain| &plain.model as &dyn Predictor);
        let queued = Queued(search);
        let queues = self.plan.settings == SettingsChoice::Paper && search.settings().dispatch != Dispatch::InFlight;
        let search: &dyn Predictor = if queues { &queued } else { search };
        let models: Vec<&dyn Predictor> = plain.chain([accelerated as &dyn Predictor, search]).collect();
        let times = time_in_turns(&models, &self.data.test, self.test_batch(), TIMED_PASSES)?;
        let mut medians = times.iter().map(PassTimes::median);
        for plain in std::iter::once(full).chain(truncated.values_mut()) {
            plain.result.inference_seconds = medians.next().unwrap_or_default();
        }
        Ok([(); 2].map(|()| medians.next().unwrap_or_default()))
    }

    /// Macro F1 with the chosen routes shuffled among the texts, the mean of [`SHUFFLES`] shuffles.
    pub(super) fn random_macro_f1(&self, model: &SearchModel, evaluation: &Evaluation) -> Result<f64> {
        let mut rng = rng(self.plan, CONTROL);
        let mut sum = 0.0;
        for _ in 0..SHUFFLES {
            let shuffled = evaluate_shuffled(model, &self.data.test, evaluation, self.test_batch(), &mut rng)?;
            sum += shuffled.confusion.macro_f1();
        }
        Ok(sum / SHUFFLES as f64)
    }

    /// The same of an accelerated model, whose stages say what each row would have been answered.
    pub(super) fn random_macro_f1_of_stages(&self, model: &DynamicModel, evaluation: &Evaluation) -> Result<f64> {
        let test = &self.data.test;
        let stages = Stages::of_model(model, test, self.test_batch())?;
        let depths: Vec<usize> = model.depths().collect();
        let stage = |route: &Route| depths.iter().position(|depth| *depth == route.exit()).unwrap_or_default();
        let mut rng = rng(self.plan, CONTROL);
        let mut sum = 0.0;
        for _ in 0..SHUFFLES {
            let mut chosen: Vec<usize> = evaluation.routes.iter().map(stage).collect();
            chosen.shuffle(&mut rng);
            sum += score(test, &stages.leaving_at(chosen).labels)?.macro_f1();
        }
        Ok(sum / SHUFFLES as f64)
    }

    /// A model at several speeds, cheapest first: the speed from the validation rows, everything else from the test rows.
    pub(super) fn operating_points<M: WithSpeed>(
        &self,
        model: &M,
        record: &RunRecord,
        random_macro_f1: impl Fn(&M, &Evaluation) -> Result<f64>,
    ) -> Result<Vec<OperatingPoint>> {
        if model.speed().is_none() {
            return Ok(Vec::new());
        }
        let mut curve = SpeedCurve::new(model, &self.data.validation, self.test_batch())?;
        let mut points = Vec::new();
        for budget in curve.budgets(SPEEDS) {
            let lambda = curve.calibrate(budget)?.lambda;
            let at_speed = model.with_speed(lambda)?;
            let evaluation = evaluate(&at_speed, &self.data.test, self.test_batch())?;
            let flops = (evaluation.flops + evaluation.bandit_flops) as f64;
            let inference_flops_ratio = flops / record.full.inference_flops as f64;
            points.push(OperatingPoint {
                lambda,
                inference_flops_ratio,
                macro_f1: evaluation.confusion.macro_f1(),
                random_macro_f1: random_macro_f1(&at_speed, &evaluation)?,
                truncated_macro_f1: record.truncated_macro_f1_at(inference_flops_ratio),
            });
        }
        Ok(points)
    }

    /// The regret of the chosen routes against the best fixed exit, and the result of the best exit of each text, at the
    /// model's λ.
    pub(super) fn hindsight(
        &self,
        model: &SearchModel,
        evaluation: &Evaluation,
        full: u64,
    ) -> Result<(Regret, OracleResult)> {
        let (test, batch) = (&self.data.test, self.test_batch());
        let fixed = FixedArms::new(model, test, batch)?;
        let regret = Regret::new(model, test, evaluation, &fixed)?;
        let oracle = evaluate_on(model, test, &fixed.oracle_routes(regret.lambda)?, batch)?;
        let inference_flops_ratio = oracle.flops as f64 / full as f64;
        Ok((regret, OracleResult { macro_f1: oracle.confusion.macro_f1(), inference_flops_ratio }))
    }

    /// Results on the easy and on the other texts of the embedded corpus; empty for other data.
    pub(super) fn difficulties(
        &self,
        full: &Plain,
        truncated: &BTreeMap<usize, Plain>,
        evaluation: &Evaluation,
    ) -> Result<Vec<DifficultyResult>> {
        if self.data.test_difficulties.is_empty() {
            return Ok(Vec::new());
        }
        let parts: [(&str, &dyn Fn(Difficulty) -> bool); 2] =
            [("easy", &|d| d == Difficulty::Easy), ("hard", &|d| d != Difficulty::Easy)];
        let samples = &self.data.test.samples;
        parts
            .into_iter()
            .map(|(name, wanted)| {
                let rows: Vec<usize> =
                    (0..samples.len()).filter(|row| wanted(self.data.test_difficulties[*row])).collect();
                let truth: Vec<usize> = rows.iter().map(|row| samples[*row].label as usize).collect();
                let macro_f1 = |labels: &[u32]| -> Result<f64> {
                    let predicted: Vec<usize> = rows.iter().map(|row| labels[*row] as usize).collect();
                    let classes = self.data.test.labels.len();
                    Ok(Confusion::from_labels(classes, &truth, &predicted)?.macro_f1())
                };
                let depths = rows.iter().map(|row| evaluation.routes[*row].depth() as f64);
                Ok(DifficultyResult {
                    name: name.into(),
                    rows: rows.len(),
                    mean_depth: depths.sum::<f64>() / rows.len().max(1) as f64,
                    dynamic_macro_f1: macro_f1(&evaluation.labels)?,
                    full_macro_f1: macro_f1(&full.labels)?,
                    truncated_macro_f1: truncated
                        .iter()
                        .map(|(depth, plain)| Ok((*depth, macro_f1(&plain.labels)?)))
                        .collect::<Result<_>>()?,
                })
            })
            .collect()
    }
}
