//! Texts and models of a compression run: teacher, general student (distilled before any task), and TinyBERT's two
//! stages of distillation.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use dht_cli::{TrainingProgress, report};
use dht_dynamic::evaluation::{PassTimes, time_in_turns};
use dht_nas::ArchitectureSearch;
use dht_transformer::tasks::{
    Distillation, DistillationSettings, IntermediateDistillation, TeacherLogits, TeacherStates,
};
use dht_transformer::train::optim::ParameterGroups;
use dht_transformer::train::{History, Predict, WithMetric};
use dht_transformer::{EncodedDataset, Encoder, Objective, TextClassifier, TrainSettings, Trainer};

use super::arguments::CompressionPlan;
use super::judge::{BATCH, Judge, metric};
use super::limits::refused;
use super::steps::{Step, Steps};
use crate::error::{Error, Result};
use crate::experiment::{CLASSIFIERS, RunData, RunPlan, encoder, pooling, rng, train_settings};
use crate::record::JudgedModel;

/// Number of the random stream for the student's initial weights.
const STUDENT: u64 = 20;
/// Number of the random stream that draws the projections in the hidden-state stage of distillation.
const PROJECTIONS: u64 = 21;
/// Minimum number of timed passes over the timed rows, for each model.
const LEAST_PASSES: usize = 7;
/// Maximum number of timed passes over the timed rows, for each model.
const MOST_PASSES: usize = 101;
/// Seconds that the timed passes of the fastest model should take together.
const TIMED_SECONDS: f64 = 1.0;
/// Number of test rows that are timed.
const TIMED_ROWS: usize = 256;
const TEACHER: &str = "teacher";
const GENERAL: &str = "general";

/// Plan, texts and models of a compression run, which distils students from a teacher.
pub(super) struct Bench {
    pub(super) plan: CompressionPlan,
    pub(super) data: RunData,
    /// Training texts followed by their augmented copies, if copies are requested.
    augmented: Option<EncodedDataset>,
    pub(super) steps: Steps,
    pub(super) judge: Judge,
    pub(super) device: Device,
    /// Size, costs and test scores of the teacher.
    pub(super) judged_teacher: JudgedModel,
    pub(super) teacher: TextClassifier,
    general: TextClassifier,
    states: OnceCell<Arc<TeacherStates>>,
    logits: OnceCell<Arc<TeacherLogits>>,
}

/// Trained student with its training results.
pub(super) struct Trained {
    pub(super) model: TextClassifier,
    /// Optimiser step of the last training stage at which the student had the best validation score.
    pub(super) best_step: u64,
    /// Validation score at the best step: macro F1, or the task's metric if evaluations are at intervals of optimiser
    /// steps; 0 without validation rows.
    pub(super) validation_score: f64,
    pub(super) seconds: f64,
}

impl Trained {
    /// Creates the result of training a student, which took `seconds`. `last` is the history of the last training
    /// stage.
    fn new(model: TextClassifier, last: &History, seconds: f64) -> Self {
        Self { model, best_step: best_step(last), validation_score: last.best_score.unwrap_or_default(), seconds }
    }
}

impl Bench {
    /// Reads the texts, fine-tunes the teacher, and distils the general student, which has learned no task yet. Results
    /// that an earlier run has stored are loaded.
    pub(super) fn open(plan: CompressionPlan, out: &Path, command: &[String], least_rows: usize) -> Result<Self> {
        let device = plan.run.device.open()?;
        let mut data = RunData::load(&plan.run)?;
        if let Some(labels) = &plan.classes {
            as_many_classes(data.train.labels.len(), labels.len())?;
            if !data.order_classes(labels) && !plan.run.quiet {
                let pairs = data.train.labels.iter().zip(labels).map(|(own, class)| format!("{own} is {class}"));
                report(&format!("the labels are taken in their order: {}", pairs.collect::<Vec<_>>().join(", ")));
            }
        }
        if data.train.len() < least_rows {
            return Err(dht_nas::Error::TooFewRows { rows: data.train.len(), least: least_rows }.into());
        }
        if !plan.run.quiet {
            report(&data.record.summary());
        }
        // Files are read first, the plain texts too, so that a file that cannot be read fails before a teacher is
        // trained.
        let augmented = plan.augment.texts(&data, &plan.run, &device)?;
        if let Some(augmented) = augmented.as_ref().filter(|_| !plan.run.quiet) {
            report(&format!("students learn from {} texts, copies with words replaced among them", augmented.len()));
        }
        let sums =
            format!("{} and {}, up to {} tokens", data.record.sha256, data.record.test_sha256, plan.run.max_length);
        let of = [("command", command.join(" ")), ("texts", sums), ("files", plan.files.clone())];
        let of = of.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let steps = Steps::open(out, &of, plan.run.quiet)?;
        let judge = Judge::new(&data);
        let start = Start { plan: &plan, data: &data, device: &device, steps: &steps, judge };
        let texts = if steps.is_done(GENERAL) { None } else { start.plain_texts()? };
        let judged_teacher = start.teacher()?;
        let teacher = TextClassifier::load(steps.model(TEACHER), &device)?;
        start.general(&teacher, texts)?;
        let general = TextClassifier::load(steps.model(GENERAL), &device)?;
        let (states, logits) = (OnceCell::new(), OnceCell::new());
        Ok(Self { plan, data, augmented, steps, judge, device, judged_teacher, teacher, general, states, logits })
    }

    /// Training texts of the students, including augmented copies.
    fn texts(&self) -> &EncodedDataset {
        self.augmented.as_ref().unwrap_or(&self.data.train)
    }

    /// Loads a copy of the general student, which is distilled before any task.
    pub(super) fn general(&self) -> Result<TextClassifier> {
        copy(&self.general)
    }

    /// Computes the teacher's hidden states for the training texts. Caches those of as many texts as the memory limit
    /// allows.
    pub(super) fn states(&self) -> Result<Arc<TeacherStates>> {
        if let Some(states) = self.states.get() {
            return Ok(states.clone());
        }
        let (plan, train) = (&self.plan, self.texts());
        let layers = plan.map.teacher_layers(plan.student.layers, self.teacher.encoder().layers())?;
        let states = TeacherStates::of_teacher(&self.teacher, &layers, train, BATCH, plan.teacher_memory)?;
        if !plan.run.quiet {
            let gib = states.bytes() as f64 / (1_u64 << 30) as f64;
            report(&format!(
                "teacher's states of {} different texts in {} rows: {gib:.2} GiB",
                states.len(),
                train.len()
            ));
        }
        Ok(self.states.get_or_init(|| Arc::new(states)).clone())
    }

    /// Computes the teacher's logits of the training texts.
    pub(super) fn logits(&self) -> Result<Arc<TeacherLogits>> {
        if let Some(logits) = self.logits.get() {
            return Ok(logits.clone());
        }
        let logits = TeacherLogits::of_teacher(&self.teacher, self.texts(), BATCH)?;
        Ok(self.logits.get_or_init(|| Arc::new(logits)).clone())
    }

    /// Training settings of a student for `epochs` passes. With validation rows, the best evaluated weights are used.
    fn student_settings(&self, run: &RunPlan, epochs: usize) -> TrainSettings {
        let settings = student_settings(run, self.plan.student_rate, epochs);
        TrainSettings { evaluate_every: self.plan.evaluate_every, ..settings }
    }

    /// Distils a student in TinyBERT's two stages (Jiao et al. 2020): first the hidden states, then the logits.
    pub(super) fn distilled(&self, student: TextClassifier, step: &Step, seed: u64) -> Result<Trained> {
        let run = self.plan.with_seed(seed);
        let settings = self.student_settings(&run, self.plan.distillation_epochs);
        let mut rng = rng(&run, PROJECTIONS);
        let first = IntermediateDistillation::new(student, &self.teacher, self.plan.map.clone(), &mut rng)?;
        let mut first = first.with_states(self.states()?)?;
        let none = EncodedDataset { samples: Vec::new(), ..self.data.validation.clone() };
        let stage = Stage { bench: self, step, name: "intermediate", settings: settings.clone(), groups: None };
        let history = stage.fit_alone(&mut first, &none)?;
        let soft = DistillationSettings { temperature: 1.0, label_weight: 0.0, ..DistillationSettings::soft_labels() };
        let second = Distillation::new(copy(&first.into_model())?, &self.teacher, soft)?;
        let mut second = second.with_logits(self.logits()?)?;
        let stage = Stage { bench: self, step, name: "prediction", settings, groups: None };
        let last = stage.fit(&mut second, &self.data.validation)?;
        let seconds = history.train_seconds + last.train_seconds;
        Ok(Trained::new(copy(&second.into_model())?, &last, seconds))
    }

    /// Fine-tunes a student on the labels alone, for as many passes as the two stages of distillation have.
    pub(super) fn fine_tuned(&self, mut student: TextClassifier, step: &Step, seed: u64) -> Result<Trained> {
        let run = self.plan.with_seed(seed);
        let settings = self.student_settings(&run, 2 * self.plan.distillation_epochs);
        let stage = Stage { bench: self, step, name: "labels", settings, groups: None };
        let history = stage.fit(&mut student, &self.data.validation)?;
        Ok(Trained::new(student, &history, history.train_seconds))
    }

    /// Runs one stage of an architecture search, for `epochs` passes over the training texts. Returns its history.
    pub(super) fn search_stage(
        &self,
        search: &mut ArchitectureSearch,
        step: &Step,
        (name, epochs): (&str, usize),
        validation: &EncodedDataset,
    ) -> Result<History> {
        let settings = self.student_settings(&self.plan.run, epochs);
        let groups = Some(search.parameter_groups(settings.optimizer.learning_rate)?);
        Stage { bench: self, step, name, settings, groups }.fit(search, validation)
    }

    /// Scores a student on the test rows. Also returns the class that it predicts for each row.
    pub(super) fn judged(&self, trained: &Trained) -> Result<(JudgedModel, Vec<u32>)> {
        self.judge.judge(&trained.model, &self.data.test, trained.seconds)
    }

    /// Prediction times of several models on test rows, relative to the first model. After a warm-up the models run in
    /// turns; the times are medians.
    pub(super) fn wall_ratios<const N: usize>(&self, models: [&TextClassifier; N]) -> Result<[f64; N]> {
        // The rows are evenly spaced, since a file may be sorted.
        let samples = &self.data.test.samples;
        let count = samples.len().min(TIMED_ROWS);
        let timed = (0..count).map(|at| samples[at * samples.len() / count].clone()).collect();
        let timed = EncodedDataset { samples: timed, ..self.data.test.clone() };
        let models = models.map(|model| model as &dyn dht_dynamic::Predictor);
        let fastest = |times: &[PassTimes]| times.iter().map(PassTimes::median).fold(f64::INFINITY, f64::min);
        let mut times = time_in_turns(&models, &timed, BATCH, LEAST_PASSES)?;
        let passes = (TIMED_SECONDS / fastest(&times)).ceil().min(MOST_PASSES as f64) as usize;
        if passes > LEAST_PASSES {
            times = time_in_turns(&models, &timed, BATCH, passes)?;
        }
        Ok(std::array::from_fn(|model| times[model].median() / times[0].median()))
    }

    /// Settings of the run, for its result file.
    pub(super) fn settings(&self) -> std::collections::BTreeMap<String, serde_json::Value> {
        let plan = &self.plan;
        let CompressionPlan { run, distillation_epochs, student_rate, .. } = plan;
        let map = serde_json::to_value(&plan.map).unwrap_or_default();
        std::collections::BTreeMap::from([
            ("model".into(), crate::experiment::model_name(run).into()),
            ("epochs".into(), run.epochs.into()),
            ("batch".into(), run.batch.into()),
            ("learning_rate".into(), run.learning_rate.into()),
            ("max_length".into(), run.max_length.into()),
            ("seed".into(), run.seed.into()),
            ("distillation_epochs".into(), (*distillation_epochs).into()),
            ("evaluate_every".into(), plan.evaluate_every.map_or("pass".into(), Into::into)),
            ("student_rate".into(), (*student_rate).into()),
            ("layer_map".into(), map),
            ("timed_passes_at_least".into(), LEAST_PASSES.into()),
            ("timed_rows".into(), TIMED_ROWS.into()),
        ])
    }
}

fn student_settings(run: &RunPlan, learning_rate: f64, epochs: usize) -> TrainSettings {
    let settings = train_settings(run);
    let optimizer = dht_transformer::AdamWSettings { learning_rate, ..settings.optimizer };
    TrainSettings { epochs, optimizer, ..settings }
}

/// Optimiser step with the best validation score, or the last step without validation rows.
pub(super) fn best_step(history: &History) -> u64 {
    history.best_step.unwrap_or(history.steps)
}

/// Copies a classifier. Additional parameters, which do not belong to the model, are not copied.
pub(super) fn copy(model: &TextClassifier) -> Result<TextClassifier> {
    let encoder = model.encoder();
    let device = encoder.parameters().device();
    Ok(model.with_encoder(Encoder::from_tensors(encoder.config(), &encoder.to_tensors()?, device)?)?)
}

/// One stage of a student's training run.
struct Stage<'a> {
    bench: &'a Bench,
    step: &'a Step,
    name: &'a str,
    settings: TrainSettings,
    groups: Option<ParameterGroups>,
}

impl Stage<'_> {
    /// Trains an objective with evaluations on the validation rows: by the task's metric at intervals of optimiser
    /// steps, or else by the objective's own metric after each pass.
    fn fit<O: Predict>(self, objective: &mut O, validation: &EncodedDataset) -> Result<History>
    where
        Error: From<O::Error>,
    {
        match self.settings.evaluate_every {
            Some(_) if !validation.is_empty() => {
                let metric = metric(&self.bench.data);
                self.fit_to_the_end(&mut WithMetric::new(objective, metric)?, validation)
            }
            _ => self.fit_alone(objective, validation),
        }
    }

    /// Trains an objective with evaluations by its own metric after each pass.
    fn fit_alone<O: Objective>(mut self, objective: &mut O, validation: &EncodedDataset) -> Result<History>
    where
        Error: From<O::Error>,
    {
        self.settings.evaluate_every = None;
        self.fit_to_the_end(objective, validation)
    }

    fn fit_to_the_end<O: Objective>(self, objective: &mut O, validation: &EncodedDataset) -> Result<History>
    where
        Error: From<O::Error>,
    {
        let mut progress = TrainingProgress::new(format!("  {}", self.name), self.bench.plan.run.quiet);
        let (settings, groups) = (self.settings, self.groups);
        let trainer =
            Trainer { settings, groups, checkpoint: Some(self.step.checkpoint(self.name)), ..Trainer::default() };
        Ok(trainer.fit(objective, self.bench.texts(), validation, &mut progress)?)
    }
}

struct Start<'a> {
    plan: &'a CompressionPlan,
    data: &'a RunData,
    device: &'a Device,
    steps: &'a Steps,
    judge: Judge,
}

impl Start<'_> {
    fn classes(&self) -> usize {
        self.data.train.labels.len()
    }

    fn save(&self, model: &TextClassifier, step: &Step) -> Result<()> {
        Ok(model.save(step.model(), Some(&self.data.tokenizer), &self.data.train.labels)?)
    }

    fn classifier(&self, encoder: Encoder) -> Result<TextClassifier> {
        let run = &self.plan.run;
        Ok(TextClassifier::new(encoder, self.classes(), pooling(run), &mut rng(run, CLASSIFIERS))?)
    }

    /// Encoder before fine-tuning, with pre-trained or random weights.
    fn encoder(&self) -> Result<Encoder> {
        encoder(&self.plan.run, self.data, self.device)
    }

    /// Unlabelled texts from which the general student learns, from all files of the flag `--texts`; `None` without
    /// such files.
    fn plain_texts(&self) -> Result<Option<EncodedDataset>> {
        let (tokenizer, max_length) = (&self.data.tokenizer, self.plan.run.max_length);
        let mut samples = Vec::new();
        for file in &self.plan.texts {
            samples.extend(EncodedDataset::from_text(file, tokenizer, max_length)?.samples);
        }
        (0..).zip(&mut samples).for_each(|(id, sample)| sample.id = id);
        let texts = EncodedDataset { samples, labels: Vec::new(), truncated_rows: 0 };
        Ok(Some(texts).filter(|texts| !texts.is_empty()))
    }

    /// Fine-tunes the teacher, or loads a fine-tuned one.
    fn teacher(&self) -> Result<JudgedModel> {
        let run = &self.plan.run;
        self.steps.once(TEACHER, |step| {
            let (model, seconds) = match (&run.model, self.plan.fine_tuned) {
                (crate::experiment::Model::Directory(folder), true) => {
                    let needed = "the directory of a classifier: without --fine-tuned an encoder is fine-tuned";
                    let model = TextClassifier::load(folder, self.device);
                    let model = model.map_err(|error| refused("model", needed, error))?;
                    as_many_classes(self.classes(), model.classifier().classes())?;
                    (model, 0.0)
                }
                _ => {
                    let mut model = self.classifier(self.encoder()?)?;
                    let mut progress = TrainingProgress::new("  labels", run.quiet);
                    let checkpoint = Some(step.checkpoint("labels"));
                    let trainer = Trainer { checkpoint, ..Trainer::new(train_settings(run)) };
                    let history = trainer.fit(&mut model, &self.data.train, &self.data.validation, &mut progress)?;
                    (model, history.train_seconds)
                }
            };
            self.save(&model, step)?;
            Ok(self.judge.judge(&model, &self.data.test, seconds)?.0)
        })
    }

    /// Trains the general student, which learns no task. It starts from layers of the pre-trained encoder if their
    /// shapes match, and is distilled from that encoder on unlabelled texts, if there are any. Without pre-training it
    /// starts from layers of the teacher.
    fn general(&self, teacher: &TextClassifier, texts: Option<EncodedDataset>) -> Result<usize> {
        let plan = self.plan;
        self.steps.once(GENERAL, |step| {
            let pretrained = plan.run.pretrained() && !plan.fine_tuned;
            let source = if pretrained { self.encoder()? } else { copy(teacher)?.encoder().clone() };
            let layers = plan.map.teacher_layers(plan.student.layers, source.layers())?;
            let config = plan.student.config(source.config())?;
            let (student, taken) = source.student(&config, &layers, &mut rng(&plan.run, STUDENT))?;
            let mut student = self.classifier(student)?;
            if let Some(texts) = texts {
                let source = self.classifier(copy_encoder(&source)?)?;
                let mut rng = rng(&plan.run, PROJECTIONS);
                let mut general = IntermediateDistillation::new(student, &source, plan.map.clone(), &mut rng)?;
                let settings = student_settings(&plan.run, plan.student_rate, plan.text_epochs);
                let checkpoint = Some(step.checkpoint("texts"));
                let mut progress = TrainingProgress::new("  texts", plan.run.quiet);
                let none = EncodedDataset { samples: Vec::new(), ..texts.clone() };
                let trainer = Trainer { checkpoint, ..Trainer::new(settings) };
                trainer.fit(&mut general, &texts, &none, &mut progress)?;
                student = copy(&general.into_model())?;
            }
            self.save(&student, step)?;
            Ok(taken)
        })
    }
}

/// Copies an encoder. Parameters of a classifier are not copied.
fn copy_encoder(encoder: &Encoder) -> Result<Encoder> {
    let device = encoder.parameters().device();
    Ok(Encoder::from_tensors(encoder.config(), &encoder.to_tensors()?, device)?)
}

/// Rejects a fine-tuned teacher whose number of classes differs from the texts'.
fn as_many_classes(expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    let expected = format!("one of {expected}, as the texts have");
    Err(refused("model", expected, format!("a classifier of {got} classes")))
}
