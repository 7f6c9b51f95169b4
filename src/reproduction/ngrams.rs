//! Linear n-gram model of a reproduction: alone, stacked on classifiers, and before them in a cascade.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_dynamic::{
    FullModel,
    exit::{NgramClassifier, NgramSettings},
};
use dht_dynamic::{Prediction, Predictor};
use dht_search::baselines::{Cascade, Stacked};
use dht_transformer::EncodedDataset;

use super::at_costs::{SeedCandidates, threshold_within};
use super::candidates::{Candidate, ModelKind, candidates};
use super::files::{DataSplit, NGRAM, SeedRow, UnitResult, f32_rows, save_log_probabilities};
use super::options::{COSTS, SPEED_COSTS};
use super::units::Unit;
use super::worker::{Tested, WallRatios, Worker};
use crate::error::{Error, Result};
use crate::experiment::{CLASSIFIERS, rng};
use crate::record::RowGroup;

impl Worker<'_> {
    /// Fits the n-gram model.
    pub(super) fn ngram(&self) -> Result<UnitResult> {
        let full = FullModel::new(&self.classifier(self.encoder.layers())?);
        let settings = NgramSettings { left_out: self.data.tokenizer.tokens_around()?, ..NgramSettings::default() };
        let start = Instant::now();
        let fit = NgramClassifier::fit(
            &self.data.train,
            &settings,
            full,
            Some(&self.encoder),
            &mut rng(&self.run, CLASSIFIERS),
        )?;
        let seconds = start.elapsed().as_secs_f64();
        let (model, flops) = (fit.classifier, fit.flops);
        model.save(self.place().join(NGRAM))?;
        let of = |data: &EncodedDataset| Ok::<_, dht_search::Error>(f32_rows(&model.log_probabilities_of_all(data)?));
        let tables = BTreeMap::from([
            (DataSplit::Train.of_depth(0), f32_rows(&fit.out_of_fold)),
            (DataSplit::Validation.of_depth(0), of(&self.data.validation)?),
            (DataSplit::Test.of_depth(0), of(&self.data.test)?),
        ]);
        save_log_probabilities(&self.place(), &tables)?;
        let tested = self.test(&model)?;
        let mut row = self.ngram_row(&tested, self.wall_ratio(&model)?);
        row.method = "n-gram".into();
        row.train_seconds = seconds;
        row.train_flops = flops;
        Ok(UnitResult { hash: String::new(), train_flops: flops, train_seconds: seconds, rows: vec![row] })
    }

    /// Stacks the n-gram model on the first `depth` layers with a classifier, or on the full model.
    pub(super) fn stacked(&self, depth: usize) -> Result<UnitResult> {
        let candidate = self.candidate(ModelKind::Stacked, &[depth])?;
        let (ngram, [(unit, stacker)]) = (self.fitted_ngram()?, &candidate.encoders[..]) else {
            return Err(none(depth));
        };
        let model = Stacked::new(ngram, self.model_of(*unit)?, *stacker)?;
        let tested = self.test(&model)?;
        let mut row = self.ngram_row(&tested, self.wall_ratio(&model)?);
        (row.method, row.setting) = (candidate.kind.name().into(), candidate.setting.clone());
        self.add_costs(&mut row, &candidate)?;
        row.inference_layer_head_ratio = self.share(depth);
        Ok(UnitResult { rows: vec![row], ..UnitResult::default() })
    }

    /// Tests a cascade of the n-gram model and the first `depth` layers. The layers run for uncertain texts only, and
    /// their answers are stacked with the n-gram model's.
    pub(super) fn cascade(&self, depth: usize) -> Result<UnitResult> {
        let candidate = self.candidate(ModelKind::Cascade, &[depth])?;
        let costs = COSTS.into_iter().filter(|cost| *cost < self.share(depth));
        let rows = self.cascade_rows(&costs.map(|cost| (&candidate, cost)).collect::<Vec<_>>())?;
        Ok(UnitResult { rows, ..UnitResult::default() })
    }

    /// Tests cascades of the n-gram model and two encoders. At each cost, the encoders have the depths with the best
    /// validation accuracy.
    pub(super) fn two_encoders(&self) -> Result<UnitResult> {
        let seed = SeedCandidates::new(self)?;
        let needed = self.unit.needs(self.encoder.layers());
        let of_these = |candidate: &&Candidate| {
            candidate.kind == ModelKind::TwoEncoders && candidate.encoders.iter().all(|(unit, _)| needed.contains(unit))
        };
        let mut chosen = Vec::new();
        for cost in SPEED_COSTS {
            let pairs = seed.candidates.iter().filter(of_these);
            let within = pairs.filter_map(|pair| Some((pair, seed.at(pair, cost)?.validation_accuracy)));
            let best = within.reduce(|best, pair| if pair.1 > best.1 { pair } else { best });
            chosen.extend(best.map(|(pair, _)| (pair, cost)));
        }
        let mut rows = self.cascade_rows(&chosen)?;
        for (row, (pair, cost)) in rows.iter_mut().zip(chosen) {
            // The setting does not name the pair, since another seed may select another one.
            row.setting = format!("best pair at {cost}");
            row.deviations.push(format!("seed {}: {}", self.seed, pair.setting));
        }
        Ok(UnitResult { rows, ..UnitResult::default() })
    }

    /// Results of cascades at cost limits, which are shares of the full model's FLOPs. The threshold of highest cost
    /// within the limit on validation rows is used.
    fn cascade_rows(&self, chosen: &[(&Candidate, f64)]) -> Result<Vec<SeedRow>> {
        let (ngram, full) = (self.fitted_ngram()?, self.full_flops(DataSplit::Validation));
        let cascade = |(candidate, cost): &(&Candidate, f64)| {
            let threshold = threshold_within(&candidate.validation, *cost, full).unwrap_or(1.0);
            let encoders =
                candidate.encoders.iter().map(|(unit, _)| self.model_of(*unit)).collect::<Result<Vec<_>>>()?;
            let stackers = candidate.encoders.iter().map(|(_, stacker)| *stacker).collect();
            Ok(Cascade::new(ngram.clone(), encoders, Some(stackers), 1.0 - threshold)?)
        };
        let models = chosen.iter().map(cascade).collect::<Result<Vec<_>>>()?;
        let timed: Vec<&dyn Predictor> = models.iter().map(|model| model as &dyn Predictor).collect();
        let row = |((model, clock), (candidate, cost)): ((&Cascade, WallRatios), &(&Candidate, f64))| {
            let tested = self.test(model)?;
            let mut row = self.ngram_row(&tested, clock);
            row.method = candidate.kind.name().into();
            row.setting = format!("{} at {cost}", candidate.setting);
            self.add_costs(&mut row, candidate)?;
            // Each encoder of the cascade runs from its first layer, so the depths add up.
            let depths = candidate.encoders.iter().filter_map(|(unit, _)| unit.depth(self.encoder.layers()));
            let passed = |text: &Prediction| -> f64 {
                let deepest = text.route.layers().count();
                depths.clone().filter(|depth| *depth <= deepest).map(|depth| self.share(depth)).sum()
            };
            let all: f64 = tested.predictions.iter().map(passed).sum();
            row.inference_layer_head_ratio = all / tested.labels.len().max(1) as f64;
            Ok(row)
        };
        models.iter().zip(self.wall_ratios(&timed)?).zip(chosen).map(row).collect()
    }

    /// Model of a given kind whose encoders are the first layers, truncated to `depths`.
    fn candidate(&self, kind: ModelKind, depths: &[usize]) -> Result<Candidate> {
        let whole = self.encoder.layers();
        let unit = |depth: &usize| if *depth == whole { Unit::Full } else { Unit::Truncation(*depth) };
        let units: Vec<Unit> = depths.iter().map(unit).collect();
        for unit in units.iter().chain([&Unit::Ngram]) {
            self.result_of(*unit)?;
        }
        let same = |candidate: &Candidate| {
            candidate.kind == kind && candidate.encoders.iter().map(|(unit, _)| *unit).eq(units.iter().copied())
        };
        let candidate = candidates(self)?.into_iter().find(same);
        candidate.ok_or_else(|| none(depths.first().copied().unwrap_or_default()))
    }

    fn fitted_ngram(&self) -> Result<NgramClassifier> {
        let path = self.plan.place(Unit::Ngram, self.seed).join(NGRAM);
        Ok(NgramClassifier::load(path)?.with_encoder(&self.encoder)?)
    }

    /// Adds the costs of a model to its result: FLOPs, seconds and layers × heads of all its training runs. FLOPs also
    /// include predictions of validation rows for fitting weights and thresholds; seconds do not.
    fn add_costs(&self, row: &mut SeedRow, candidate: &Candidate) -> Result<()> {
        let ngram = self.result_of(Unit::Ngram)?;
        (row.train_flops, row.train_seconds) = (ngram.train_flops, ngram.train_seconds);
        for (unit, _) in &candidate.encoders {
            let (result, depth) = (self.result_of(*unit)?, unit.depth(self.encoder.layers()).unwrap_or_default());
            let lengths = self.data.validation.lengths();
            let validation: u64 = lengths.into_iter().map(|tokens| self.text_flops(depth, tokens)).sum();
            row.train_flops += result.train_flops + validation;
            row.train_seconds += result.train_seconds;
            row.train_layer_head_ratio += self.share(depth);
        }
        Ok(())
    }

    fn ngram_row(&self, tested: &Tested, clock: WallRatios) -> SeedRow {
        SeedRow { inference_layer_head_ratio: 0.0, ..self.row(tested, RowGroup::Ngram, clock) }
    }

    /// Cost of the first `depth` layers in layers × heads, divided by the full model's.
    fn share(&self, depth: usize) -> f64 {
        depth as f64 / self.encoder.layers() as f64
    }
}

/// Error for an encoder depth whose training run has not finished.
fn none(depth: usize) -> Error {
    Error::Argument { flag: "rows", expected: format!("the classifier of {depth} layers before"), got: "none".into() }
}
