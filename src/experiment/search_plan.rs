//! The search of a plan: spaces, settings, and the dynamic model.

use dht_search::{
    Preset, SearchModel, SearchObjective, SearchSettings, SearchSpace,
    settings::{Dispatch, FullModelSteps, RouterKind},
    space::{BaseState, FULL_EPOCHS_BEFORE_FREEZING, SevenLayerHeads},
};
use dht_transformer::{Encoder, Pooling};
use rand_chacha::ChaCha8Rng;

use super::choices::{Decision, DispatchChoice, SettingsChoice};
use super::plan::RunPlan;
use crate::error::{Error, Result};

/// The search of a preset under a plan.
pub(crate) struct PlannedSearch {
    /// The name of the search: the preset, unless the plan changes its space or its decisions.
    pub(crate) name: String,
    /// The space of the last phase.
    pub(crate) space: SearchSpace,
    settings: SearchSettings,
    /// The space of the first phase and its number of epochs, for a search of two phases.
    first: Option<(SearchSpace, usize)>,
}

impl PlannedSearch {
    /// The search for a model of the encoder's size.
    pub(crate) fn new(preset: Preset, plan: &RunPlan, encoder: &Encoder, pooling: Pooling) -> Result<Self> {
        let (layers, heads) = (encoder.layers(), encoder.block_shape().heads);
        // Printed for 12 layers alone.
        let as_published = plan.settings == SettingsChoice::Paper && layers == 12;
        let seven_layers = if as_published { SevenLayerHeads::AsPublished } else { SevenLayerHeads::Standard };
        let space = match &plan.space {
            Some(config) => SearchSpace::new(config.clone())?,
            None => SearchSpace::new(preset.config(layers, heads, seven_layers)?)?,
        };
        let first = match preset {
            Preset::PDht => Some((Preset::FDht.space(layers, heads)?, FULL_EPOCHS_BEFORE_FREEZING)),
            Preset::TDht | Preset::SDht | Preset::FDht => None,
        };
        if let Some((full, epochs)) = &first {
            check_second_phase(&space, full)?;
            if plan.epochs <= *epochs {
                let expected = format!("more than the {epochs} epochs before layers are frozen");
                return Err(Error::Argument { flag: "epochs", expected, got: plan.epochs.to_string() });
            }
        }
        let search = match (&plan.space, plan.decide) {
            (Some(_), _) => "custom space".into(),
            (None, Decision::AtTheBase) => preset.name().into(),
            (None, Decision::AtEveryExit) => format!("{preset}, sequential"),
        };
        let (name, settings) = match plan.settings {
            SettingsChoice::Ours => {
                let schedule = first.as_ref().map_or(1.0, |(_, first)| *first as f64 / plan.epochs as f64);
                (search, our_settings(plan, &space, pooling, schedule))
            }
            SettingsChoice::Paper => {
                let settings = SearchSettings { pooling, dispatch: dispatch(plan), ..SearchSettings::paper() };
                (format!("{search}, the paper's settings"), settings)
            }
        };
        // Before any model is trained.
        settings.check_with(&space)?;
        Ok(Self { name, space, settings, first })
    }

    /// The training of its model.
    pub(crate) fn objective(self, encoder: Encoder, classes: usize, rng: &mut ChaCha8Rng) -> Result<SearchObjective> {
        let Self { space, settings, first, .. } = self;
        Ok(match first {
            None => SearchObjective::new(SearchModel::new(encoder, space, settings, classes, rng)?)?,
            Some((full, epochs)) => {
                let model = SearchModel::new(encoder, full, settings, classes, rng)?;
                SearchObjective::new(model)?.with_next_phase(space, epochs, rng)?
            }
        })
    }
}

/// Refuses a space that P-DHT cannot enter after F-DHT.
fn check_second_phase(space: &SearchSpace, full: &SearchSpace) -> Result<()> {
    let refused = |expected: String, got: &str| Err(Error::Argument { flag: "space", expected, got: got.into() });
    if space.tail().is_none() {
        let expected = "a space with frozen last layers, such as `tail = 2`, for P-DHT's epochs after F-DHT's; T-DHT, S-DHT \
                        and F-DHT take one without";
        return refused(expected.into(), "a space without a tail");
    }
    if space.is_tree() {
        let expected = "an integrated search (`kind = \"integrated\"`), as that of F-DHT's epochs before it";
        return refused(expected.into(), "a tree search");
    }
    let base = full.base_layers();
    if space.base_layers() != base && space.config().base_state != BaseState::Embedding {
        let expected = format!(
            "`base_state = {{ pre_pass = {{ layers = {base} }} }}`, the base layers of F-DHT's epochs before it, or \
             `base_state = \"embedding\"`"
        );
        return refused(expected, &format!("contexts from {} layers", space.base_layers()));
    }
    Ok(())
}

fn dispatch(plan: &RunPlan) -> Dispatch {
    match plan.dispatch {
        DispatchChoice::InFlight => Dispatch::InFlight,
        DispatchChoice::Queue => Dispatch::Queue { size: plan.batch },
    }
}

/// This project's settings. `schedule` is the share of the training to which the shares of full-model steps and random
/// routes refer: the first phase of P-DHT, so that its bandits choose before the switch too; otherwise all of it.
fn our_settings(plan: &RunPlan, space: &SearchSpace, pooling: Pooling, schedule: f64) -> SearchSettings {
    let settings = SearchSettings { pooling, ..SearchSettings::for_encoder(space, plan.pretrained()) };
    let router = match plan.decide {
        Decision::AtTheBase => RouterKind::Bandit,
        Decision::AtEveryExit => RouterKind::SequentialBandit,
    };
    let FullModelSteps { first, every } = settings.full_model_steps;
    SearchSettings {
        dispatch: dispatch(plan),
        router,
        full_model_steps: FullModelSteps { first: first * schedule, every },
        explore_share: settings.explore_share * schedule,
        ..settings
    }
}

#[cfg(test)]
mod tests;
