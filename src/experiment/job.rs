//! A run: a full model, truncations of it, the full model accelerated and a search, on the same texts.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use candle_core::Device;
use dht_dynamic::{Evaluation, evaluate};
use dht_search::{
    Preset, SearchModel, SearchObjective,
    cost::LayerHeadCount,
    evaluation::evaluate_queued,
    settings::{Dispatch, Experiment, PublishedDataset, deviations},
    training::LossCurve,
};
use dht_transformer::{
    AdamWSettings, CheckpointSettings, Encoder, Pooling, TrainSettings, Trainer, pretrained::read_hugging_face,
    train::History,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::choices::{Model, SettingsChoice};
use super::data::RunData;
use super::plan::RunPlan;
use super::search_plan::PlannedSearch;
use crate::error::{Error, Result};
use crate::figures::draw_figures;
use crate::output_dir::{OutputDir, RunManifest, Start};
use crate::record::{DynamicResult, ModelRecord, ModelResult, RouteCounts, RunRecord, SearchResult, this_machine};
use crate::tables::{DEVIATIONS, text_table};
use dht_cli::{TrainingProgress, report};

/// Bins of the loss curves of the full and truncated models.
const LOSS_BINS: usize = 100;
/// The number of head sets of each group in the record.
const HEAD_SETS: usize = 12;
/// Names of models, curves and checkpoints.
const FULL: &str = "full";
const SEARCH: &str = "search";
/// The passes over the test set of which the median counts, after one to warm up.
pub(super) const TIMED_PASSES: usize = 5;
/// Random streams of a run: the encoder's weights, each model's classifiers, the random control, the acceleration.
const WEIGHTS: u64 = 1;
pub(crate) const CLASSIFIERS: u64 = 2;
pub(crate) const CONTROL: u64 = 3;
pub(crate) const ACCELERATED: u64 = 4;

/// Trains and tests all models of a plan, prints the table, and writes `record.json` and the figures.
///
/// # Errors
/// All errors of the data, the model and the output directory: [`Error::InUse`] when another run writes there,
/// [`Error::Unfinished`] when another run was stopped there, [`Error::NothingToResume`], [`Error::OtherTexts`] and
/// [`Error::OtherRun`] when this run cannot be resumed, [`Error::ForeignFile`] when a file that no run wrote would be
/// overwritten. A training that diverges keeps its last good checkpoint.
pub fn run(preset: Preset, plan: &RunPlan) -> Result<RunRecord> {
    let device = plan.device.open_in(plan.precision)?;
    let data = RunData::load(plan)?;
    if !plan.quiet {
        report(&data.record.summary());
    }
    let out = plan.out_of(preset);
    let encoder = encoder(plan, &data, &device)?;
    let search = PlannedSearch::new(preset, plan, &encoder, pooling(plan))?;
    // Invalid plans have been refused; from here on files are written.
    let texts = format!("{} up to {} tokens", data.record.sha256, plan.max_length);
    let depths = truncated_depths(&search, &encoder).map(truncated);
    let models = std::iter::once(FULL.into()).chain(depths).chain([SEARCH.into()]).collect();
    let manifest = RunManifest::new(command(preset, plan), texts, models);
    let job = Job { plan, data: &data, device, dir: OutputDir::open(&out, plan.start, manifest)? };
    let record = job.record(preset, &encoder, search)?;
    record.save(job.dir.record())?;
    draw_figures(&record, &out)?;
    job.dir.remove_checkpoints()?;
    print(std::io::stdout(), &format!("{}\nrecord and figures: {}", text_table(&record), out.display()))?;
    Ok(record)
}

/// Writes to standard output. A closed pipe is no error, since the record is already written.
pub(crate) fn print(mut output: impl Write, text: &str) -> Result<()> {
    match writeln!(output, "{text}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// The command of a run, as its record stores it.
fn command(preset: Preset, plan: &RunPlan) -> Vec<String> {
    let preset = (preset != Preset::TDht).then(|| ["--preset".to_owned(), preset.name().to_owned()]);
    std::iter::once("experiment".into()).chain(preset.into_iter().flatten()).chain(plan.flags.iter().cloned()).collect()
}

/// The depths of the truncations: those of the space's exits, without the full depth.
fn truncated_depths(search: &PlannedSearch, encoder: &Encoder) -> impl Iterator<Item = usize> {
    let (space, layers) = (&search.space, encoder.layers());
    (0..space.exits().len()).map(|exit| space.depth(exit)).filter(move |depth| *depth < layers)
}

fn truncated(depth: usize) -> String {
    format!("truncated.{depth}")
}

/// A plan with its data.
pub(super) struct Job<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) data: &'a RunData,
    device: Device,
    dir: OutputDir,
}

impl Job<'_> {
    fn record(&self, preset: Preset, encoder: &Encoder, search: PlannedSearch) -> Result<RunRecord> {
        let name = search.name.clone();
        let mut full = self.plain(FULL, encoder, encoder.layers())?;
        let accelerated = self.accelerated(&full)?;
        let mut truncations = BTreeMap::new();
        for depth in truncated_depths(&search, encoder) {
            truncations.insert(depth, self.plain(&truncated(depth), encoder, depth)?);
        }
        let classes = self.data.train.labels.len();
        let copy = encoder.truncated(encoder.layers())?;
        let mut search = search.objective(copy, classes, &mut rng(self.plan, CLASSIFIERS))?;
        let mut progress = TrainingProgress::new(SEARCH, self.plan.quiet);
        let tally = progress.routes();
        search.on_route(move |depth| tally.add(depth));
        let history = self.trainer(SEARCH).fit(&mut search, &self.data.train, &self.data.validation, &mut progress)?;
        drop(progress);
        let model = search.model();
        let evaluation = self.evaluation(model)?;
        let dynamic_evaluation = evaluate(&accelerated.model, &self.data.test, self.test_batch())?;

        let accounting = search.accounting();
        let [dynamic_seconds, inference_seconds] =
            self.time_inference(&mut full, &mut truncations, &accelerated.model, model)?;
        let dynamic = self.accelerated_result(&full.result, &accelerated, &dynamic_evaluation, dynamic_seconds)?;
        let result = ModelResult {
            macro_f1: evaluation.confusion.macro_f1(),
            accuracy: evaluation.confusion.accuracy(),
            train_seconds: history.train_seconds - history.optimizer_seconds,
            inference_seconds,
            optimizer_seconds: history.optimizer_seconds,
            train_flops: accounting.flops + accounting.bandit_flops,
            inference_flops: evaluation.flops + evaluation.bandit_flops,
        };
        let (regret, oracle) = self.hindsight(model, &evaluation, full.result.inference_flops)?;
        let searched = DynamicResult {
            train_layer_head_ratio: accounting.layer_head_sum / accounting.samples.max(1) as f64,
            inference_layer_head_ratio: evaluation.layer_head_ratio,
            random_macro_f1: self.random_macro_f1(model, &evaluation)?,
            ..DynamicResult::beside(&full.result, result)
        };
        let bandit_seconds = accounting.bandit_seconds;
        let searched = SearchResult {
            dynamic: searched,
            bandit_seconds,
            synchronisations_per_step: accounting.synchronisations as f64 / history.steps.max(1) as f64,
            regret,
            oracle,
            operating_points: Vec::new(),
        };
        let routes = RouteCounts { train: accounting.routes.clone(), test: evaluation.route_counts() };
        let mut curves = accounting.curves.curves(HEAD_SETS);
        curves.loss.insert(FULL.into(), LossCurve::binned(&full.history.losses, LOSS_BINS)?);
        for (depth, plain) in &truncations {
            curves.loss.insert(truncated(*depth), LossCurve::binned(&plain.history.losses, LOSS_BINS)?);
        }
        let settings = self.settings(&search, &history)?;
        let difficulties = self.difficulties(&full, &truncations, &dynamic_evaluation)?;
        let mut record = RunRecord {
            schema: RunRecord::SCHEMA,
            preset: name,
            seed: self.plan.seed,
            command: command(preset, self.plan),
            data: self.data.record.clone(),
            model: model_record(encoder, classes),
            full: full.result,
            truncated: truncations.iter().map(|(depth, plain)| (*depth, plain.result)).collect(),
            dynamic,
            operating_points: Vec::new(),
            search: searched,
            routes,
            curves,
            difficulties,
            settings,
            machine: this_machine(&self.device),
        };
        record.operating_points = self.operating_points(&accelerated.model, &record, |model, evaluation| {
            self.random_macro_f1_of_stages(model, evaluation)
        })?;
        record.search.operating_points =
            self.operating_points(model, &record, |model, evaluation| self.random_macro_f1(model, evaluation))?;
        Ok(record)
    }

    /// The test rows; in queues too, where the paper's settings have them.
    fn evaluation(&self, model: &SearchModel) -> Result<Evaluation> {
        let queues = model.settings().dispatch != Dispatch::InFlight;
        let (test, batch) = (&self.data.test, self.test_batch());
        Ok(match self.plan.settings {
            SettingsChoice::Paper if queues => evaluate_queued(model, test, batch)?,
            _ => evaluate(model, test, batch)?,
        })
    }

    pub(super) fn test_batch(&self) -> usize {
        2 * self.plan.batch
    }

    /// The trainer of every model of this run.
    pub(super) fn trainer(&self, name: &str) -> Trainer {
        let settings = train_settings(self.plan);
        let resume = self.plan.start == Start::Resume;
        let checkpoint = CheckpointSettings { path: self.dir.checkpoint(name), every_steps: 500, resume };
        Trainer { checkpoint: Some(checkpoint), ..Trainer::new(settings) }
    }

    /// The settings of the run, by name.
    fn settings(&self, search: &SearchObjective, history: &History) -> Result<BTreeMap<String, serde_json::Value>> {
        let plan = self.plan;
        let model = search.model();
        let settings = serde_json::to_value(model.settings()).unwrap_or_default();
        let mut named = BTreeMap::from([
            ("epochs".into(), plan.epochs.into()),
            ("batch".into(), plan.batch.into()),
            ("learning_rate".into(), plan.learning_rate.into()),
            ("max_length".into(), plan.max_length.into()),
            ("model".into(), model_name(plan).into()),
            ("search".into(), settings),
            ("space".into(), serde_json::to_value(model.space()).unwrap_or_default()),
            ("layer_head_count".into(), serde_json::to_value(LayerHeadCount::default()).unwrap_or_default()),
            ("search_steps".into(), history.steps.into()),
            ("mean_wait_steps".into(), search.mean_wait().into()),
            ("tokenizing_seconds".into(), self.data.tokenizing_seconds.into()),
            ("timed_passes".into(), TIMED_PASSES.into()),
        ]);
        if plan.settings == SettingsChoice::Paper {
            let experiment = experiment(plan, self.data, model.encoder());
            named.insert(DEVIATIONS.into(), deviations(model.settings(), model.space(), &experiment).into());
        }
        Ok(named)
    }
}

/// The facts of a run by which it can differ from the paper's.
pub(crate) fn experiment(plan: &RunPlan, data: &RunData, encoder: &Encoder) -> Experiment {
    Experiment {
        dataset: PublishedDataset::of_name(&data.record.name),
        training_rows: data.train.len(),
        validation_rows: data.validation.len(),
        test_rows: data.test.len(),
        max_tokens: plan.max_length,
        hidden: encoder.block_shape().hidden,
        pretrained: plan.pretrained(),
        own_pooler: encoder.has_pooler(),
        epochs: plan.epochs,
    }
}

/// The last part of a directory, or the size.
pub(crate) fn model_name(plan: &RunPlan) -> String {
    match &plan.model {
        Model::Directory(folder) => {
            folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        Model::Size(size) => size.to_string(),
    }
}

/// The size of the full model.
pub(crate) fn model_record(encoder: &Encoder, classes: usize) -> ModelRecord {
    let shape = encoder.block_shape();
    ModelRecord {
        layers: encoder.layers(),
        heads: shape.heads,
        hidden: shape.hidden,
        ffn: shape.ffn,
        parameters: encoder.parameters().elements() + classes * (shape.hidden + 1),
    }
}

/// The settings of every training of a plan.
pub(crate) fn train_settings(plan: &RunPlan) -> TrainSettings {
    let optimizer = AdamWSettings { learning_rate: plan.learning_rate, ..AdamWSettings::default() };
    // From scratch and within some hundred steps, a smaller β₂ learns faster.
    let optimizer = if plan.pretrained() { optimizer } else { AdamWSettings { beta2: 0.98, ..optimizer } };
    TrainSettings {
        epochs: plan.epochs,
        batch_size: plan.batch,
        seed: plan.seed,
        optimizer,
        ..TrainSettings::default()
    }
}

/// The encoder that every model starts from.
pub(crate) fn encoder(plan: &RunPlan, data: &RunData, device: &Device) -> Result<Encoder> {
    let encoder = match &plan.model {
        Model::Directory(folder) => {
            let weights = read_hugging_face(folder)?;
            Encoder::from_tensors(&weights.config, &weights.tensors, device)?
        }
        Model::Size(size) => {
            let mut config = size.config(data.tokenizer.vocabulary_size())?;
            // Dropout would only slow down small models that train for few steps.
            (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
            Encoder::random(&config, device, &mut rng(plan, WEIGHTS))?
        }
    };
    encoder.parameters().compute_in(plan.precision)?;
    Ok(encoder)
}

/// From scratch [CLS] learns to collect what the class depends on; a pre-trained encoder's rows are all informative.
/// With the paper's settings every model has BERT's pooler, as the paper's have.
pub(crate) fn pooling(plan: &RunPlan) -> Pooling {
    match plan.settings {
        SettingsChoice::Paper => Pooling::Pooler,
        SettingsChoice::Ours if plan.pretrained() => Pooling::Mean,
        SettingsChoice::Ours => Pooling::Cls,
    }
}

pub(crate) fn rng(plan: &RunPlan, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        print(Failing(ErrorKind::BrokenPipe), "table").unwrap();
        let full = print(Failing(ErrorKind::StorageFull), "table");
        assert!(matches!(full, Err(Error::Io { path, .. }) if path.ends_with("standard output")));
    }
}
