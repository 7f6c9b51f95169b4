//! Training of the exits' side layers on the frozen encoder.

use dht_transformer::{AdamWSettings, EncodedDataset, TrainSettings, Trainer};
use rand::{Rng, RngExt};

use super::settings::{SideSettings, Targets};
use crate::error::Result;
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
