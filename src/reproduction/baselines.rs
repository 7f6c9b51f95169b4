//! Baselines with a separate training run: distilled truncations, DistilBERT, FastBERT and PABEE.

use std::collections::BTreeMap;

use dht_cli::TrainingProgress;
use dht_dynamic::{DynamicModel, Predictor, exit::ExitKind, training::FrozenExits};
use dht_search::SearchModel;
use dht_search::baselines::{Baseline, distilbert, fastbert, pabee, truncation};
use dht_transformer::{EncodedDataset, TrainSettings, Trainer, tasks::DistillationSettings, train::History};

use super::files::{DataSplit, LogProbabilities, SeedRow, UnitResult, f32_rows, save_log_probabilities};
use super::options::{CACHE_BYTES, EXIT_EPOCHS, EXIT_RATE, PATIENCES, SPEEDS};
use super::units::Unit;
use super::worker::{WallRatios, Worker};
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, pooling, rng, train_settings};
use crate::record::{RouteCounts, RowGroup};

impl Worker<'_> {
    /// Distils the full model into its first `depth` layers.
    pub(super) fn distilled(&self, depth: usize) -> Result<UnitResult> {
        let teacher = self.model_of(Unit::Full)?;
        let settings = DistillationSettings::soft_labels();
        let mut rng = rng(&self.run, CLASSIFIERS);
        self.student(truncation::distilled(&self.encoder, depth, &teacher, settings, &mut rng)?, RowGroup::Truncation)
    }

    /// Trains the DistilBERT student, which starts from `depth` of the full model's layers.
    pub(super) fn distilbert(&self, depth: usize) -> Result<UnitResult> {
        let teacher = self.model_of(Unit::Full)?;
        let student = distilbert::distilbert(&teacher, depth, DistillationSettings::default())?;
        let mut result = self.student(student, RowGroup::DistilBert)?;
        let deviations = [
            "distilled on the training rows with their labels; the source distils on a corpus in pre-training",
            "starts as layers of the fine-tuned teacher; the source's as layers of the pre-trained one",
        ];
        result.rows[0].deviations = deviations.map(String::from).into();
        Ok(result)
    }

    fn student<B>(&self, mut student: B, group: RowGroup) -> Result<UnitResult>
    where
        B: Baseline<Model = dht_transformer::TextClassifier>,
        crate::error::Error: From<B::Error>,
    {
        let history = self.fit(&mut student)?;
        let own = (student.flops(), seconds(&history));
        let teacher = self.result_of(Unit::Full)?;
        let all = (own.0 + teacher.train_flops, own.1 + teacher.train_seconds);
        let mut row = self.row_of_classifier(&student.into_model(), group, own, all)?;
        // The teacher, a full model, was trained too.
        row.train_layer_head_ratio += 1.0;
        Ok(UnitResult { hash: String::new(), train_flops: own.0, train_seconds: own.1, rows: vec![row] })
    }

    /// Trains FastBERT's exits on the frozen full model, and tests them at each speed.
    pub(super) fn fastbert(&self) -> Result<UnitResult> {
        let backbone = self.model_of(Unit::Full)?;
        // `FastBERT`'s source code uses 128 of BERT's 768 columns.
        let width = (self.encoder.block_shape().hidden / 6).max(1);
        let settings = fastbert::FastBertSettings {
            exit_kind: ExitKind::SideLayer { width },
            ..fastbert::FastBertSettings::default()
        };
        let exits = fastbert::fastbert(&backbone, &settings, &mut rng(&self.run, CLASSIFIERS))?;
        let mut exits = exits.with_cache(CACHE_BYTES);
        let history = self.fit_exits(&mut exits)?;
        let own = (Baseline::flops(&exits), seconds(&history));
        let full = self.result_of(Unit::Full)?;
        let model = exits.into_model();
        let mut rows = self.rows_at(&model, &SPEEDS, RowGroup::FastBert)?;
        for (row, speed) in rows.iter_mut().zip(SPEEDS) {
            (row.method, row.setting) = ("FastBERT".into(), format!("speed {speed}"));
            (row.train_flops, row.train_seconds) = (own.0 + full.train_flops, own.1 + full.train_seconds);
            // Layers only run forward while exits are trained, so layers × heads counts the fine-tuning only.
            row.train_layer_head_ratio = 1.0;
            let exits = format!(
                "exits of a layer of {width} columns, a sixth as in the source, beside a linear classifier of the mean"
            );
            row.deviations = vec![exits];
        }
        self.save_stages(&model)?;
        Ok(UnitResult { hash: String::new(), train_flops: own.0, train_seconds: own.1, rows })
    }

    /// Trains all exits of PABEE jointly, and tests them at each patience.
    pub(super) fn pabee(&self) -> Result<UnitResult> {
        let settings = pabee::PabeeSettings { pooling: pooling(&self.run), ..pabee::PabeeSettings::default() };
        let copy = self.encoder.truncated(self.encoder.layers())?;
        let mut search = pabee::pabee(copy, self.classes(), &settings, &mut rng(&self.run, CLASSIFIERS))?;
        let history = self.fit(&mut search)?;
        let own = (Baseline::flops(&search), seconds(&history));
        let model = Baseline::into_model(search).to_dynamic()?;
        let mut rows = self.rows_at(&model, &PATIENCES.map(|patience| 1.0 / f64::from(patience)), RowGroup::Pabee)?;
        for (row, patience) in rows.iter_mut().zip(PATIENCES) {
            (row.method, row.setting) = ("PABEE".into(), format!("patience {patience}"));
            (row.train_flops, row.train_seconds) = own;
            row.train_layer_head_ratio = 1.0;
        }
        self.save_stages(&model)?;
        Ok(UnitResult { hash: String::new(), train_flops: own.0, train_seconds: own.1, rows })
    }

    /// Tests a model at several speeds. Training costs are 0 in the results and must be set by the caller.
    pub(super) fn rows_at(&self, model: &DynamicModel, speeds: &[f64], group: RowGroup) -> Result<Vec<SeedRow>> {
        let models = speeds.iter().map(|speed| Ok(model.with_speed(*speed)?)).collect::<Result<Vec<_>>>()?;
        let timed: Vec<&dyn Predictor> = models.iter().map(|model| model as &dyn Predictor).collect();
        let row = |(at_speed, clock): (&DynamicModel, WallRatios)| {
            let tested = self.test(at_speed)?;
            let mut test = BTreeMap::new();
            tested.predictions.iter().for_each(|text| *test.entry(text.route.to_string()).or_default() += 1);
            let routes = Some(RouteCounts { test, ..RouteCounts::default() });
            Ok(SeedRow { routes, ..self.row(&tested, group, clock) })
        };
        models.iter().zip(self.wall_ratios(&timed)?).map(row).collect()
    }

    /// Saves the log-probabilities of each stage of a model for every row, and the cost of an exit at each stage.
    pub(super) fn save_stages(&self, model: &DynamicModel) -> Result<()> {
        self.save_parts(|rows| {
            let tables = model.stage_log_probabilities(rows, self.batch())?;
            Ok((tables.iter().map(f32_rows).collect(), model.stage_flops(rows)))
        })
    }

    /// Saves the log-probabilities at each exit of a search model, and the cost of each exit.
    pub(super) fn save_exits(&self, model: &SearchModel) -> Result<()> {
        let model = model.model();
        self.save_parts(|rows| {
            let tables = model.exit_log_probabilities(rows, self.batch())?;
            Ok((tables.iter().map(f32_rows).collect(), model.exit_flops(rows)))
        })
    }

    fn save_parts(&self, of: impl Fn(&EncodedDataset) -> Result<(Vec<LogProbabilities>, Vec<Vec<u64>>)>) -> Result<()> {
        let mut tables = BTreeMap::new();
        for part in [DataSplit::Validation, DataSplit::Test] {
            let rows = self.rows(part);
            let (stages, flops) = of(rows)?;
            for (stage, table) in stages.into_iter().enumerate() {
                tables.insert(part.of_stage(stage), table);
            }
            let of_row = |row: usize| flops.iter().map(|stage| stage[row] as f32).collect();
            tables.insert(part.flops(), (0..rows.len()).map(of_row).collect());
        }
        save_log_probabilities(&self.place(), &tables)
    }

    /// Trains exits on a frozen encoder, with the learning rate and the number of passes that are set for FastBERT's
    /// exits.
    fn fit_exits(&self, exits: &mut FrozenExits) -> Result<History> {
        let mut settings = TrainSettings { epochs: EXIT_EPOCHS, ..train_settings(&self.run) };
        settings.optimizer.learning_rate = EXIT_RATE;
        let mut progress = TrainingProgress::new(format!("{} seed {}", self.unit, self.seed), self.plan.quiet);
        Ok(Trainer::new(settings).fit(exits, &self.data.train, &self.data.validation, &mut progress)?)
    }
}

fn seconds(history: &History) -> f64 {
    history.train_seconds - history.optimizer_seconds
}
