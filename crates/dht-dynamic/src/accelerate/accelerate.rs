//! The one call that makes a dynamic model.

use std::time::Instant;

use dht_transformer::{EncodedDataset, TextClassifier, tensors::most_probable};
use rand::Rng;

use super::linear_fit::fit_exits;
use super::parts::{Parts, Texts};
use super::pooled_states::states;
use super::report::Report;
use super::settings::AccelerateSettings;
use super::side_training;
use crate::error::{Error, Result};
use crate::evaluation::stages::{exit_flops, exit_tables};
use crate::evaluation::{SpeedPoint, Stages, evaluate, stage_flops};
use crate::exit::{ExitKind, FrontExit, NgramClassifier, Stacker};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, ExitModel, SeenTexts, exit_log_probabilities};
use crate::router::Router;
use crate::training::FrozenStates;

/// A dynamic model and how it was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accelerated {
    /// The model, at the cheapest speed at which the judged texts [lose nothing](crate::evaluation::Stages::lossless).
    pub model: DynamicModel,
    /// What was fitted, and what the speeds cost.
    pub report: Report,
}

impl Accelerated {
    /// The same with another router, whose curve is measured on held-out texts at some speeds, the lowest first: one pass each, and one
    /// for the classifier alone. The model begins at the highest of them at which it is as accurate as the classifier, at the
    /// first where none is. A router of one speed has no curve: give it to the [model](DynamicModel::with_router).
    ///
    /// # Errors
    /// [`Error::Setting`] for no speeds or no texts, and for a speed that is none of the router's; what the router and the encoder
    /// report.
    pub fn with_router(
        self,
        router: Box<dyn Router>,
        held_out: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
    ) -> Result<Self> {
        let Self { model, mut report } = self;
        for (field, given) in [("speeds", speeds.len()), ("held-out texts", held_out.len())] {
            if given == 0 {
                return Err(Error::setting(field, "at least one", "none"));
            }
        }
        let own = exit_log_probabilities(model.model(), held_out, batch_size)?.pop().unwrap_or_default();
        let right = own.iter().zip(&held_out.samples).filter(|(row, sample)| most_probable(row) == sample.label);
        report.own_accuracy = right.count() as f64 / held_out.len() as f64;
        let model = model.with_router(router);
        let full_flops = model.full_inference_flops(held_out);
        let point = |speed: &f64| {
            let found = evaluate(&model.with_speed(*speed)?, held_out, batch_size)?;
            let flops_ratio = (found.flops + found.bandit_flops) as f64 / full_flops.max(1) as f64;
            Ok(SpeedPoint { speed: *speed, flops_ratio, accuracy: found.confusion.accuracy() })
        };
        report.of_curve(speeds.iter().map(point).collect::<Result<_>>()?);
        Ok(Self { model: model.with_speed(report.speed)?, report })
    }
}

/// Fewer texts than this are refused by [`accelerate`](fn@accelerate): nothing can be fitted and judged on them.
pub const LEAST_TEXTS: usize = 20;

/// Makes a dynamic model of a fine-tuned classifier of classes: exits, front exit, stacking and speeds. The classifier stays as
/// it is.
///
/// # Errors
/// [`Error::Setting`] for settings out of range, fewer than 20 texts, held-out texts of which more than half are training texts, texts of several labels or other classes than the
/// classifier's, unlabelled texts where nothing is held out, states that are not finite; as [`ExitModel::of_classifier`](crate::ExitModel::of_classifier) and [`NgramClassifier::fit`]; what the encoder reports.
pub fn accelerate<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Accelerated> {
    settings.check()?;
    if texts.training.len() < LEAST_TEXTS {
        return Err(Error::setting("texts", format!("at least {LEAST_TEXTS}"), texts.training.len()));
    }
    texts.check_held_out()?;
    let start = Instant::now();
    let parts = Parts::new(texts, settings, rng)?;
    let hidden = classifier.encoder().block_shape().hidden;
    let side = settings.side.as_ref().filter(|_| parts.held_out.is_some());
    let kind = side.map_or(ExitKind::Linear, |side| ExitKind::SideLayer { width: side.width(hidden) });
    let model = ExitModel::of_classifier(classifier, settings.exits.as_deref(), (kind, settings.pooling), rng)?;
    for data in texts.all() {
        model.check_texts(data)?;
    }
    let mut kept = FrozenStates::new(if side.is_some() { settings.cache_bytes } else { 0 });
    let of = |data: &EncodedDataset, kept: &mut FrozenStates| {
        states(&model, settings.pooling, data, settings.batch_size, kept)
    };
    let training = of(&parts.training, &mut kept)?;
    let other = parts.held_out.as_ref().map(|data| of(data, &mut FrozenStates::default())).transpose()?;
    let mut report = Report { seconds_of_states: start.elapsed().as_secs_f64(), ..Report::new(&parts) };
    report.flops = parts.all().map(|data| model.full_inference_flops(data)).sum();

    let parts = parts.with_targets(settings.targets, &training, other.as_ref());
    let fitted = fit_exits(&model, &parts, (&training, other.as_ref()), settings)?;
    model.set_linear_parts(fitted.iter().map(|exit| (&*exit.weights, &*exit.bias)))?;
    let judged_own = other.as_ref().map_or(&training.own, |other| &other.own);
    report.flops_of_fits = fitted.iter().map(|exit| exit.flops).sum();
    let c: Vec<Option<f64>> = fitted.iter().map(|exit| Some(exit.c)).chain([None]).collect();
    report.seconds_of_exits = start.elapsed().as_secs_f64() - report.seconds_of_states;
    let (model, exits) = match (side, &parts.held_out) {
        (Some(side), Some(held_out)) => {
            let (model, flops) = side_training::train(model, &parts.training, settings.targets, side, kept, rng)?;
            report.side = Some(side.width(hidden));
            // The held-out texts run again, through the exits too.
            let again: u64 = exit_flops(&model, held_out).last().map_or(0, |deepest| deepest.iter().sum());
            report.flops += flops + again;
            let exits = exit_tables(&model, held_out, settings.batch_size)?;
            (model, exits)
        }
        _ => (model, fitted.into_iter().map(|exit| exit.judged).chain([judged_own.clone()]).collect()),
    };
    report.seconds_of_side = start.elapsed().as_secs_f64() - report.seconds_of_states - report.seconds_of_exits;

    let labels = parts.judged_labels();
    let (stackers, front) = match &settings.ngram {
        None => (Vec::new(), None),
        Some(ngram) => {
            let fit = NgramClassifier::fit(&parts.training, ngram, FullModel::of(classifier), rng)?;
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
            (exits.iter().map(stack).collect::<Result<Vec<_>>>()?, Some((fit.classifier, front)))
        }
    };
    let mut tables: Vec<LogProbabilities> = front.iter().map(|(_, front)| front.clone()).collect();
    for (at, exit) in exits.iter().enumerate() {
        let stacker = stackers.get(at).copied();
        let stacked = match (stacker, &front) {
            (Some(stacker), Some((_, front))) => stacker.stack(front, exit)?,
            _ => exit.clone(),
        };
        report.exit(model.depths()[at], c[at], exit, stacker, &stacked, &labels);
        tables.push(stacked);
    }
    let mut model = DynamicModel::new(model, settings.rule)?.with_seen_texts(SeenTexts::of(texts.all()));
    if let Some((ngram, _)) = front {
        model = model.with_front(FrontExit::new(ngram, stackers))?;
    }
    let judged = parts.held_out.as_ref().unwrap_or(&parts.training);
    report.own_accuracy = judged_own.accuracy(&labels);
    let stages = Stages::new(&tables, stage_flops(&model, judged), settings.rule)?;
    report.of_thresholds(&stages, &labels, model.full_inference_flops(judged));
    report.flops += report.flops_of_fits;
    report.seconds = start.elapsed().as_secs_f64();
    let speed = report.speed;
    Ok(Accelerated { model: model.with_speed(speed)?, report })
}
