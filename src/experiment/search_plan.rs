//! Which search a plan asks for: its spaces, its settings, and the model that runs it.

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

/// A preset under a plan.
pub(crate) struct PlannedSearch {
    /// What it is called: the preset, or that it is something else.
    pub(crate) name: String,
    /// The space in which it ends.
    pub(crate) space: SearchSpace,
    settings: SearchSettings,
    /// The space in which it begins, and how many epochs it stays there.
    first: Option<(SearchSpace, usize)>,
}

impl PlannedSearch {
    /// The search of a model of this size.
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
        // Before anything is trained.
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
    // Where exits share their last layers, a text is known at its own exit alone.
    let alone = space.base().is_none() || space.tail().is_some();
    let ours = if alone { SearchSettings::for_preset(Preset::PDht) } else { SearchSettings::default() };
    let ours = SearchSettings { pooling, ..ours };
    let ours = match (plan.pretrained(), alone) {
        // The layers of a pre-trained model know something of every text, but no shallow row was made to be read: within
        // an epoch or two it is only where every text that comes by trains it.
        (true, false) => SearchSettings {
            exit_losses: ExitLosses::Weighted { weight: 1.0, power: 2.0 },
            reward_shape: RewardShape::Gain { lambda: 0.3 },
            ..ours
        },
        (true, true) => SearchSettings { explore_power: 1.0, ..ours },
        // From scratch all layers learn together first; what they know then, shallow routes do not spoil.
        (false, _) => SearchSettings {
            full_model_steps: FullModelSteps { first: 0.2, every: 0 },
            explore_share: 0.2,
            explore_power: 1.0,
            ..ours
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
    SearchSettings { dispatch, router, ..ours }
}
