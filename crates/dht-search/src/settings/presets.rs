//! The settings of the paper's four configurations.

use super::SearchSettings;
use super::exits::ExitLosses;
use super::routing::ContextDesign;
use crate::reward::RewardShape;
use crate::space::Preset;

impl SearchSettings {
    /// Ours for a preset. Those of the paper are [`paper`](Self::paper) for all four.
    ///
    /// P-DHT's routes end in layers that a passed exit does not run, so that nothing is known of passed exits: it learns
    /// from the chosen exit alone, by −loss, and sees the state without signals.
    pub fn for_preset(preset: Preset) -> Self {
        let ours = Self::default();
        match (preset, ours.reward_shape) {
            (Preset::PDht, RewardShape::Gain { lambda }) => Self {
                context: ContextDesign::State,
                exit_losses: ExitLosses::Chosen,
                reward_shape: RewardShape::Utility { lambda },
                nested_feedback: false,
                ..ours
            },
            _ => ours,
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
