//! Progress of training runs on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dht_dynamic::accelerate::FitStep;
use dht_dynamic::ladder::{LadderEvent, LadderReport, LearningCurve, LengthTrial, Measurement, Rung, Stop};
use dht_dynamic::transformer::Task;
use dht_dynamic::transformer::train::{Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Weight of the latest optimiser step in the displayed running mean of the loss.
const NEWEST: f64 = 0.05;
/// Factor by which each new training sample reduces the weight of earlier samples, in the displayed shares of depths
/// (numbers of layers run).
const DECAY: f64 = 0.998;
/// Minimum time between two progress lines about the same step of fitting early exits.
const LINE_AFTER: Duration = Duration::from_secs(5);
/// Minimum share of a training run between two progress lines.
const LINE_EVERY: f64 = 0.1;

/// Writes a line to standard error, with control characters escaped. A failure is ignored, so that a closed stream does
/// not end the program.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", visible(line));
}

/// Returns whether a terminal would interpret a character: control characters except line feeds and tabs, and
/// characters that reverse the direction of text.
pub fn is_hidden(sign: char) -> bool {
    let turns = matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    sign.is_control() && !matches!(sign, '\n' | '\t') || turns
}

/// Escapes the characters of a text that a terminal would interpret, except line feeds and tabs. In labels from an
/// untrusted file or model they could overwrite the screen or reverse the direction of text.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let shown = |sign: char| if is_hidden(sign) { sign.escape_unicode().to_string() } else { sign.to_string() };
    text.chars().map(shown).collect()
}

/// Displays a training run on standard error: a bar on a terminal, otherwise lines at intervals, or nothing.
///
/// # Examples
/// ```
/// use dht_cli::TrainingProgress;
/// use dht_dynamic::transformer::{Pooling, TextClassifier};
/// use dht_toys::{reviews, rng};
///
/// let mut rng = rng(1);
/// let mut classifier = TextClassifier::new(reviews::encoder(&mut rng), 2, Pooling::Mean, &mut rng)?;
/// let (training, validation) = (reviews::data(16, 1), reviews::data(8, 2));
/// let mut progress = TrainingProgress::new("reviews", true);
/// let history = reviews::trainer(1).fit(&mut classifier, &training, &validation, &mut progress)?;
/// assert_eq!(history.epochs.len(), 1);
/// # Ok::<(), dht_dynamic::transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct TrainingProgress {
    label: String,
    output: Output,
    routes: RouteTally,
    started: Instant,
    /// Share of the training run that was completed before this process started; above 0 if the run was resumed.
    first_share: f64,
    last_line: f64,
    loss: Option<f64>,
    validation: Option<f64>,
    /// Name of the metric on the validation rows.
    metric: &'static str,
}

#[derive(Debug)]
enum Output {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl TrainingProgress {
    /// Creates the progress display of a training run named `label`. If `quiet` is true, nothing is displayed.
    pub fn new(label: impl Into<String>, quiet: bool) -> Self {
        let output = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Output::Silent,
            (false, false) => Output::Lines,
            (false, true) => Output::Bar(bar()),
        };
        let label = label.into();
        if let Output::Bar(bar) = &output {
            bar.set_prefix(label.clone());
        }
        Self {
            label,
            output,
            routes: RouteTally::default(),
            started: Instant::now(),
            first_share: 0.0,
            last_line: 0.0,
            loss: None,
            validation: None,
            metric: "score",
        }
    }

    /// Tally of the depths of training samples. Depths that are added to it are displayed next to the loss.
    pub fn routes(&self) -> RouteTally {
        self.routes.clone()
    }

    fn state(&self) -> String {
        let loss = self.loss.map(|loss| format!("loss {}", rounded(loss)));
        let validation = self.validation.map(|score| format!("validation {} {score:.3}", self.metric));
        [loss, validation, self.routes.summary()].into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    fn step(&mut self, share: f64, loss: f64) {
        self.loss = Some(self.loss.map_or(loss, |displayed| displayed + NEWEST * (loss - displayed)));
        match &self.output {
            Output::Bar(bar) => {
                bar.set_position((share * bar.length().unwrap_or_default() as f64).round() as u64);
                bar.set_message(self.state());
            }
            Output::Lines if share >= self.last_line + LINE_EVERY => {
                self.last_line = share;
                report(&self.line(share, self.started.elapsed()));
            }
            Output::Lines | Output::Silent => {}
        }
    }

    fn line(&self, share: f64, elapsed: Duration) -> String {
        let (label, percent, state) = (&self.label, 100.0 * share, self.state());
        let done = share - self.first_share;
        let left = if done > 0.0 { elapsed.as_secs_f64() * (1.0 - share).max(0.0) / done } else { 0.0 };
        format!("{label}: {percent:.0} %  {state}  {left:.0} s left")
    }
}

impl Observer for TrainingProgress {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Started { samples, total, metric, .. } => {
                self.metric = metric;
                self.first_share = samples as f64 / total.max(1) as f64;
                (self.last_line, self.started) = (self.first_share, Instant::now());
                if let Output::Bar(bar) = &self.output {
                    bar.set_length(total);
                    bar.set_position(samples);
                    bar.reset_eta();
                }
            }
            Event::Step { progress, loss, .. } => self.step(progress.share, loss),
            Event::InParts { refused, at_once } => report(&format!(
                "the device's memory does not hold {refused} texts at once: continuing with {at_once} at a time, whose gradients are added \
                 up to the same step"
            )),
            Event::Evaluation(record) => self.validation = Some(record.validation_score),
            Event::Epoch(record) => self.validation = record.validation_score.or(self.validation),
            _ => {}
        }
    }
}

/// Finishes the bar and leaves it on the screen.
impl Drop for TrainingProgress {
    fn drop(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.abandon();
        }
    }
}

/// Displays the progress of fitting early exits on standard error: a line at the beginning of each step, and at most
/// one line every five seconds in between.
#[derive(Debug)]
pub struct FitProgress {
    quiet: bool,
    /// Completed steps of fitting the early exits, in order: name and duration in seconds.
    seconds: Vec<(&'static str, f64)>,
    stage: Option<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    started: Instant,
    last_line: Instant,
}

impl FitProgress {
    /// Creates the progress display. If `quiet` is true, nothing is displayed.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, seconds: Vec::new(), stage: None }
    }

    /// Displays a progress event of fitting early exits.
    pub fn observe(&mut self, step: FitStep) {
        if let Some(line) = self.line(step, Instant::now()).filter(|_| !self.quiet) {
            report(&line);
        }
    }

    /// Prints how many seconds each step of fitting the early exits took.
    pub fn report_seconds(&mut self) {
        self.end(Instant::now());
        if !self.quiet && !self.seconds.is_empty() {
            report(&self.seconds_line());
        }
    }

    fn seconds_line(&self) -> String {
        let stages: Vec<String> = self.seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.0}")).collect();
        format!("seconds: {}", stages.join(", "))
    }

    /// Begins the step `name` of fitting the early exits, unless it is already the current step. Returns whether the
    /// step is new.
    fn begin(&mut self, name: &'static str, now: Instant) -> bool {
        if self.stage.as_ref().is_some_and(|stage| stage.name == name) {
            return false;
        }
        self.end(now);
        self.stage = Some(Stage { name, started: now, last_line: now });
        true
    }

    fn end(&mut self, now: Instant) {
        let Some(stage) = self.stage.take() else { return };
        let seconds = (now - stage.started).as_secs_f64();
        match self.seconds.iter_mut().find(|(name, _)| *name == stage.name) {
            Some((_, all)) => *all += seconds,
            None => self.seconds.push((stage.name, seconds)),
        }
    }

    fn line(&mut self, step: FitStep, now: Instant) -> Option<String> {
        let (name, first, share) = match step {
            FitStep::Ngrams { texts } => ("n-grams", format!("fitting n-grams on {texts} texts"), 0.0),
            FitStep::States { done, texts } => {
                ("encoder", format!("running the encoder over {texts} texts"), done as f64 / texts.max(1) as f64)
            }
            FitStep::Exit { number, exits } => {
                ("exits", format!("fitting {exits} exits"), (number - 1) as f64 / exits.max(1) as f64)
            }
            FitStep::SideLayers { share } => ("side layers", "training the side layers of the exits".to_owned(), share),
            FitStep::Answers { texts } => {
                ("answers", format!("answering {texts} held-out texts with the side layers"), 0.0)
            }
            _ => return None,
        };
        if self.begin(name, now) {
            return Some(first);
        }
        let stage = self.stage.as_mut()?;
        if now - stage.last_line < LINE_AFTER || share <= 0.0 {
            return None;
        }
        stage.last_line = now;
        let left = (now - stage.started).as_secs_f64() * (1.0 - share).max(0.0) / share;
        Some(match step {
            FitStep::Exit { number, exits } => format!("exits: number {number} of {exits}  {left:.0} s left"),
            _ => format!("{name}: {:.0} %  {left:.0} s left", 100.0 * share),
        })
    }
}

/// Name of the score by which speeds and training stages are selected.
pub fn score_of(task: Task) -> &'static str {
    match task {
        Task::Class => "accuracy",
        Task::Labels => "micro F1",
        Task::Number => "Pearson's correlation",
    }
}

/// Formats a line about a trial of a maximum text length.
pub fn length_trial(trial: &LengthTrial, task: Task) -> String {
    let LengthTrial { max_length, accuracy, loss, seconds, .. } = trial;
    let score = score_of(task);
    let loss = rounded(*loss);
    format!("length of {max_length} tokens: {score} {accuracy:.3}, loss {loss}; {seconds:.0} s")
}

/// Formats lines about the learning curve of rung 1, the training stage that fits a classifier on the frozen encoder.
pub fn learning_lines(curve: &LearningCurve) -> Vec<String> {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let mut lines =
        vec![format!("learning curve of rung 1, on {} validation rows; {:.0} s", curve.validation_rows, curve.seconds)];
    lines.extend(curve.points.iter().map(|point| {
        let draws = point.accuracies.len();
        let draws = if draws == 1 { String::new() } else { format!(" (mean of {draws} draws)") };
        format!("  {} rows: accuracy {:.4}{draws}", point.rows, point.accuracy)
    }));
    lines.extend(curve.predictions.iter().map(|prediction| {
        let ([low, high], [least, most]) = (prediction.interval, prediction.gain_interval.map(percent));
        format!(
            "  {} rows, predicted: {:.4} (95 % interval {low:.4} to {high:.4}), {} points more ({least} to {most})",
            prediction.rows,
            prediction.accuracy,
            percent(prediction.gain)
        )
    }));
    lines.push("  this is rung 1 alone: fine-tuning may gain more or less from further rows".into());
    lines
}

/// Progress of a training run in rungs (training stages of increasing cost): a line for each rung and each validation,
/// and a bar for fine-tuning.
#[derive(Debug)]
pub struct LadderProgress {
    quiet: bool,
    /// Name of the score on the validation rows.
    score: &'static str,
    fit: FitProgress,
    tuning: Option<TrainingProgress>,
    /// Number of passes over the training rows that fine-tuning took; `None` once exits are fitted on the fine-tuned
    /// encoder.
    passes: Option<f64>,
    /// Best learning rate tried so far, and its validation loss.
    rate: Option<(f64, f64)>,
}

impl LadderProgress {
    /// Creates the progress display. If `quiet` is true, nothing is displayed.
    pub fn new(quiet: bool, task: Task) -> Self {
        let score = score_of(task);
        Self { quiet, score, fit: FitProgress::new(quiet), tuning: None, passes: None, rate: None }
    }

    /// Prints how many seconds each step of fitting the early exits took.
    pub fn report_seconds(&mut self) {
        self.fit.report_seconds();
    }

    /// Displays an event of a training run in rungs (training stages).
    pub fn observe(&mut self, event: LadderEvent<'_>) {
        if let Some(line) = self.line(event).filter(|_| !self.quiet) {
            report(&line);
        }
    }

    fn line(&mut self, event: LadderEvent<'_>) -> Option<String> {
        match event {
            LadderEvent::Fitting(step) => return self.fit.line(step, Instant::now()),
            LadderEvent::Measured(result) => {
                let ended = result.accuracy.map(|_| result.passes).filter(|_| result.rung == Rung::FineTuned);
                let again = ended.is_some() && self.passes == ended;
                self.passes = ended;
                return Some(measurement(result, again, self.score));
            }
            LadderEvent::Rate { rate, loss } => {
                self.rate = self.rate.filter(|(_, least)| *least <= loss).or(Some((rate, loss)));
                return Some(format!("learning rate {rate}: validation loss {loss:.4}"));
            }
            LadderEvent::FineTuningStarted { passes, time } => {
                self.fit.begin("fine-tuning", Instant::now());
                self.tuning = Some(TrainingProgress::new("fine-tuning", self.quiet));
                let rate = self.rate.map_or_else(String::new, |(rate, _)| format!(" at learning rate {rate}"));
                let (passes, time) = (counted(passes), range(time));
                return Some(format!("fine-tuning{rate} for {passes}: {time} with the exits; Ctrl-C saves the state"));
            }
            LadderEvent::Training(event) => self.tuning.iter_mut().for_each(|tuning| tuning.observe(event)),
            LadderEvent::FineTuningEnded => self.tuning = None,
            _ => {}
        }
        None
    }
}

/// Formats a line about scores on validation rows. `of_exits` is true if they were measured after early exits were
/// fitted on the fine-tuned encoder.
fn measurement(result: &Measurement, of_exits: bool, score: &str) -> String {
    let rung = match result.rung {
        Rung::FineTuned if of_exits => "rung 2, exits fitted on the fine-tuned encoder".to_owned(),
        Rung::Ngrams => "rung 0, n-grams".to_owned(),
        Rung::Frozen => "rung 1, the encoder as it is".to_owned(),
        // At its end, fine-tuning restores the parameters with the lowest loss.
        Rung::FineTuned if result.accuracy.is_some() => format!("rung 2, the best of {}", counted(result.passes)),
        Rung::FineTuned => format!("rung 2, fine-tuned for {}", counted(result.passes)),
    };
    let accuracy = result.accuracy.map_or_else(String::new, |value| format!("{score} {value:.3}, "));
    let (loss, cost) = (rounded(result.loss), counted(result.cost));
    format!("{rung}: validation {accuracy}loss {loss}; cost {cost}, {:.0} s", result.seconds)
}

/// Formats a loss with three decimals, or with five decimals if the loss is small.
fn rounded(loss: f64) -> String {
    if loss < 0.01 { format!("{loss:.5}") } else { format!("{loss:.3}") }
}

/// Formats a sentence about which rung (training stage) was selected, and why the training run ended.
pub fn ladder_end(ladder: &LadderReport) -> String {
    let outcome = match ladder.rung {
        Rung::Ngrams => "rung 0 is kept, n-grams",
        Rung::Frozen => "rung 1 is kept, the encoder as it is",
        Rung::FineTuned => "rung 2 is kept, the fine-tuned encoder",
    };
    let tried = ladder.measurements.iter().any(|result| result.rung > ladder.rung);
    let better = if tried { ", since fine-tuning did not lower the validation loss" } else { "" };
    let why = match ladder.stop {
        Stop::Rule => "a quarter of the fine-tuning left the validation loss where it was",
        Stop::FewRows => "fewer than 20 validation rows cannot tell whether fine-tuning helps",
        Stop::Budget => "--training-budget allows no further step",
        Stop::Time => "--minutes allows no further step",
        Stop::Finished => "the stopped training was finished",
        _ if ladder.passes > 0.0 => "fine-tuning ran all its passes",
        _ => "--rungs allows no further step",
    };
    format!("{outcome}{better}; {why}; cost {}", counted(ladder.flops as f64 / ladder.pass_flops.max(1) as f64))
}

/// Formats a range of durations, such as "6 to 18 minutes".
fn range((least, most): (Duration, Duration)) -> String {
    let (unit, name) = if most.as_secs() >= 120 { (60.0, "minutes") } else { (1.0, "seconds") };
    let count = |time: Duration| (time.as_secs_f64() / unit).ceil().max(1.0);
    match (count(least), count(most)) {
        (least, most) if least == most => format!("about {most} {name}"),
        (least, most) => format!("{least} to {most} {name}"),
    }
}

/// Formats a number of passes over the training rows, such as "1 pass".
fn counted(passes: f64) -> String {
    let rounded = format!("{passes:.2}");
    let number = rounded.trim_end_matches('0').trim_end_matches('.');
    format!("{number} {}", if number == "1" { "pass" } else { "passes" })
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
    let template = "{prefix:>12} {bar:25.cyan/blue} {percent:>3} %  {msg}  {eta} left";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Tally of recent depths (numbers of layers that ran for a sample): their shares over about the last few hundred
/// samples. Clones share one tally.
#[derive(Debug, Clone, Default)]
pub struct RouteTally {
    weights: Arc<Mutex<BTreeMap<usize, f64>>>,
}

impl RouteTally {
    /// Adds a sample that ran `depth` layers.
    pub fn add(&self, depth: usize) {
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        weights.values_mut().for_each(|weight| *weight *= DECAY);
        *weights.entry(depth).or_default() += 1.0;
    }

    /// Formats a summary such as `layers 1: 62 % 2: 20 % 6: 18 %`; `None` before the first sample.
    fn summary(&self) -> Option<String> {
        let weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        let all: f64 = weights.values().sum();
        let shares = weights.iter().map(|(depth, weight)| format!(" {depth}: {:.0} %", 100.0 * weight / all));
        (!weights.is_empty()).then(|| format!("layers{}", shares.collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use dht_dynamic::transformer::{Progress, train::EpochRecord};

    use super::*;

    fn step(share: f64, loss: f64) -> Event<'static> {
        let progress = Progress { seed: 0, step: 0, epoch: 0, share };
        Event::Step { progress, loss, samples: 1, learning_rate: 1e-3, gradient_norm: 1.0 }
    }

    #[test]
    fn control_characters_are_shown_escaped() {
        assert_eq!(visible("a label\n\tä 😀"), "a label\n\tä 😀");
        assert_eq!(visible("\u{1b}[2Jgone\r\u{202e}dab"), "\\u{1b}[2Jgone\\u{d}\\u{202e}dab");
    }

    #[test]
    fn a_line_names_loss_validation_mix_and_time_left() {
        let mut progress = TrainingProgress::new("dynamic", true);
        progress.observe(Event::Started { samples: 0, total: 100, metric: "Pearson's correlation", evaluations: &[] });
        progress.observe(step(0.1, 2.0));
        progress.observe(step(0.25, 1.0));
        progress.observe(Event::Epoch(&EpochRecord { epoch: 0, loss: 1.0, validation_score: Some(0.5) }));
        let routes = progress.routes();
        [1, 1, 1, 6].into_iter().for_each(|depth| routes.add(depth));
        let line = progress.line(0.25, Duration::from_secs(10));
        assert_eq!(
            line,
            "dynamic: 25 %  loss 1.950  validation Pearson's correlation 0.500  layers 1: 75 % 6: 25 %  30 s left"
        );
    }

    #[test]
    fn time_left_of_a_resumed_training_counts_from_the_resume() {
        let mut progress = TrainingProgress::new("full", true);
        progress.observe(Event::Started { samples: 80, total: 100, metric: "macro F1", evaluations: &[] });
        progress.observe(step(0.9, 1.0));
        assert!(progress.line(0.9, Duration::from_secs(7)).ends_with("  7 s left"));
    }

    #[test]
    fn fine_tuning_names_the_best_of_the_rates_that_were_tried() {
        let mut progress = LadderProgress::new(true, Task::Class);
        let mut line = |event| progress.line(event).expect("a line");
        let time = (Duration::from_secs(30), Duration::from_secs(90));
        assert_eq!(
            line(LadderEvent::FineTuningStarted { passes: 1.0, time }),
            "fine-tuning for 1 pass: 30 to 90 seconds with the exits; Ctrl-C saves the state"
        );
        for (rate, loss) in [(1e-4, f64::INFINITY), (5e-5, 0.3), (2e-5, 0.2), (1e-5, 0.25)] {
            line(LadderEvent::Rate { rate, loss });
        }
        let time = (Duration::from_secs(340), Duration::from_secs(1080));
        let started = line(LadderEvent::FineTuningStarted { passes: 2.5, time });
        assert!(
            started.starts_with("fine-tuning at learning rate 0.00002 for 2.5 passes: 6 to 18 minutes"),
            "{started}"
        );
    }

    #[test]
    fn a_stage_has_a_line_at_its_start_and_every_five_seconds() {
        let mut progress = FitProgress::new(true);
        let start = Instant::now();
        let mut line = |seconds, step| progress.line(step, start + Duration::from_secs(seconds));
        let states = |done| FitStep::States { done, texts: 400 };
        assert_eq!(line(0, FitStep::Ngrams { texts: 360 }).expect("a line"), "fitting n-grams on 360 texts");
        assert_eq!(line(2, states(0)).expect("a line"), "running the encoder over 400 texts");
        assert_eq!(line(6, states(100)), None);
        assert_eq!(line(12, states(200)).expect("a line"), "encoder: 50 %  10 s left");
        assert_eq!(line(13, states(220)), None);
        let exit = |number| FitStep::Exit { number, exits: 6 };
        assert_eq!(line(22, exit(1)).expect("a line"), "fitting 6 exits");
        assert_eq!(line(28, exit(3)).expect("a line"), "exits: number 3 of 6  12 s left");
        line(30, FitStep::Ngrams { texts: 400 });
        progress.end(start + Duration::from_secs(31));
        assert_eq!(progress.seconds_line(), "seconds: n-grams 3, encoder 20, exits 8");
    }

    #[test]
    fn old_samples_are_forgotten() {
        let routes = RouteTally::default();
        assert_eq!(routes.summary(), None);
        (0..100).for_each(|_| routes.add(6));
        (0..10_000).for_each(|_| routes.add(1));
        assert_eq!(routes.summary().unwrap(), "layers 1: 100 % 6: 0 %");
    }
}
