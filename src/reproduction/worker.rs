//! Worker of one training run in a reproduction: trains, predicts, measures times and writes files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::Device;
use dht_cli::TrainingProgress;
use dht_dynamic::{Prediction, Predictor, evaluation::time_in_turns};
use dht_search::training::{Curves, LossCurve};
use dht_transformer::{
    EncodedDataset, Encoder, ForwardContext, Objective, PackedBatch, Pooling, TextClassifier, Trainer,
    flops::{Breakdown, ClassifierShape, Load},
    train::{History, metrics::Confusion},
};

use super::arguments::ReproductionPlan;
use super::files::{DataSplit, LogProbabilities, SeedRow, UnitResult, remove_result, save_log_probabilities};
use super::identity::hash;
use super::options::{SINGLE_ROWS, TIMED_PASSES, TIMED_ROWS};
use super::units::Unit;
use crate::error::{Error, Result};
use crate::experiment::{CLASSIFIERS, RunData, RunPlan, encoder, flops, pooling, rng, train_settings};
use crate::record::RowGroup;

/// Number of bins of the full model's loss curve.
const LOSS_BINS: usize = 100;

/// Plan, texts and encoder of one training run.
pub(super) struct Worker<'a> {
    pub(super) plan: &'a ReproductionPlan,
    pub(super) unit: Unit,
    pub(super) seed: u64,
    pub(super) run: RunPlan,
    pub(super) data: RunData,
    pub(super) device: Device,
    pub(super) encoder: Encoder,
}

/// Test predictions of a model, with scores and costs.
pub(super) struct Tested {
    pub(super) predictions: Vec<Prediction>,
    pub(super) labels: Vec<u32>,
    pub(super) macro_f1: f64,
    pub(super) accuracy: f64,
    /// FLOPs of the predictions, including routers.
    pub(super) flops: u64,
    pub(super) layer_head_ratio: f64,
}

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a ReproductionPlan, unit: Unit, seed: u64) -> Result<Self> {
        let run = plan.training(unit, seed);
        let data = RunData::load(&run)?;
        Self::with_data(plan, unit, seed, data)
    }

    /// Creates a worker with texts that are already loaded.
    pub(super) fn with_data(plan: &'a ReproductionPlan, unit: Unit, seed: u64, data: RunData) -> Result<Self> {
        let run = plan.training(unit, seed);
        let device = run.device.open_in(run.precision)?;
        let encoder = encoder(&run, &data, &device)?;
        Ok(Self { plan, unit, seed, run, data, device, encoder })
    }

    /// Trains and tests the unit, and writes its files.
    pub(super) fn run(&self, hash: String) -> Result<()> {
        let place = self.place();
        std::fs::create_dir_all(&place).map_err(|source| Error::Io { path: place.clone(), source })?;
        // Without its result, no file of the unit is used, so that files of two training runs are never mixed.
        remove_result(&place)?;
        let mut result = match self.unit {
            Unit::Full | Unit::FullAsPublished => self.fine_tuned(self.encoder.layers(), RowGroup::Full)?,
            Unit::Truncation(depth) => self.fine_tuned(depth, RowGroup::Truncation)?,
            Unit::AsPublished(preset) | Unit::Ours(preset) => self.search(preset)?,
            Unit::Distilled(depth) => self.distilled(depth)?,
            Unit::DistilBert(depth) => self.distilbert(depth)?,
            Unit::FastBert => self.fastbert()?,
            Unit::Pabee => self.pabee()?,
            Unit::Ngram => self.ngram()?,
            Unit::Stacked(depth) => self.stacked(depth)?,
            Unit::Cascade(depth) => self.cascade(depth)?,
            Unit::TwoEncoders => self.two_encoders()?,
            Unit::Accelerated => self.accelerated()?,
        };
        result.hash = hash;
        result.save(&place)
    }

    pub(super) fn place(&self) -> PathBuf {
        self.plan.place(self.unit, self.seed)
    }

    /// Rows of a split.
    pub(super) fn rows(&self, part: DataSplit) -> &EncodedDataset {
        match part {
            DataSplit::Train => &self.data.train,
            DataSplit::Validation => &self.data.validation,
            DataSplit::Test => &self.data.test,
        }
    }

    pub(super) fn batch(&self) -> usize {
        2 * self.run.batch
    }

    pub(super) fn classes(&self) -> usize {
        self.data.train.labels.len()
    }

    /// Trains an objective on the training rows.
    pub(super) fn fit<O: Objective>(&self, objective: &mut O) -> Result<History>
    where
        Error: From<O::Error>,
    {
        let mut progress = TrainingProgress::new(format!("{} seed {}", self.unit, self.seed), self.plan.quiet);
        let trainer = Trainer::new(train_settings(&self.run));
        Ok(trainer.fit(objective, &self.data.train, &self.data.validation, &mut progress)?)
    }

    /// Creates a classifier on the first `depth` layers of the encoder.
    pub(super) fn classifier(&self, depth: usize) -> Result<TextClassifier> {
        let mut rng = rng(&self.run, CLASSIFIERS);
        Ok(TextClassifier::new(self.encoder.truncated(depth)?, self.classes(), pooling(&self.run), &mut rng)?)
    }

    /// Fine-tunes the first `depth` layers of the encoder on the labels.
    fn fine_tuned(&self, depth: usize, group: RowGroup) -> Result<UnitResult> {
        let mut model = self.classifier(depth)?;
        let history = self.fit(&mut model)?;
        let (forward, backward) = flops(&model, &self.data.train)?;
        let cost = (self.run.epochs as u64 * (forward + backward), history.train_seconds - history.optimizer_seconds);
        let mut row = self.row_of_classifier(&model, group, cost, cost)?;
        if group == RowGroup::Full {
            let loss = BTreeMap::from([("full".into(), LossCurve::binned(&history.losses, LOSS_BINS)?)]);
            row.curves = Some(Curves { loss, ..Curves::default() });
        }
        Ok(UnitResult { hash: String::new(), train_flops: cost.0, train_seconds: cost.1, rows: vec![row] })
    }

    /// Tests a classifier, saves it with its log-probabilities, and returns its result. `own` is the cost (FLOPs and
    /// seconds) of its training run; `all` also includes the models that the run requires.
    pub(super) fn row_of_classifier(
        &self,
        model: &TextClassifier,
        group: RowGroup,
        own: (u64, f64),
        all: (u64, f64),
    ) -> Result<SeedRow> {
        let depth = model.encoder().layers();
        model.save(self.place().join("model"), Some(&self.data.tokenizer), &self.data.train.labels)?;
        let tested = self.test(model)?;
        let mut tables = BTreeMap::from([(DataSplit::Test.of_depth(depth), logarithms(&tested.predictions))]);
        for part in [DataSplit::Train, DataSplit::Validation] {
            let predictions = predict(model, self.rows(part), self.batch())?;
            tables.insert(part.of_depth(depth), logarithms(&predictions));
        }
        save_log_probabilities(&self.place(), &tables)?;
        // The cost in layers × heads is a share of the full model's layers, since the classifier runs all heads.
        let share = depth as f64 / self.encoder.layers() as f64;
        let mut row = self.row(&tested, group, self.wall_ratio(model)?);
        row.method = match group {
            RowGroup::Full => "full".into(),
            RowGroup::DistilBert => "DistilBERT".into(),
            _ if own == all => "truncation".into(),
            _ => "truncation, distilled".into(),
        };
        row.setting = layers(depth);
        (row.train_flops, row.train_seconds) = all;
        (row.train_layer_head_ratio, row.inference_layer_head_ratio) = (share, share);
        Ok(row)
    }

    /// Creates a result row with the scores and costs of tested predictions. Training costs are 0 and must be set by
    /// the caller.
    pub(super) fn row(&self, tested: &Tested, group: RowGroup, clock: WallRatios) -> SeedRow {
        SeedRow {
            group,
            epochs: self.run.epochs,
            labels: tested.labels.clone(),
            macro_f1: tested.macro_f1,
            accuracy: tested.accuracy,
            inference_flops: tested.flops,
            inference_layer_head_ratio: tested.layer_head_ratio,
            inference_wall_ratio: self.of_all_rows(clock.batches, TIMED_ROWS, tested),
            single_text_wall_ratio: Some(self.of_all_rows(clock.single_texts, SINGLE_ROWS, tested)),
            ..SeedRow::default()
        }
    }

    /// Extrapolates a ratio of prediction times from the timed rows to all test rows, in proportion to FLOPs, since the
    /// timed rows may differ from all rows by chance.
    pub(super) fn of_all_rows(&self, clock: f64, timed: usize, tested: &Tested) -> f64 {
        let share = |rows: &mut dyn Iterator<Item = usize>| {
            let (mut own, mut full) = (0, 0);
            for row in rows {
                let prediction = &tested.predictions[row];
                own += prediction.flops + prediction.routing_flops;
                full += self.text_flops(self.encoder.layers(), self.data.test.samples[row].encoding.ids.len());
            }
            own as f64 / full.max(1) as f64
        };
        let timed = share(&mut self.timed_rows(timed));
        if timed > 0.0 { clock * share(&mut (0..tested.predictions.len())) / timed } else { clock }
    }

    /// Predicts the test rows.
    pub(super) fn test(&self, model: &dyn Predictor) -> Result<Tested> {
        self.tested(predict(model, &self.data.test, self.batch())?)
    }

    /// Scores test predictions and sums their costs.
    pub(super) fn tested(&self, predictions: Vec<Prediction>) -> Result<Tested> {
        let labels: Vec<u32> = predictions.iter().map(|prediction| prediction.label).collect();
        let confusion = Confusion::from_predictions(&self.data.test, &labels)?;
        let count = dht_search::cost::LayerHeadCount::default();
        let layer_head: f64 = predictions.iter().map(|prediction| count.share(&prediction.route)).sum();
        Ok(Tested {
            labels,
            macro_f1: confusion.macro_f1(),
            accuracy: confusion.accuracy(),
            flops: predictions.iter().map(|prediction| prediction.flops + prediction.routing_flops).sum(),
            layer_head_ratio: layer_head / predictions.len().max(1) as f64,
            predictions,
        })
    }

    /// FLOPs of the first `depth` layers with a classifier, for a text of `tokens` tokens.
    pub(super) fn text_flops(&self, depth: usize, tokens: usize) -> u64 {
        let block = self.encoder.block_shape();
        let classifier = ClassifierShape {
            hidden: block.hidden,
            pooler: pooling(&self.run) == Pooling::Pooler,
            classes: self.classes(),
        };
        let load = Load::of_text(tokens);
        let layers: Breakdown = std::iter::repeat_n(block.forward(load, block.full()), depth).sum();
        (layers + classifier.forward(1)).total().0
    }

    /// FLOPs of the full model for all rows of a split.
    pub(super) fn full_flops(&self, part: DataSplit) -> u64 {
        let lengths = self.rows(part).lengths();
        lengths.into_iter().map(|tokens| self.text_flops(self.encoder.layers(), tokens)).sum()
    }

    /// Loads the model that another unit has trained with the same seed.
    pub(super) fn model_of(&self, unit: Unit) -> Result<TextClassifier> {
        self.result_of(unit)?;
        Ok(TextClassifier::load(self.plan.place(unit, self.seed).join("model"), &self.device)?)
    }

    /// Loads the result of another unit with the same seed.
    pub(super) fn result_of(&self, unit: Unit) -> Result<UnitResult> {
        let place = self.plan.place(unit, self.seed);
        let missing = || Error::Argument { flag: "rows", expected: format!("{unit} before"), got: "none".into() };
        UnitResult::load(&place, &hash(self.plan, unit, self.seed, &self.data)?).ok_or_else(missing)
    }

    /// Prediction time of the timed test rows, divided by the full model's. Both models run in turns after a warm-up;
    /// the times are medians.
    pub(super) fn wall_ratio(&self, model: &dyn Predictor) -> Result<WallRatios> {
        Ok(self.wall_ratios(&[model])?[0])
    }

    /// Prediction times of several models, divided by the full model's. All run in turns after a warm-up.
    pub(super) fn wall_ratios(&self, models: &[&dyn Predictor]) -> Result<Vec<WallRatios>> {
        if matches!(self.unit, Unit::Full | Unit::FullAsPublished) {
            return Ok(vec![WallRatios { batches: 1.0, single_texts: 1.0 }; models.len()]);
        }
        let full = self.model_of(self.unit.reference())?;
        let all: Vec<&dyn Predictor> = std::iter::once(&full as &dyn Predictor).chain(models.iter().copied()).collect();
        let ratios = |texts: &EncodedDataset, batch: usize| -> Result<Vec<f64>> {
            let times = time_in_turns(&all, texts, batch, TIMED_PASSES)?;
            Ok(times[1..].iter().map(|times_of_one| times_of_one.median() / times[0].median()).collect())
        };
        let batches = ratios(&self.timed_texts(TIMED_ROWS), self.run.batch)?;
        let single_texts = ratios(&self.timed_texts(SINGLE_ROWS), 1)?;
        let pair = |(batches, single_texts)| WallRatios { batches, single_texts };
        Ok(batches.into_iter().zip(single_texts).map(pair).collect())
    }

    /// Indices of at most `most` test rows that are timed. They are evenly spaced, since a file may be sorted.
    fn timed_rows(&self, most: usize) -> impl Iterator<Item = usize> + use<> {
        let rows = self.data.test.len();
        let count = rows.min(most);
        (0..count).map(move |at| at * rows / count)
    }

    fn timed_texts(&self, most: usize) -> EncodedDataset {
        let timed = self.timed_rows(most).map(|row| self.data.test.samples[row].clone()).collect();
        EncodedDataset { samples: timed, ..self.data.test.clone() }
    }
}

/// Prediction times divided by the full model's.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallRatios {
    /// Ratio of prediction times with texts in batches.
    pub(super) batches: f64,
    /// Ratio of prediction times with one text after another.
    pub(super) single_texts: f64,
}

/// Formats a depth as `1 layer` or `3 layers`.
pub(super) fn layers(depth: usize) -> String {
    if depth == 1 { "1 layer".into() } else { format!("{depth} layers") }
}

/// Predicts every row, in the order of the rows.
pub(super) fn predict(model: &dyn Predictor, data: &EncodedDataset, batch: usize) -> Result<Vec<Prediction>> {
    model.check(data)?;
    let ctx = ForwardContext::inference();
    let mut by_row: Vec<Option<Prediction>> = vec![None; data.len()];
    for rows in PackedBatch::longest_first(&data.lengths(), batch)? {
        let predictions = model.predict(&data.batch(&rows)?, &ctx)?.predictions;
        for (row, prediction) in rows.iter().zip(predictions) {
            by_row[*row] = Some(prediction);
        }
    }
    Ok(by_row.into_iter().flatten().collect())
}

/// Converts predicted probabilities to log-probabilities. Probabilities below the smallest positive f32 are raised to
/// it.
pub(super) fn logarithms(predictions: &[Prediction]) -> LogProbabilities {
    let row =
        |prediction: &Prediction| prediction.probabilities.iter().map(|p| p.max(f32::MIN_POSITIVE).ln()).collect();
    predictions.iter().map(row).collect()
}
