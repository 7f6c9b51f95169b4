//! The units of the linear n-gram model: alone, stacked on classifiers, and before them in a cascade.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_search::baselines::{
    Cascade, FullModel, LogProbabilities, NgramClassifier, NgramSettings, Stacked, Stacker, cascade,
};
use dht_transformer::{EncodedDataset, TextClassifier};

use super::files::{SeedRow, UnitResult, load_log_probabilities, save_log_probabilities};
use super::options::COSTS;
use super::units::Unit;
use super::worker::{Tested, Worker, layers};
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, rng};
use crate::record::RowGroup;

/// The file of the model in its unit's directory.
const MODEL: &str = "ngram.json";
/// The parts of the data whose log-probabilities are kept.
const VALIDATION: &str = "validation";
const TEST: &str = "test";

impl Worker<'_> {
    /// Fits the n-gram model.
    pub(super) fn ngram(&self) -> Result<UnitResult> {
        let full = FullModel::of(&self.classifier(self.encoder.layers())?);
        let settings = NgramSettings { left_out: self.data.tokenizer.tokens_around()?, ..NgramSettings::default() };
        let start = Instant::now();
        let fit = NgramClassifier::fit(&self.data.train, &settings, full, &mut rng(&self.run, CLASSIFIERS))?;
        let seconds = start.elapsed().as_secs_f64();
        let model = fit.classifier;
        model.save(self.place().join(MODEL))?;
        let of = |data: &EncodedDataset| Ok::<_, dht_search::Error>(f32_rows(&model.log_probabilities_of_all(data)?));
        let tables = BTreeMap::from([
            ("train.0".into(), f32_rows(&fit.out_of_fold)),
            (format!("{VALIDATION}.0"), of(&self.data.validation)?),
            (format!("{TEST}.0"), of(&self.data.test)?),
        ]);
        save_log_probabilities(&self.place(), &tables)?;
        let tested = self.test(&model)?;
        let mut row = self.ngram_row(&tested, self.wall_ratio(&model)?);
        row.method = "n-gram".into();
        row.train_seconds = seconds;
        Ok(UnitResult { hash: String::new(), train_flops: 0, train_seconds: seconds, rows: vec![row] })
    }

    /// The n-gram model stacked on the first layers, or on the full model.
    pub(super) fn stacked(&self, depth: usize) -> Result<UnitResult> {
        let both = Both::new(self, depth)?;
        let model = Stacked::new(both.ngram.clone(), both.encoder(self)?, both.stacker)?;
        let tested = self.test(&model)?;
        let mut row = self.ngram_row(&tested, self.wall_ratio(&model)?);
        (row.method, row.setting) = ("n-gram stacked".into(), format!("on {}", layers(depth)));
        (row.train_flops, row.train_seconds) = both.cost(self)?;
        (row.train_layer_head_ratio, row.inference_layer_head_ratio) = (self.share(depth), self.share(depth));
        Ok(UnitResult { hash: String::new(), train_flops: 0, train_seconds: 0.0, rows: vec![row] })
    }

    /// The n-gram model, and the first layers with it stacked on them for the texts of which it is not sure.
    pub(super) fn cascade(&self, depth: usize) -> Result<UnitResult> {
        let both = Both::new(self, depth)?;
        let mut rows = Vec::new();
        for cost in COSTS.into_iter().filter(|cost| *cost < self.share(depth)) {
            let threshold = both.threshold(self, cost)?;
            let stages = vec![both.encoder(self)?];
            let model = Cascade::new(both.ngram.clone(), stages, Some(vec![both.stacker]), threshold)?;
            let tested = self.test(&model)?;
            let runs = tested.predictions.iter().filter(|text| text.route.layers().next().is_some()).count();
            let mut row = self.ngram_row(&tested, self.wall_ratio(&model)?);
            (row.method, row.setting) = ("n-gram cascade".into(), format!("to {} at {cost}", layers(depth)));
            (row.train_flops, row.train_seconds) = both.cost(self)?;
            row.train_layer_head_ratio = self.share(depth);
            row.inference_layer_head_ratio = self.share(depth) * runs as f64 / tested.labels.len().max(1) as f64;
            rows.push(row);
        }
        Ok(UnitResult { hash: String::new(), train_flops: 0, train_seconds: 0.0, rows })
    }

    fn ngram_row(&self, tested: &Tested, wall_ratio: f64) -> SeedRow {
        let deviations = vec!["FLOPs of the n-gram model's fit are left out; its seconds count".into()];
        SeedRow { inference_layer_head_ratio: 0.0, deviations, ..self.row(tested, RowGroup::Ngram, wall_ratio) }
    }

    /// The cost of the first layers in layers × heads.
    fn share(&self, depth: usize) -> f64 {
        depth as f64 / self.encoder.layers() as f64
    }
}

/// The n-gram model and the classifier of a depth, with their log-probabilities and the weights that stack them.
struct Both {
    ngram: NgramClassifier,
    unit: Unit,
    stacker: Stacker,
    /// Of the validation rows: of the n-gram model, and of both.
    stages: [LogProbabilities; 2],
    depth: usize,
}

impl Both {
    fn new(worker: &Worker<'_>, depth: usize) -> Result<Self> {
        let unit = if depth == worker.encoder.layers() { Unit::Full } else { Unit::Truncation(depth) };
        worker.result_of(Unit::Ngram)?;
        worker.result_of(unit)?;
        let place = worker.plan.place(Unit::Ngram, worker.seed);
        let of_ngram = table(&mut load_log_probabilities(&place)?, 0)?;
        let of_encoder = table(&mut load_log_probabilities(&worker.plan.place(unit, worker.seed))?, depth)?;
        let labels: Vec<u32> = worker.data.validation.samples.iter().map(|sample| sample.label).collect();
        let stacker = Stacker::fit(&of_ngram, &of_encoder, &labels)?;
        let both = stacker.stack(&of_ngram, &of_encoder)?;
        let ngram = NgramClassifier::load(place.join(MODEL))?;
        Ok(Self { ngram, unit, stacker, stages: [of_ngram, both], depth })
    }

    fn encoder(&self, worker: &Worker<'_>) -> Result<TextClassifier> {
        worker.model_of(self.unit)
    }

    /// FLOPs and seconds of both trainings, and FLOPs of predicting the validation rows, on which weights and thresholds are
    /// fitted; the seconds of that are left out.
    fn cost(&self, worker: &Worker<'_>) -> Result<(u64, f64)> {
        let (ngram, encoder) = (worker.result_of(Unit::Ngram)?, worker.result_of(self.unit)?);
        let lengths = worker.data.validation.lengths();
        let flops: u64 = lengths.into_iter().map(|tokens| worker.text_flops(self.depth, tokens)).sum();
        Ok((ngram.train_flops + encoder.train_flops + flops, ngram.train_seconds + encoder.train_seconds))
    }

    /// The threshold whose cascade of the validation rows is the costliest within a share of the full model's FLOPs.
    fn threshold(&self, worker: &Worker<'_>, cost: f64) -> Result<f64> {
        let mut confidences: Vec<f64> =
            self.stages[0].rows().map(|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max).exp()).collect();
        confidences.sort_by(f64::total_cmp);
        confidences.dedup();
        let lengths = worker.data.validation.lengths();
        let full: u64 = lengths.iter().map(|tokens| worker.text_flops(worker.encoder.layers(), *tokens)).sum();
        let mut best = 0.0;
        for threshold in confidences {
            let stages = cascade(&self.stages, threshold)?.stages;
            let runs = stages.iter().zip(&lengths).filter(|(stage, _)| **stage > 0);
            let flops: u64 = runs.map(|(_, tokens)| worker.text_flops(self.depth, *tokens)).sum();
            if flops as f64 > cost * full as f64 {
                break;
            }
            best = threshold;
        }
        Ok(best)
    }
}

/// The validation rows of a depth.
fn table(tables: &mut BTreeMap<String, Vec<Vec<f32>>>, depth: usize) -> Result<LogProbabilities> {
    let rows = tables.remove(&format!("{VALIDATION}.{depth}")).unwrap_or_default();
    let classes = rows.first().map_or(0, Vec::len);
    Ok(LogProbabilities::new(classes, rows.into_iter().flatten().map(f64::from).collect())?)
}

pub(super) fn f32_rows(rows: &LogProbabilities) -> Vec<Vec<f32>> {
    rows.rows().map(|row| row.iter().map(|value| *value as f32).collect()).collect()
}
