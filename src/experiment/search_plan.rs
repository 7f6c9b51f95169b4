//! The search of a plan: spaces, settings, and the dynamic model.

use dht_search::{
    DynamicModel, Preset, SearchObjective, SearchSettings, SearchSpace,
    reward::RewardShape,
    settings::{Dispatch, ExitLosses, FullModelSteps, RouterKind},
    space::FULL_EPOCHS_BEFORE_FREEZING,
};
use dht_transformer::{Encoder, Pooling};
use rand_chacha::ChaCha8Rng;

use super::plan::{Decision, DispatchChoice, RunPlan};
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
        let (space, first) = match (&plan.space, preset) {
            (Some(config), _) => (SearchSpace::new(config.clone())?, None),
            (None, Preset::PDht) => {
                let full = Preset::FDht.space(layers, heads)?;
                (preset.space(layers, heads)?, Some((full, FULL_EPOCHS_BEFORE_FREEZING)))
            }
            (None, _) => (preset.space(layers, heads)?, None),
        };
        if let Some((_, epochs)) = &first
            && plan.epochs <= *epochs
        {
            let expected = format!("more than the {epochs} epochs before layers are frozen");
            return Err(Error::Argument { flag: "epochs", expected, got: plan.epochs.to_string() });
        }
        let name = match (&plan.space, plan.decide) {
            (Some(_), _) => "custom space".into(),
            (None, Decision::AtTheBase) => preset.name().into(),
            (None, Decision::AtEveryExit) => format!("{preset}, sequential"),
        };
        let settings = settings(plan, &space, pooling);
        // Before any model is trained.
        settings.check_with(&space)?;
        Ok(Self { name, space, settings, first })
    }

    /// The training of its model.
    pub(crate) fn objective(self, encoder: Encoder, classes: usize, rng: &mut ChaCha8Rng) -> Result<SearchObjective> {
        let Self { space, settings, first, .. } = self;
        Ok(match first {
            None => SearchObjective::new(DynamicModel::new(encoder, space, settings, classes, rng)?)?,
            Some((full, epochs)) => {
                let model = DynamicModel::new(encoder, full, settings, classes, rng)?;
                SearchObjective::new(model)?.with_next_phase(space, epochs, rng)?
            }
        })
    }
}

fn settings(plan: &RunPlan, space: &SearchSpace, pooling: Pooling) -> SearchSettings {
    // Where routes end in a tail, the loss of a text is known only at its own exit.
    let own_exit_only = space.base().is_none() || space.tail().is_some();
    let settings = if own_exit_only { SearchSettings::for_preset(Preset::PDht) } else { SearchSettings::default() };
    let settings = SearchSettings { pooling, ..settings };
    let settings = match (plan.pretrained(), own_exit_only) {
        // The shallow layers of a pre-trained model were not trained to be classified from. Within an epoch or two their
        // exits become useful only if every text that passes also trains them.
        (true, false) => SearchSettings {
            exit_losses: ExitLosses::Weighted { weight: 1.0, power: 2.0 },
            reward_shape: RewardShape::Gain { lambda: 0.3 },
            ..settings
        },
        (true, true) => SearchSettings { explore_power: 1.0, ..settings },
        // From scratch all layers first learn together; shallow routes do not harm layers that are already trained.
        (false, _) => SearchSettings {
            full_model_steps: FullModelSteps { first: 0.2, every: 0 },
            explore_share: 0.2,
            explore_power: 1.0,
            ..settings
        },
    };
    let dispatch = match plan.dispatch {
        DispatchChoice::InFlight => Dispatch::InFlight,
        DispatchChoice::Queue => Dispatch::Queue { size: plan.batch },
    };
    let router = match plan.decide {
        Decision::AtTheBase => RouterKind::Bandit,
        Decision::AtEveryExit => RouterKind::SequentialBandit,
    };
    SearchSettings { dispatch, router, ..settings }
}
