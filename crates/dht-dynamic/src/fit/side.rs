//! Training of the exits' side layers on the frozen encoder.

use dht_transformer::{AdamWSettings, EncodedDataset, TextClassifier, TrainSettings, Trainer};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::settings::{AccelerateSettings, SideSettings, Targets};
use crate::error::Result;
use crate::exit::ExitKind;
use crate::model::{DynamicModel, ExitModel};
use crate::router::LeavingRule;
use crate::training::{ExitTargets, FrozenExits, FrozenStates};

/// Trains all exits before the last on stored states. Returns the model and the FLOPs of the training.
pub(super) fn train<R: Rng + ?Sized>(
    model: ExitModel,
    texts: &EncodedDataset,
    targets: Targets,
    settings: &SideSettings,
    states: FrozenStates,
    rng: &mut R,
) -> Result<(ExitModel, u64)> {
    let targets = match targets {
        Targets::Labels => ExitTargets::Both { temperature: 1.0 },
        Targets::Predictions | Targets::SoftLabels => ExitTargets::SoftLabels { temperature: 1.0 },
    };
    let mut exits = FrozenExits::new(DynamicModel::new(model, LeavingRule::default())?, targets)?.with_states(states);
    let optimizer = AdamWSettings { learning_rate: settings.learning_rate, ..AdamWSettings::default() };
    let (epochs, batch_size, seed) = (settings.epochs, settings.batch_size, rng.random());
    let trainer = Trainer::new(TrainSettings { epochs, batch_size, seed, optimizer, ..TrainSettings::default() });
    trainer.fit(&mut exits, texts, None, &mut ())?;
    let flops = exits.flops();
    Ok((exits.into_model().model().clone(), flops))
}

/// FLOPs that the training of side layers on these texts will cost; 0 if the settings have none.
pub(crate) fn side_flops(
    classifier: &TextClassifier,
    texts: &EncodedDataset,
    settings: &AccelerateSettings,
) -> Result<u64> {
    let Some(side) = &settings.side else { return Ok(0) };
    let hidden = classifier.encoder().block_shape().hidden;
    let kind = ExitKind::SideLayer { width: side.width(hidden) };
    // Costs do not depend on the parameters.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let model = ExitModel::of_classifier(classifier, settings.exits.as_deref(), (kind, settings.pooling), &mut rng)?;
    let (_, students) = model.exits().split_last().expect("an exit model has an exit");
    let lengths = texts.lengths();
    let steps = lengths.iter().map(|&tokens| {
        let flops = students.iter().map(|exit| exit.flops(tokens));
        flops.map(|flops| flops.forward.0 + flops.backward_weights.0).sum::<u64>()
    });
    // Texts whose states are not kept run through the encoder each time.
    let bytes = size_of::<u16>() * hidden * students.len() * lengths.iter().sum::<usize>();
    let again = 1.0 - (settings.cache_bytes as f64 / bytes.max(1) as f64).min(1.0);
    let again = (again * model.full_inference_flops(texts) as f64) as u64;
    Ok(side.epochs as u64 * (steps.sum::<u64>() + again))
}
