//! Makes a dynamic model of a fine-tuned classifier without touching its weights.
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//!                         frozen                    a·ln p(n-gram) + b·ln p(exit)
//! ```
//!
//! 1. The encoder runs once over the texts. The pooled states at each exit are kept, and of as many texts as there is
//!    [room](AccelerateSettings::cache_bytes) for, all states.
//! 2. Each exit is a multinomial logistic regression on standardised states, fitted to convergence; C is the one of the
//!    least loss on held-out texts. Folded into a linear classifier it costs nothing more. Exits that are trained together
//!    with the encoder stay far from that optimum, and cost the encoder accuracy.
//! 3. From there each exit and a [narrow layer](crate::settings::ExitKind::SideLayer) beside it learn together for some passes over
//!    the states, from labels and from what the classifier says: first layers know too little that is linear.
//! 4. The [n-gram classifier](crate::model::NgramClassifier) is fitted on the same texts. It reads each text before the encoder does
//!    and is wrong on other texts than the encoder.
//! 5. At each exit two weights [stack](crate::model::Stacker) both, fitted on held-out texts.
//! 6. A text goes on while 1 − max p of the stacked probabilities is not below a threshold, the model's
//!    [speed](DynamicModel::set_speed); [other routers](AccelerateSettings::router) are options. The [`Report`] has the curve of accuracy against FLOPs on the held-out texts; the
//!    model begins with the cheapest threshold at which they [lose nothing](Stages::lossless) against the classifier.
//!
//! The classifier's own logits at the last exit are its own to the bit, whatever is stacked on them.

mod exits;
mod parts;
mod report;
mod routers;
mod settings;
mod side;
mod states;

use std::time::Instant;

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::Rng;

use crate::error::{Error, Result};
use crate::evaluation::{LeavingRule, Stages, stage_flops, stage_log_probabilities};
use crate::linear_model;
use crate::model::{DynamicModel, FrontExit, FullModel, NgramClassifier, SeenTexts, Stacker};
use crate::settings::{ExitKind, SearchSettings};
use crate::training::{FrozenStates, fit_router};
use exits::{FittedExit, Judge, fit_exit};
use parts::Parts;
use states::{States, states};

pub use crate::evaluation::SpeedPoint;
pub use parts::Texts;
pub use report::{Report, StackedOn, StageReport};
pub use settings::{AccelerateSettings, SideSettings, Targets};

/// A dynamic model and how it was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accelerated {
    /// The model, at the cheapest speed at which the judged texts [lose nothing](crate::evaluation::Stages::lossless).
    pub model: DynamicModel,
    /// What was fitted, and what the speeds cost.
    pub report: Report,
}

/// Fewer texts than this are refused by [`accelerate`](fn@accelerate): nothing can be fitted and judged on them.
pub const LEAST_TEXTS: usize = 20;

/// Makes a dynamic model of a fine-tuned classifier of classes: exits, front exit, stacking and speeds. The classifier stays as
/// it is.
///
/// # Errors
/// [`Error::Setting`] for settings out of range, fewer than 20 texts, held-out texts of which more than half are training texts, texts of several labels or other classes than the
/// classifier's, unlabelled texts where nothing is held out, states that are not finite; as [`DynamicModel::of_classifier`] and [`NgramClassifier::fit`]; what the encoder reports.
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
    let search = SearchSettings {
        exit_kind: side.map_or(ExitKind::Linear, |side| ExitKind::SideLayer { width: side.width(hidden) }),
        pooling: settings.pooling,
        ..routers::search_settings(settings.router)
    };
    let model = DynamicModel::of_classifier(classifier, settings.exits.as_deref(), search, rng)?
        .with_seen_texts(SeenTexts::of(texts.all()));
    for data in texts.all() {
        model.model().check_texts(data)?;
    }
    let mut kept = FrozenStates::new(if side.is_some() { settings.cache_bytes } else { 0 });
    let of = |data: &EncodedDataset, kept: &mut FrozenStates| {
        states(model.model(), settings.pooling, data, settings.batch_size, kept)
    };
    let training = of(&parts.training, &mut kept)?;
    let other = parts.held_out.as_ref().map(|data| of(data, &mut FrozenStates::default())).transpose()?;
    let mut report = Report { seconds_of_states: start.elapsed().as_secs_f64(), ..Report::new(&parts) };
    report.flops = parts.all().map(|data| model.full_inference_flops(data)).sum::<Result<u64>>()?;

    let parts = parts.with_targets(settings.targets, &training, other.as_ref());
    let fitted = fit_exits(&model, &parts, (&training, other.as_ref()), settings)?;
    model.set_linear_exits(fitted.iter().map(|exit| (&*exit.weights, &*exit.bias)))?;
    let judged_own = other.as_ref().map_or(&training.own, |other| &other.own);
    report.flops_of_fits = fitted.iter().map(|exit| exit.flops).sum();
    let c: Vec<Option<f64>> = fitted.iter().map(|exit| Some(exit.c)).chain([None]).collect();
    report.seconds_of_exits = start.elapsed().as_secs_f64() - report.seconds_of_states;
    let (model, exits) = match (side, &parts.held_out) {
        (Some(side), Some(held_out)) => {
            let (model, flops) = side::train(model, &parts.training, settings.targets, side, kept, rng)?;
            report.side = Some(side.width(hidden));
            // The held-out texts run again, through the exits too.
            let again = stage_flops(&model, held_out)?.last().map_or(0, |deepest| deepest.iter().sum());
            report.flops += flops + again;
            let exits = stage_log_probabilities(&model, held_out, settings.batch_size)?;
            (model, exits)
        }
        _ => (model, fitted.into_iter().map(|exit| exit.judged).chain([judged_own.clone()]).collect()),
    };
    report.seconds_of_side = start.elapsed().as_secs_f64() - report.seconds_of_states - report.seconds_of_exits;

    let labels = parts.judged_labels();
    let (mut model, mut tables) = match &settings.ngram {
        None => (model, Vec::new()),
        Some(ngram) => {
            let fit = NgramClassifier::fit(&parts.training, ngram, FullModel::of(classifier), rng)?;
            let front = match &parts.held_out {
                Some(held_out) => fit.classifier.log_probabilities_of_all(held_out)?,
                None => fit.out_of_fold,
            };
            let mut flops = fit.flops;
            if let Some(held_out) = &parts.held_out {
                flops += fit.classifier.flops_of_all(held_out).iter().sum::<u64>();
            }
            let stack = |exit| {
                let (stacker, of_fit) = Stacker::fit_counted(&front, exit, &labels)?;
                flops += of_fit;
                Ok(stacker)
            };
            let stackers = exits.iter().map(stack).collect::<Result<Vec<_>>>()?;
            report.flops_of_fits += flops;
            report.front(fit.c, &front, &labels);
            let model = model.with_front(FrontExit::new(fit.classifier, stackers))?;
            (model, vec![front])
        }
    };
    for (at, exit) in exits.iter().enumerate() {
        let stacker = model.front().map(|front| front.stackers()[at]);
        let stacked = match (stacker, tables.first()) {
            (Some(stacker), Some(front)) => stacker.stack(front, exit)?,
            _ => exit.clone(),
        };
        report.exit(model.space().exits()[at], c[at], exit, stacker, &stacked, &labels);
        tables.push(stacked);
    }
    let judged = parts.held_out.as_ref().unwrap_or(&parts.training);
    let full_flops = model.full_inference_flops(judged)?;
    report.own_accuracy = judged_own.accuracy(&labels);
    match LeavingRule::of(settings.router) {
        Some(rule) => {
            let stages = Stages::new(&tables, stage_flops(&model, judged)?, rule)?;
            report.of_thresholds(&stages, &labels, full_flops);
        }
        None => {
            let Some(held_out) = &parts.held_out else {
                return Err(Error::setting("router", "a threshold, where nothing is held out", "a bandit"));
            };
            report.flops += fit_router(&mut model, held_out, settings.batch_size)?;
            report.of_bandit(routers::curve(&model, held_out, full_flops, settings.batch_size)?);
        }
    }
    report.flops += report.flops_of_fits;
    report.seconds = start.elapsed().as_secs_f64();
    let speed = report.speed;
    Ok(Accelerated { model: model.with_speed(speed)?, report })
}

/// The exits before the last.
fn fit_exits(
    model: &DynamicModel,
    parts: &Parts,
    (training, other): (&States, Option<&States>),
    settings: &AccelerateSettings,
) -> Result<Vec<FittedExit>> {
    let (width, classes) = (model.encoder().block_shape().hidden, model.model().classes());
    let labels = parts.labels();
    let targets = match settings.targets {
        Targets::Labels | Targets::Predictions => linear_model::Targets::Classes(&labels),
        Targets::SoftLabels => linear_model::Targets::Soft(training.own.values()),
    };
    let judged = parts.judged_labels();
    let fit = |(exit, pooled): (usize, &Vec<f32>)| {
        let judge = match (other, &parts.fold_of) {
            (Some(other), _) => Judge::HeldOut { states: &other.pooled[exit], labels: &judged },
            (None, fold_of) => Judge::CrossFit { fold_of, labels: &judged },
        };
        fit_exit(pooled, width, targets, classes, &settings.c, &judge)
    };
    training.pooled.iter().enumerate().map(fit).collect()
}
