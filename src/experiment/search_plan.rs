//! Plan of a search for a dynamic model: search spaces, settings and training objective.

use dht_search::{
    Preset, SearchModel, SearchObjective, SearchSettings, SearchSpace,
    settings::{Dispatch, FullModelSteps},
    space::SevenLayerHeads,
};
use dht_transformer::{Encoder, Pooling};
use rand_chacha::ChaCha8Rng;

use super::choices::SettingsChoice;
use super::plan::RunPlan;
use crate::error::{Error, Result};

/// Search spaces and settings of a preset such as T-DHT, adapted to an experiment.
pub(crate) struct PlannedSearch {
    /// Search space of the last training phase.
    pub(crate) space: SearchSpace,
    settings: SearchSettings,
    /// Search space of the first training phase, and the number of its epochs; `None` for a search with one phase.
    first: Option<(SearchSpace, usize)>,
}

impl PlannedSearch {
    pub(crate) fn new(preset: Preset, plan: &RunPlan, encoder: &Encoder, pooling: Pooling) -> Result<Self> {
        let (layers, heads) = (encoder.layers(), encoder.block_shape().heads);
        // The paper prints settings for 12 layers only.
        let as_published = plan.settings == SettingsChoice::Paper && layers == 12;
        let seven_layers = if as_published { SevenLayerHeads::AsPublished } else { SevenLayerHeads::Standard };
        let space = SearchSpace::new(preset.config(layers, heads, seven_layers)?)?;
        let first = match preset {
            Preset::PDht => Some((Preset::FDht.space(layers, heads)?, Preset::FULL_EPOCHS_BEFORE_FREEZING)),
            Preset::TDht | Preset::SDht | Preset::FDht => None,
        };
        if let Some((_, epochs)) = first.as_ref().filter(|(_, epochs)| plan.epochs <= *epochs) {
            let expected = format!("more than the {epochs} epochs before layers are frozen");
            return Err(Error::Argument { flag: "epochs", expected, got: plan.epochs.to_string() });
        }
        let settings = match plan.settings {
            SettingsChoice::Ours => {
                let schedule = first.as_ref().map_or(1.0, |(_, first)| *first as f64 / plan.epochs as f64);
                our_settings(plan, &space, pooling, schedule)
            }
            SettingsChoice::Paper => {
                SearchSettings { pooling, dispatch: Dispatch::Queue { size: plan.batch }, ..SearchSettings::paper() }
            }
        };
        // The settings are checked before any model is trained.
        settings.check_with(&space)?;
        Ok(Self { space, settings, first })
    }

    /// Creates the training objective of the search.
    pub(crate) fn objective(self, encoder: Encoder, classes: usize, rng: &mut ChaCha8Rng) -> Result<SearchObjective> {
        let Self { space, settings, first } = self;
        Ok(match first {
            None => SearchObjective::new(SearchModel::new(encoder, space, settings, classes, rng)?)?,
            Some((full, epochs)) => {
                let model = SearchModel::new(encoder, full, settings, classes, rng)?;
                SearchObjective::new(model)?.with_next_phase(space, epochs, rng)?
            }
        })
    }
}

/// Search settings of this project. `schedule` is the share of the training run before the second phase, 1 without such
/// a phase. The shares of full-model steps and of random routes are scaled by it, so that the bandits of P-DHT select
/// routes already before its second phase.
fn our_settings(plan: &RunPlan, space: &SearchSpace, pooling: Pooling, schedule: f64) -> SearchSettings {
    let settings = SearchSettings { pooling, ..SearchSettings::for_encoder(space, plan.pretrained()) };
    let FullModelSteps { first, every } = settings.full_model_steps;
    SearchSettings {
        full_model_steps: FullModelSteps { first: first * schedule, every },
        explore_share: settings.explore_share * schedule,
        ..settings
    }
}

#[cfg(test)]
mod tests;
