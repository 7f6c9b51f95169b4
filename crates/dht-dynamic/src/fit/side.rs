//! Trains side layers: narrow layers, one for each exit, that read the frozen encoder's hidden states.

use dht_transformer::train::Event;
use dht_transformer::{AdamWSettings, EncodedDataset, TextClassifier, TrainSettings, Trainer};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::settings::{AccelerateSettings, Targets};
use super::step::{FitStep, WatchFit};
use super::texts::FitTexts;
use crate::error::Result;
use crate::exit::ExitKind;
use crate::exit_model::ExitModel;
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::outputs::{normalised_weights, truth_of};
use crate::router::LeavingRule;
use crate::training::{ExitTargets, FrozenExits, FrozenStates};

/// Number of training passes over the texts (epochs).
const EPOCHS: usize = 3;
/// Memory limit, in bytes, for cached hidden states: two bytes for each token, exit and hidden unit. Cached texts run
/// through the encoder once. Other texts run again in each training pass.
const CACHE_BYTES: usize = 2 << 30;

/// Adds new exits to a classifier, without fitting them. The exits have side layers if the settings ask for them.
pub(crate) fn exit_model<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<ExitModel> {
    let hidden = classifier.encoder().block_shape().hidden;
    let kind = match &settings.side {
        Some(side) => ExitKind::SideLayer { width: side.width(hidden) },
        None => ExitKind::Linear,
    };
    ExitModel::of_classifier(classifier, settings.exits.as_deref(), kind, settings.pooling, rng)
}

/// Model with trained side layers, and its exits' predictions for the held-out texts.
pub(crate) struct SideLayers {
    pub(crate) model: ExitModel,
    /// Log-probabilities of each exit for the held-out texts.
    pub(crate) answers: Vec<LogProbabilities>,
    /// FLOPs of training the side layers, and of running the held-out texts through the encoder again.
    pub(crate) flops: u64,
}

impl SideLayers {
    /// Creates a cache for the hidden states of the training texts. It is filled when the encoder runs for the linear
    /// exits. Without side layers in the settings, its size limit is 0.
    pub(crate) fn cache(settings: &AccelerateSettings) -> FrozenStates {
        FrozenStates::new(if settings.side.is_some() { CACHE_BYTES } else { 0 })
    }

    /// Trains the side layers of all exits except the last one, together with the exits' linear classifiers. The
    /// trained model then predicts the held-out texts.
    pub(crate) fn train<R: Rng + ?Sized>(
        model: ExitModel,
        texts: &FitTexts,
        settings: &AccelerateSettings,
        states: FrozenStates,
        watch: WatchFit<'_>,
        rng: &mut R,
    ) -> Result<Self> {
        let targets = match settings.targets {
            Targets::Labels => ExitTargets::Both { temperature: 1.0 },
            Targets::Predictions | Targets::SoftLabels => ExitTargets::SoftLabels { temperature: 1.0 },
        };
        let side = settings.side.clone().unwrap_or_default();
        let model = DynamicModel::new(model, LeavingRule::default())?;
        let labels = truth_of(&texts.training);
        let class_weights = texts.class_weights().map(|weights| normalised_weights(&labels, weights));
        let mut exits = FrozenExits::new(model, targets)?.with_class_weights(class_weights).with_states(states);
        let optimizer = AdamWSettings { learning_rate: side.learning_rate, ..AdamWSettings::default() };
        let (epochs, batch_size, seed) = (EPOCHS, side.batch_size, rng.random());
        let trainer = Trainer::new(TrainSettings { epochs, batch_size, seed, optimizer, ..TrainSettings::default() });
        let mut observer = |event: Event<'_>| {
            if let Event::Step { progress, .. } = event {
                watch(FitStep::SideLayers { share: progress.share });
            }
        };
        trainer.fit(&mut exits, &texts.training, None, &mut observer)?;
        let flops = exits.flops();
        let model = exits.into_model().model().clone();
        let again: u64 = model.exit_flops(texts.judged()).last().map_or(0, |deepest| deepest.iter().sum());
        watch(FitStep::Answers { texts: texts.judged().len() });
        let answers = model.exit_log_probabilities(texts.judged(), settings.batch_size)?;
        Ok(Self { model, answers, flops: flops + again })
    }
}

/// Estimates the FLOPs of training side layers on the texts. Returns 0 if the settings do not ask for side layers.
pub(crate) fn side_flops(
    classifier: &TextClassifier,
    texts: &EncodedDataset,
    settings: &AccelerateSettings,
) -> Result<u64> {
    if settings.side.is_none() {
        return Ok(0);
    }
    // Costs do not depend on the parameters.
    let model = exit_model(classifier, settings, &mut ChaCha8Rng::seed_from_u64(0))?;
    let (_, students) = model.exits().split_last().expect("an exit model has an exit");
    let lengths = texts.lengths();
    let steps = lengths.iter().map(|&tokens| {
        let flops = students.iter().map(|exit| exit.flops(tokens));
        flops.map(|flops| flops.forward.0 + flops.backward_weights.0).sum::<u64>()
    });
    // Texts whose states are not stored run through the encoder in each pass.
    let hidden = classifier.encoder().block_shape().hidden;
    let bytes = size_of::<u16>() * hidden * students.len() * lengths.iter().sum::<usize>();
    let again = 1.0 - (CACHE_BYTES as f64 / bytes.max(1) as f64).min(1.0);
    let again = (again * model.full_inference_flops(texts) as f64) as u64;
    Ok(EPOCHS as u64 * (steps.sum::<u64>() + again))
}
