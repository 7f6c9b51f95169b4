//! The function that builds a dynamic model.

use std::time::Instant;

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::Rng;

use super::accelerated::Accelerated;
use super::linear_fit::fit_exits;
use super::parts::{Parts, Texts};
use super::pooled_states::states;
use super::report::Report;
use super::settings::{AccelerateSettings, Head};
use super::side_training;
use crate::error::{Error, Result};
use crate::evaluation::Stages;
use crate::evaluation::stages::exit_flops;
use crate::exit::{ExitKind, FrontExit, NgramClassifier, NgramFit, Stacker};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, ExitModel, SeenTexts};
use crate::training::FrozenStates;

/// Builds a dynamic model from a fine-tuned single-label classifier: fits the exits, the n-gram exit and the stacking
/// weights, and selects a speed. The classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] for settings out of range, for fewer than 20 texts, for multi-label texts, for classes other
///   than the classifier's, for unlabelled texts without held-out texts, for held-out texts more than half of which are
///   also training texts, and for hidden states that are not finite.
/// * As [`ExitModel::of_classifier`](crate::ExitModel::of_classifier) and [`NgramClassifier::fit`]; errors of the
///   encoder.
pub fn accelerate<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Accelerated> {
    settings.check()?;
    if texts.training.len() < Texts::LEAST {
        return Err(Error::argument("texts", format!("at least {}", Texts::LEAST), texts.training.len()));
    }
    texts.check_held_out()?;
    let parts = Parts::new(texts, settings, rng)?;
    Ok(build(classifier, parts, settings, Given { head: Head::Kept, front: None, against_stacked: false }, rng)?
        .accelerated)
}

/// Parts of an acceleration that are given.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) head: Head,
    /// The n-gram classifier, fitted on the same training rows; `None` to fit it.
    pub(crate) front: Option<&'a NgramFit>,
    /// True if the default speed keeps the accuracy of the stacked answers of all layers, not only of the classifier.
    pub(crate) against_stacked: bool,
}

/// A dynamic model, with the answers on which it was judged.
pub(crate) struct Built {
    pub(crate) accelerated: Accelerated,
    /// The answers of each stage to the held-out texts, or out of fold to all texts.
    pub(crate) stages: Vec<LogProbabilities>,
    /// Answers of the last exit to them, not stacked.
    pub(crate) alone: LogProbabilities,
}

impl Built {
    /// The answers of all layers, stacked.
    pub(crate) fn judged(&self) -> &LogProbabilities {
        self.stages.last().unwrap_or(&self.alone)
    }
}

/// Builds a dynamic model from texts by purpose.
pub(crate) fn build<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    parts: Parts,
    settings: &AccelerateSettings,
    given: Given<'_>,
    rng: &mut R,
) -> Result<Built> {
    let start = Instant::now();
    let hidden = classifier.encoder().block_shape().hidden;
    let side = settings.side.as_ref().filter(|_| parts.held_out.is_some());
    let kind = side.map_or(ExitKind::Linear, |side| ExitKind::SideLayer { width: side.width(hidden) });
    let model = ExitModel::of_classifier(classifier, settings.exits.as_deref(), (kind, settings.pooling), rng)?;
    for data in parts.all() {
        model.check_texts(data)?;
    }
    let mut kept = FrozenStates::new(if side.is_some() { settings.cache_bytes } else { 0 });
    let rows: usize = parts.all().map(EncodedDataset::len).sum();
    let in_file = size_of::<f32>() * rows * hidden * model.exits().len() > settings.state_bytes;
    let of = |data: &EncodedDataset, kept: &mut FrozenStates| {
        states(&model, (settings.pooling, given.head), data, (settings.batch_size, in_file), kept)
    };
    let training = of(&parts.training, &mut kept)?;
    let other = parts.held_out.as_ref().map(|data| of(data, &mut FrozenStates::default())).transpose()?;
    let mut report = Report { seconds_of_states: start.elapsed().as_secs_f64(), ..Report::new(&parts) };
    report.flops = parts.all().map(|data| model.full_inference_flops(data)).sum();

    let parts = parts.with_targets(settings.targets, &training, other.as_ref());
    let fitted = fit_exits(&model, &parts, (&training, other.as_ref()), settings)?;
    model.set_linear_parts(fitted.iter().map(|exit| (&*exit.weights, &*exit.bias)))?;
    report.flops_of_fits = fitted.iter().map(|exit| exit.flops).sum();
    let c: Vec<Option<f64>> = fitted.iter().map(|exit| Some(exit.c)).chain([None]).collect();
    let fitted: Vec<LogProbabilities> = fitted.into_iter().map(|exit| exit.judged).collect();
    let own = other.map_or(training.own, |other| other.own);
    let Some(judged_own) = own.or_else(|| fitted.last().cloned()) else {
        return Err(Error::argument("exits", "at least one", 0));
    };
    report.seconds_of_exits = start.elapsed().as_secs_f64() - report.seconds_of_states;
    let (model, mut answers) = match (side, &parts.held_out) {
        (Some(side), Some(held_out)) => {
            let (model, flops) = side_training::train(model, &parts.training, settings.targets, side, kept, rng)?;
            report.side = Some(side.width(hidden));
            // The held-out texts run again, including the exits.
            let again: u64 = exit_flops(&model, held_out).last().map_or(0, |deepest| deepest.iter().sum());
            report.flops += flops + again;
            let answers = model.exit_log_probabilities(held_out, settings.batch_size)?;
            (model, answers)
        }
        // The answers of the regressions, or of those of the other folds, to the judged texts.
        _ if given.head == Head::Fitted => (model, fitted),
        _ => (model, fitted.into_iter().chain([judged_own.clone()]).collect()),
    };
    report.seconds_of_side = start.elapsed().as_secs_f64() - report.seconds_of_states - report.seconds_of_exits;

    let labels = parts.judged_labels();
    let (stackers, front) = match &settings.ngram {
        None => (Vec::new(), None),
        Some(ngram) => {
            let full = FullModel::new(classifier);
            let fit = match given.front {
                Some(fit) => NgramFit { flops: 0, ..fit.clone() },
                None => NgramClassifier::fit_within(
                    &parts.training,
                    ngram,
                    full,
                    settings.embeddings.then(|| classifier.encoder()),
                    settings.state_bytes,
                    rng,
                )?,
            };
            let front = match &parts.held_out {
                Some(held_out) => fit.classifier.log_probabilities_of_all(held_out)?,
                None => fit.out_of_fold,
            };
            report.flops_of_fits += fit.flops;
            if let Some(held_out) = &parts.held_out {
                report.flops_of_fits += fit.classifier.flops_of_all(held_out).iter().sum::<u64>();
            }
            report.front(fit.c, &front, &labels);
            let stack = |exit| {
                let (stacker, of_fit) = Stacker::fit_counted(&front, exit, &labels)?;
                report.flops_of_fits += of_fit;
                Ok(stacker)
            };
            (answers.iter().map(stack).collect::<Result<Vec<_>>>()?, Some((fit.classifier, front)))
        }
    };
    let mut tables: Vec<LogProbabilities> = front.iter().map(|(_, front)| front.clone()).collect();
    for (at, exit) in answers.iter().enumerate() {
        let stacker = stackers.get(at).copied();
        let stacked = match (stacker, &front) {
            (Some(stacker), Some((_, front))) => stacker.stack(front, exit)?,
            _ => exit.clone(),
        };
        report.exit(model.depths()[at], c[at], exit, stacker, &stacked, &labels);
        tables.push(stacked);
    }
    let mut model = DynamicModel::new(model, settings.rule)?.with_seen_texts(SeenTexts::new(parts.all()));
    if let Some((ngram, _)) = front {
        model = model.with_front(FrontExit::new(ngram, stackers))?;
    }
    let judged = parts.held_out.as_ref().unwrap_or(&parts.training);
    report.own_accuracy = judged_own.accuracy(&labels);
    let stages = Stages::new(&tables, model.stage_flops(judged), settings.rule)?;
    let stacked = report.stages.last().map_or(0.0, |last| last.stacked_accuracy);
    let kept = if given.against_stacked { report.own_accuracy.max(stacked) } else { report.own_accuracy };
    report.of_thresholds(&stages, &labels, kept, model.full_inference_flops(judged));
    report.flops += report.flops_of_fits;
    report.seconds = start.elapsed().as_secs_f64();
    let speed = report.speed;
    let accelerated = Accelerated { model: model.with_speed(speed)?, report };
    let alone = answers.pop().ok_or_else(|| Error::argument("exits", "at least one", 0))?;
    Ok(Built { accelerated, stages: tables, alone })
}
