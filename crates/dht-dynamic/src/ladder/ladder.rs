//! The function that trains in rungs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dht_transformer::flops::Load;
use dht_transformer::tasks::FineTuning;
use dht_transformer::train::optim::{Schedule, WarmUp};
use dht_transformer::{
    AdamWSettings, CheckpointSettings, EncodedDataset, Error as TransformerError, Pooling, Sample, TextClassifier,
    TrainSettings, Trainer,
};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::next_step::NextStep;
use super::report::{LadderEvent, LadderReport, Measurement, Rung, Stop, least_loss};
use super::round::{Round, Tuned, Validation, steps_between};
use super::settings::{LadderSettings, LadderTexts};
use crate::accelerate::{AccelerateSettings, Given, Head, Parts, Report, Texts, build, side_flops};
use crate::error::{Error, Result};
use crate::exit::{FrontExit, NgramClassifier, NgramFit, NgramSettings, Stacker, WORD_EMBEDDINGS};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, ExitModel, SeenTexts};

/// Passes that the budget is a share of.
const BUDGET_PASSES: f64 = 3.0;
/// Validation rows without which rung 2 is not climbed: fewer cannot tell whether it helps.
const LEAST_JUDGES: usize = 20;
/// A round has at least this number of steps.
const LEAST_STEPS: usize = 100;
/// The share of a round that the last one has.
const LAST: f64 = 0.5;
/// Rows of a trial of a learning rate.
const TRIAL_ROWS: usize = 2_000;
/// The smallest part of a pass that is worth a round.
const LEAST_PASS: f64 = 0.1;
/// A forward and a backward pass, in the time of a forward pass.
const STEP_BY_FORWARD: f64 = 3.3;
/// The share of the remaining time that is planned for rounds; the rest is for the exits.
const PLANNED: f64 = 0.7;

/// A model trained in rungs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Climbed {
    /// The model, at the cheapest speed that is as accurate on the validation rows as all of its layers.
    pub model: DynamicModel,
    /// Report on its exits.
    pub exits: Report,
    /// Report on the rungs.
    pub ladder: LadderReport,
}

/// Trains a dynamic model in [rungs](super). The classifier has a pre-trained encoder; its last layer is not read, and
/// the classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] for settings out of range, for no training or validation rows, for a classifier with a pooler,
///   for states that are not finite.
/// * As [`accelerate`](fn@crate::accelerate::accelerate) and [`NgramClassifier::fit`]; errors of the trainer, such as
///   [`Stopped`](dht_transformer::Error::Stopped).
pub fn climb<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: LadderTexts<'_>,
    settings: &LadderSettings,
    next: &mut dyn NextStep,
    watch: &mut dyn FnMut(LadderEvent<'_>),
    rng: &mut R,
) -> Result<Climbed> {
    settings.check()?;
    let pooling = classifier.classifier().pooling();
    if pooling == Pooling::Pooler {
        return Err(Error::argument("pooling", "mean or cls: a pooler is not frozen", "pooler"));
    }
    for (field, data) in [("training texts", texts.training), ("validation texts", texts.validation)] {
        if data.is_empty() {
            return Err(Error::argument(field, "at least one", "none"));
        }
    }
    let ngram = settings.exits.ngram.clone().unwrap_or_default();
    let mut ladder = Ladder::new(classifier, texts, settings, (next, watch), rng)?;
    ladder.climb(&ngram, rng)
}

type Watch<'a> = &'a mut dyn FnMut(LadderEvent<'_>);

/// A training in rungs while it runs.
struct Ladder<'a> {
    classifier: &'a TextClassifier,
    texts: LadderTexts<'a>,
    settings: &'a LadderSettings,
    next: &'a mut dyn NextStep,
    watch: Watch<'a>,
    /// Training and validation texts together, where they are few.
    joined: Option<EncodedDataset>,
    start: Instant,
    /// Seed of the rounds.
    seed: u64,
    flops: u64,
    pass_flops: u64,
    passes: f64,
    /// FLOPs that exits on the fine-tuned encoder will cost.
    flops_of_exits: u64,
    measured: Vec<Measurement>,
    learning_rate: f64,
}

/// A model of a rung, and its loss.
struct OfRung {
    rung: Rung,
    model: DynamicModel,
    exits: Report,
    loss: f64,
}

impl<'a> Ladder<'a> {
    fn new<R: Rng + ?Sized>(
        classifier: &'a TextClassifier,
        texts: LadderTexts<'a>,
        settings: &'a LadderSettings,
        (next, watch): (&'a mut dyn NextStep, Watch<'a>),
        rng: &mut R,
    ) -> Result<Self> {
        let joins = texts.joins && texts.validation.len() < settings.exits.least_held_out;
        if !joins {
            Texts::new(texts.training).with_held_out(texts.validation).check_held_out()?;
        }
        let pass_flops = cost(classifier, texts.training, |load| classifier.backward_flops(load).0);
        Ok(Self {
            joined: joins.then(|| join(texts.training, texts.validation)),
            learning_rate: settings.fine_tuning.optimizer.learning_rate,
            start: Instant::now(),
            seed: rng.random(),
            flops: 0,
            pass_flops,
            passes: 0.0,
            flops_of_exits: 0,
            measured: Vec::new(),
            classifier,
            texts,
            settings,
            next,
            watch,
        })
    }

    fn climb<R: Rng + ?Sized>(&mut self, ngram: &NgramSettings, rng: &mut R) -> Result<Climbed> {
        let (texts, settings) = (self.texts, self.settings);
        let joined = self.joined.take();
        let fitted_on = joined.as_ref().unwrap_or(texts.training);
        let front = NgramClassifier::fit_within(
            fitted_on,
            ngram,
            FullModel::new(self.classifier),
            settings.exits.embeddings.then(|| self.classifier.encoder()),
            settings.exits.state_bytes,
            rng,
        )?;
        let rows: Vec<usize> = (texts.training.len()..fitted_on.len()).collect();
        let of_front = match &joined {
            Some(_) => front.out_of_fold.select(&rows),
            None => front.classifier.log_probabilities_of_all(texts.validation)?,
        };
        self.flops += front.flops;
        let validation = Validation {
            texts: texts.validation,
            flops: cost(self.classifier, texts.validation, |_| 0),
            front: of_front,
            labels: labels_of(texts.validation),
        };
        // Where validation rows are few, all rows judge rungs 0 and 1.
        let (judges, labels) = match &joined {
            Some(all) if texts.validation.len() < LEAST_JUDGES => ((0..all.len()).collect(), labels_of(all)),
            _ => (rows, validation.labels.clone()),
        };
        match &joined {
            Some(_) => self.measure(Rung::Ngrams, &front.out_of_fold.select(&judges), &labels),
            None => self.measure(Rung::Ngrams, &validation.front, &labels),
        };
        let frozen = self.flops + cost(self.classifier, fitted_on, |_| 0);
        if let Some(stop) = self.stops_before(Rung::Frozen, frozen) {
            let of_rung = self.ngrams_alone(front, &validation, rng)?;
            return Ok(self.end(of_rung, stop));
        }

        let before = self.start.elapsed();
        let flops_before = self.flops;
        let frozen = self.frozen(&front, joined.as_ref(), (&judges, &labels), rng)?;
        let forward = (self.start.elapsed() - before).max(Duration::from_secs_f64(frozen.exits.seconds_of_states));
        let pass = forward.mul_f64(STEP_BY_FORWARD * texts.training.len() as f64 / fitted_on.len().max(1) as f64);
        if let Some(stop) = self.stops_before(Rung::FineTuned, self.flops) {
            return Ok(self.end(frozen, stop));
        }
        // Fits on fine-tuned states take up to three times the steps. Validation rows run again through side layers, and
        // exit 0 of few texts is fitted again.
        let side = side_flops(self.classifier, texts.training, &settings.exits)?;
        let again = joined.as_ref().map_or(0, |_| front.flops);
        let once = self.flops - flops_before;
        self.flops_of_exits = once + 2 * frozen.exits.flops_of_fits + side + validation.flops + again;
        let layers = self.classifier.encoder().layers();
        let convex = match joined {
            Some(_) => self.head_of_training(rng)?,
            None => frozen.model.model().classifier_at(layers)?,
        };
        convex.encoder().parameters().compute_in(self.classifier.encoder().parameters().precision())?;
        // Exit 0 reads the word embeddings: it would have to be fitted again.
        let parameters = convex.encoder().parameters();
        parameters.set_frozen(parameters.id(WORD_EMBEDDINGS)?, true);
        let mut round = settings.fine_tuning.clone();
        self.find_rate(&convex, &round, &validation)?;
        round.optimizer = AdamWSettings { learning_rate: self.learning_rate, ..round.optimizer };
        let (tuned, stop) = self.fine_tune(convex, &round, &validation, pass)?;
        if self.least_of_rounds() >= frozen.loss && settings.least < Rung::FineTuned {
            return Ok(self.end(frozen, stop));
        }
        // Exit 0 of few texts has learned from the validation rows.
        let tuned = self.fine_tuned(&tuned, joined.is_none().then_some(&front), rng)?;
        Ok(self.end(tuned, stop))
    }

    /// Records score and cost of a rung.
    fn measure(&mut self, rung: Rung, answers: &LogProbabilities, labels: &[u32]) -> f64 {
        let measured = Measurement {
            rung,
            passes: if rung == Rung::FineTuned { self.passes } else { 0.0 },
            accuracy: Some(answers.accuracy(labels)),
            loss: answers.mean_loss(labels),
            flops: self.flops,
            cost: self.flops as f64 / self.pass_flops.max(1) as f64,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        self.measured.push(measured);
        (self.watch)(LadderEvent::Measured(&measured));
        measured.loss
    }

    /// The smallest loss at the end of a round; infinite before the first.
    fn least_of_rounds(&self) -> f64 {
        least_loss(self.measured.iter().filter(|found| found.rung == Rung::FineTuned && found.accuracy.is_some()))
    }

    /// FLOPs that the budget allows.
    fn allowed(&self) -> Option<u64> {
        self.settings.budget.map(|budget| (BUDGET_PASSES * budget * self.pass_flops as f64) as u64)
    }

    fn time_left(&self) -> Option<Duration> {
        self.settings.time.map(|time| time.saturating_sub(self.start.elapsed()))
    }

    /// The reason not to climb to a rung, which then has cost at least these FLOPs in total.
    fn stops_before(&mut self, rung: Rung, flops: u64) -> Option<Stop> {
        if self.settings.most < rung {
            return Some(Stop::Top);
        }
        if self.allowed().is_some_and(|allowed| flops > allowed) {
            return Some(Stop::Budget);
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Some(Stop::Time);
        }
        if rung == Rung::FineTuned && rung > self.settings.least && self.texts.validation.len() < LEAST_JUDGES {
            return Some(Stop::FewRows);
        }
        let goes_on = rung <= self.settings.least || self.next.goes_on(&self.measured, rung);
        (!goes_on).then_some(Stop::Rule)
    }

    /// Rung 0: a model whose answers are those of exit 0 at every depth.
    fn ngrams_alone<R: Rng + ?Sized>(
        &mut self,
        front: NgramFit,
        validation: &Validation<'_>,
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = &self.settings.exits;
        let kind = (crate::exit::ExitKind::Linear, exits.pooling);
        let model = ExitModel::of_classifier(self.classifier, exits.exits.as_deref(), kind, rng)?;
        let (hidden, classes) = (self.classifier.encoder().block_shape().hidden, model.classes());
        let (weights, bias) = (vec![0.0; hidden * classes], vec![0.0; classes]);
        let count = model.exits().len();
        model.set_linear_parts(std::iter::repeat_n((&*weights, &*bias), count))?;
        let all = [Some(self.texts.training), Some(self.texts.validation)];
        let seen = SeenTexts::new(all.into_iter().flatten());
        let ratio = front.classifier.flops_of_all(self.texts.validation).iter().sum::<u64>() as f64
            / validation.flops.max(1) as f64;
        let report = Report::of_front(&front, &validation.front, &validation.labels, ratio);
        let stackers = vec![Stacker { ngram: 1.0, exit: 0.0 }; count];
        let front = FrontExit::new(front.classifier, stackers);
        let model = DynamicModel::new(model, exits.rule)?.with_seen_texts(seen).with_front(front)?;
        let loss = validation.front.mean_loss(&validation.labels);
        Ok(OfRung { rung: Rung::Ngrams, model: model.with_speed(report.speed)?, exits: report, loss })
    }

    /// Rung 1: regressions on the states of the encoder as it is.
    fn frozen<R: Rng + ?Sized>(
        &mut self,
        front: &NgramFit,
        joined: Option<&EncodedDataset>,
        (judges, labels): (&[usize], &[u32]),
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = AccelerateSettings { side: None, ..self.settings.exits.clone() };
        let (texts, exits) = match joined {
            Some(all) => (Texts::new(all), AccelerateSettings { least_held_out: usize::MAX, ..exits }),
            None => (Texts::new(self.texts.training).with_held_out(self.texts.validation), exits),
        };
        let given = Given { head: Head::Fitted, front: Some(front), against_stacked: true };
        let built = build(self.classifier, Parts::new(texts, &exits, rng)?, &exits, given, rng)?;
        let judged = if joined.is_some() { built.judged.select(judges) } else { built.judged };
        self.flops += built.accelerated.report.flops;
        let loss = self.measure(Rung::Frozen, &judged, labels);
        Ok(OfRung { rung: Rung::Frozen, model: built.accelerated.model, exits: built.accelerated.report, loss })
    }

    /// The classifier with the last regression of rung 1, fitted on the training rows alone: that of few rows has learned
    /// the validation rows, too.
    fn head_of_training<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Result<TextClassifier> {
        let layers = self.classifier.encoder().layers();
        let exits = AccelerateSettings { side: None, ngram: None, ..self.settings.exits.clone() };
        let texts = Texts::new(self.texts.training).with_held_out(self.texts.validation);
        let given = Given { head: Head::Fitted, front: None, against_stacked: true };
        let built = build(self.classifier, Parts::new(texts, &exits, rng)?, &exits, given, rng)?;
        self.flops += built.accelerated.report.flops;
        built.accelerated.model.model().classifier_at(layers)
    }

    /// Sets the learning rate to the best of the given ones, if there are any.
    fn find_rate(
        &mut self,
        convex: &TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
    ) -> Result<()> {
        let rows = self.texts.training.select(0..TRIAL_ROWS.min(self.texts.training.len()))?;
        let mut least = f64::INFINITY;
        for &rate in &self.settings.rates {
            let optimizer = AdamWSettings { learning_rate: rate, ..settings.optimizer.clone() };
            let trial = TrainSettings { epochs: 1, patience: None, optimizer, ..settings.clone() };
            let mut tuning = FineTuning::new(convex.deep_clone()?);
            let loss = match Trainer::new(trial).fit(&mut tuning, &rows, None, &mut ()) {
                Ok(_) => {
                    let (answers, flops) = validation.stacked(tuning.model(), 2 * settings.batch_size)?;
                    self.flops += flops;
                    answers.mean_loss(&validation.labels)
                }
                Err(TransformerError::Diverged { .. }) => f64::INFINITY,
                Err(error) => return Err(error.into()),
            };
            self.flops += tuning.flops();
            (self.watch)(LadderEvent::Rate { rate, loss });
            if loss < least {
                (self.learning_rate, least) = (rate, loss);
            }
        }
        Ok(())
    }

    /// Rounds of a pass at the peak learning rate, and a last one in which it falls to 0. Where there is room for one
    /// round alone, it has the schedule of the settings.
    fn fine_tune(
        &mut self,
        mut tuned: TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
        time_of_pass: Duration,
    ) -> Result<(TextClassifier, Stop)> {
        let training = self.texts.training;
        let steps = training.len().div_ceil(settings.batch_size * settings.accumulate);
        let forced = self.settings.least == Rung::FineTuned;
        let every = steps_between(steps);
        // FLOPs of a pass and of the validations in it, and of the one at the end of a round.
        let of_pass = self.pass_flops + steps.div_ceil(every) as u64 * validation.flops;
        let whole = LEAST_STEPS.div_ceil(steps) as f64;
        let mut ends = None;
        for number in 0.. {
            let (room, limit) = self.room(settings.epochs, (of_pass, validation.flops), time_of_pass);
            let is_last = forced || ends.is_some() || room < (1.0 + LAST) * whole;
            let (passes, schedule) = match (is_last, number) {
                (false, _) => (whole, Schedule::Constant { warm_up: WarmUp::Fraction(0.1) }),
                (true, 0) => (room, settings.schedule),
                (true, _) => (room.min(LAST * whole), Schedule::Linear { warm_up: WarmUp::NONE }),
            };
            if passes < LEAST_PASS {
                return Ok((tuned, ends.unwrap_or(limit)));
            }
            let (part, epochs) = match passes {
                part if part < 1.0 => (Some(self.part(part, number)?), 1),
                whole => (None, whole as usize),
            };
            let rows = part.as_ref().unwrap_or(training);
            let share = rows.len() as f64 / training.len() as f64 * epochs as f64;
            let checkpoint = self.settings.checkpoints.as_ref().map(|folder| CheckpointSettings {
                path: round_file(folder.clone(), number),
                every_steps: super::round::CHECKPOINT_STEPS,
                resume: true,
            });
            let classifier = self.classifier;
            let flops = epochs as u64 * cost(classifier, rows, |load| classifier.backward_flops(load).0);
            let round = Round {
                settings: TrainSettings { epochs, schedule, seed: self.seed.wrapping_add(number), ..settings.clone() },
                training: rows,
                validation,
                checkpoint,
                stop: self.settings.stop.clone(),
                deadline: self.time_left().map(|left| Instant::now() + left.mul_f64(PLANNED)),
                pass_flops: self.pass_flops,
                flops_before: self.flops,
                flops,
                every,
                passes: (self.passes, share),
                asks: !forced && (number == 0 || !is_last),
                start: self.start,
            };
            (self.watch)(LadderEvent::RoundStarted { passes: share });
            let before = self.least_of_rounds();
            let kept = (number > 0).then(|| tuned.deep_clone()).transpose()?;
            let run = round.run(tuned, &mut self.measured, &mut *self.next, &mut *self.watch);
            (self.watch)(LadderEvent::RoundEnded);
            let Tuned { classifier, flops, share: ran, stop: ended } = run?;
            self.flops += flops;
            self.passes += ran * share;
            let (answers, flops) = validation.stacked(&classifier, 2 * settings.batch_size)?;
            self.flops += flops;
            let loss = self.measure(Rung::FineTuned, &answers, &validation.labels);
            tuned = kept.filter(|_| loss > before).unwrap_or(classifier);
            match ended {
                Some(Stop::Rule) if number > 0 => ends = ended,
                Some(stop) => return Ok((tuned, stop)),
                None if is_last => return Ok((tuned, ends.unwrap_or(limit))),
                None if self.next.goes_on(&self.measured, Rung::FineTuned) => {}
                None => ends = Some(Stop::Rule),
            }
        }
        Ok((tuned, Stop::Top))
    }

    /// Passes that settings, budget and time leave for fine-tuning, and which of them is the limit. `of_pass` and
    /// `at_end` are the FLOPs of a pass with its validations, and those at the end of a round.
    fn room(&self, epochs: usize, (of_pass, at_end): (u64, u64), time_of_pass: Duration) -> (f64, Stop) {
        let mut room = (epochs as f64 - self.passes, Stop::Top);
        if let Some(allowed) = self.allowed() {
            let left = allowed.saturating_sub(self.flops + self.flops_of_exits + at_end);
            let within = left as f64 / of_pass.max(1) as f64;
            room = if within < room.0 { (within, Stop::Budget) } else { room };
        }
        if let Some(left) = self.time_left() {
            let within = PLANNED * left.as_secs_f64() / time_of_pass.as_secs_f64().max(1e-9);
            room = if within < room.0 { (within, Stop::Time) } else { room };
        }
        room
    }

    /// Some of the training rows, for a round of less than a pass.
    fn part(&self, share: f64, number: u64) -> Result<EncodedDataset> {
        let training = self.texts.training;
        let mut rows: Vec<usize> = (0..training.len()).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(number)));
        rows.truncate(((share * training.len() as f64) as usize).max(1));
        rows.sort_unstable();
        Ok(training.select(rows)?)
    }

    /// Rung 2: exits on the fine-tuned encoder.
    fn fine_tuned<R: Rng + ?Sized>(
        &mut self,
        tuned: &TextClassifier,
        front: Option<&NgramFit>,
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = &self.settings.exits;
        let parts = Parts::new(Texts::new(self.texts.training).with_held_out(self.texts.validation), exits, rng)?;
        let labels = parts.judged_labels();
        let built = build(tuned, parts, exits, Given { head: Head::Kept, front, against_stacked: true }, rng)?;
        self.flops += built.accelerated.report.flops;
        let loss = self.measure(Rung::FineTuned, &built.judged, &labels);
        Ok(OfRung { rung: Rung::FineTuned, model: built.accelerated.model, exits: built.accelerated.report, loss })
    }

    fn end(&mut self, found: OfRung, stop: Stop) -> Climbed {
        let ladder = LadderReport {
            measurements: std::mem::take(&mut self.measured),
            rung: found.rung,
            stop,
            flops: self.flops,
            pass_flops: self.pass_flops,
            passes: self.passes,
            learning_rate: self.learning_rate,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        Climbed { model: found.model, exits: found.exits, ladder }
    }
}

/// The file of a round's state.
fn round_file(folder: PathBuf, number: u64) -> PathBuf {
    folder.join(format!("round-{}.checkpoint", number + 1))
}

/// FLOPs of the forward pass over a data set, and of what `more` adds.
fn cost(classifier: &TextClassifier, data: &EncodedDataset, more: impl Fn(Load) -> u64) -> u64 {
    let loads = data.lengths().into_iter().map(Load::of_text);
    loads.map(|load| classifier.forward_flops(load).0 + more(load)).sum()
}

fn labels_of(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}

/// Both data sets, with distinct ids.
fn join(training: &EncodedDataset, validation: &EncodedDataset) -> EncodedDataset {
    let mut all = training.clone();
    let free = 1 + training.samples.iter().map(|sample| sample.id).max().unwrap_or_default();
    all.samples.extend(validation.samples.iter().cloned().zip(free..).map(|(sample, id)| Sample { id, ..sample }));
    all.truncated_rows += validation.truncated_rows;
    all
}
