//! The settings of the paper, and those for its four configurations.

use dht_transformer::Pooling;

use super::SearchSettings;
use super::exits::{ClassifierSharing, ExitLosses};
use super::routing::{ContextDesign, HeadDraws};
use super::training::Dispatch;
use crate::reward::{RewardMemory, RewardShape};
use crate::space::Preset;

impl SearchSettings {
    /// The paper's choices where it states one: queues, contexts \[x ; z\], the loss of the chosen exit only, one
    /// classifier after a pooler, the ratio to the previous batch. Values that it does not state stay at the defaults.
    pub fn paper() -> Self {
        Self {
            dispatch: Dispatch::Queue { size: 32 },
            context: ContextDesign::Paper,
            head_draws: HeadDraws::PerSample,
            exit_losses: ExitLosses::Chosen,
            classifier_sharing: ClassifierSharing::Shared,
            pooling: Pooling::Pooler,
            forgetting_decay: 1.0,
            reward_shape: RewardShape::Ratio,
            reward_memory: RewardMemory::PreviousBatch,
            nested_feedback: false,
            explore_share: 0.0,
            ..Self::default()
        }
    }

    /// This crate's settings for a preset; [`paper`](Self::paper) has the paper's, for all four.
    ///
    /// They are the defaults for all presets but P-DHT. There routes end in layers that a passed exit does not run, so
    /// nothing is known of passed exits: P-DHT learns from the chosen exit only, with −loss as reward, and its contexts
    /// are the state without signals.
    pub fn for_preset(preset: Preset) -> Self {
        let default = Self::default();
        match (preset, default.reward_shape) {
            (Preset::PDht, RewardShape::Gain { lambda }) => Self {
                context: ContextDesign::State,
                exit_losses: ExitLosses::Chosen,
                reward_shape: RewardShape::Utility { lambda },
                nested_feedback: false,
                ..default
            },
            _ => default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_settings_of_a_preset_make_sense_in_its_space() {
        for preset in Preset::ALL {
            let space = preset.space(12, 12).unwrap();
            SearchSettings::for_preset(preset).check_with(&space).unwrap();
            SearchSettings::paper().check_with(&space).unwrap();
        }
        let refused = SearchSettings::default().check_with(&Preset::PDht.space(12, 12).unwrap());
        assert!(matches!(refused, Err(Error::Setting { field: "context", .. })));
    }
}
