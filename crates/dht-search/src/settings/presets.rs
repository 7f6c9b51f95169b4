//! Presets of settings: the DHT paper's published settings, and this crate's recommendations.

use dht_dynamic::exit::ExitKind;
use dht_transformer::Pooling;

use super::bandits::{HeadSetPrior, Normalization};
use super::exits::{ClassifierSharing, ExitLosses};
use super::routing::{ContextDesign, HeadArms, HeadDraws, PinnedHeads, RouterKind};
use super::settings::SearchSettings;
use super::training::{Dispatch, FullModelSteps, LossSource};
use crate::cost::{CostModel, LayerHeadCount, WidthCoupling};
use crate::reward::{HeadFeedback, RewardMemory, RewardShape};
use crate::space::{Preset, SearchSpace};

impl SearchSettings {
    /// Prior precision of the head-set bandit in [`paper`](Self::paper). It replaces the DHT paper's 0, a prior with
    /// infinite variance that cannot be computed. A weight starts with a standard deviation of 32, so that the first
    /// rewards dominate.
    pub const PUBLISHED_PRIOR_FLOOR: f64 = 1e-3;

    /// Returns the DHT paper's settings as published. They are for comparison, not for production.
    ///
    /// Where the paper contradicts itself or cannot be computed, [`deviations`](Self::deviations) lists the
    /// interpretation used here. The same settings apply to all four [presets](Preset).
    ///
    /// | the paper | setting |
    /// |---|---|
    /// | Algorithm 3: a queue for each depth, the base layers twice | [`Dispatch::Queue`] |
    /// | contexts \[x ; z\] of 168, 87 and 13 dimensions (7.1, 7.3) | [`ContextDesign::Paper`] |
    /// | features of the arms from all training texts (4.2) | `arm_feature_texts: None` |
    /// | rolling normalisation (7.2) | [`Normalization::Rolling`] |
    /// | rewards: a ratio to the previous batch (4.3) | [`RewardShape::Ratio`], [`RewardMemory::PreviousBatch`] |
    /// | one arm for each head "in total", a head set for each sample (4.2) | [`HeadArms::PerHead`], [`HeadDraws::PerSample`] |
    /// | binary feedback: 1 is more effective (4.3) | [`HeadFeedback::Standard`] |
    /// | the head-set bandit is run and rewarded for every H (4.2) | `full_set_feedback: true` |
    /// | TSB starts with mean 1 and precision 0 (3.2) | [`HeadSetPrior::AsPublished`] with [`PUBLISHED_PRIOR_FLOOR`](Self::PUBLISHED_PRIOR_FLOOR) |
    /// | LinUCB without forgetting (Algorithm 1) | `forgetting_decay: 1.0` |
    /// | bandits from the first batch on, all epochs (Algorithm 2) | no random routes, no full-model steps, all losses |
    /// | one pooler and classifier, the loss of the chosen exit | [`ClassifierSharing::Shared`], [`Pooling::Pooler`], [`ExitLosses::Chosen`] |
    /// | cost: layers × heads (6.2) | [`CostModel::LayerHeadProduct`]; without effect, since the ratio contains the cost |
    ///
    /// The paper gives no value for LinUCB's exploration α and precision λ, for the reward factor κ (its α, β₁ and
    /// β_cp) and for the size of a queue, and does not say which heads are pinned. This preset has α = .1, λ = 1, κ = 1
    /// and a queue size of 32, and pins the heads of the largest norm.
    pub fn paper() -> Self {
        let ours = Self::default();
        Self {
            dispatch: Dispatch::Queue { size: 32 },
            context: ContextDesign::Paper,
            router: RouterKind::Bandit,
            head_arms: HeadArms::PerHead,
            head_draws: HeadDraws::PerSample,
            pinned_heads: PinnedHeads::LargestNorm,
            cost_model: CostModel::LayerHeadProduct(LayerHeadCount::AsExecuted),
            width_coupling: WidthCoupling::Heads,
            exit_losses: ExitLosses::Chosen,
            full_model_steps: FullModelSteps::default(),
            soft_labels: None,
            exit_kind: ExitKind::Linear,
            last_exit_pooling: None,
            classifier_sharing: ClassifierSharing::Shared,
            pooling: Pooling::Pooler,
            exploration: ours.exploration,
            prior_precision: ours.prior_precision,
            forgetting_decay: 1.0,
            head_set_prior: HeadSetPrior::AsPublished,
            head_set_prior_precision: Self::PUBLISHED_PRIOR_FLOOR,
            head_set_prior_weight: 1.0,
            kappa: ours.kappa,
            reward_shape: RewardShape::Ratio,
            reward_memory: RewardMemory::PreviousBatch,
            head_feedback: HeadFeedback::Standard,
            full_set_feedback: true,
            loss_source: LossSource::AllEpochs,
            nested_feedback: false,
            normalization: Normalization::Rolling,
            // Without effect: no route is random.
            warm_up_contexts: ours.warm_up_contexts,
            explore_share: 0.0,
            explore_power: ours.explore_power,
            arm_feature_texts: None,
        }
    }

    /// Returns this crate's recommended settings for a preset; [`paper`](Self::paper) returns the DHT paper's settings.
    ///
    /// They are the defaults for all presets except P-DHT. The routes of P-DHT end in frozen layers that run after the
    /// selected exit only, so that the losses at passed exits are unknown. P-DHT therefore learns from the selected
    /// exit only, with −loss as reward. Its contexts are pooled states without exit signals.
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

    /// Returns this crate's recommended settings for a search space and an encoder with random or pre-trained weights.
    ///
    /// An encoder with random weights trains as the full model for the first fifth of the training run, so that all
    /// layers learn together before shallow routes are trained. The first layers of a pre-trained encoder were not
    /// trained for classification. Their exits become useful within one or two epochs only if every text trains all
    /// exits that it passes.
    ///
    /// # Examples
    /// ```
    /// use dht_search::{Preset, SearchSettings};
    ///
    /// let space = Preset::TDht.space(12, 12)?;
    /// let settings = SearchSettings::for_encoder(&space, false);
    /// assert_eq!(settings.full_model_steps.first, 0.2);
    /// settings.check_with(&space)?;
    /// # Ok::<(), dht_search::Error>(())
    /// ```
    pub fn for_encoder(space: &SearchSpace, pretrained: bool) -> Self {
        // Where routes end in a tail, the loss of a text is known only at its own exit.
        let own_exit_only = space.base().is_none() || space.tail().is_some();
        let settings = if own_exit_only { Self::for_preset(Preset::PDht) } else { Self::default() };
        match (pretrained, own_exit_only) {
            (true, false) => Self {
                exit_losses: ExitLosses::Weighted { weight: 1.0, power: 2.0 },
                reward_shape: RewardShape::Gain { lambda: 0.3 },
                pooling: Pooling::Mean,
                ..settings
            },
            (true, true) => Self { explore_power: 1.0, pooling: Pooling::Mean, ..settings },
            (false, _) => Self {
                full_model_steps: FullModelSteps { first: 0.2, every: 0 },
                explore_share: 0.2,
                explore_power: 1.0,
                pooling: Pooling::Cls,
                ..settings
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use dht_dynamic::Error as Dynamic;

    #[test]
    fn the_settings_of_a_preset_make_sense_in_its_space() {
        for preset in Preset::ALL {
            let space = preset.space(12, 12).unwrap();
            SearchSettings::for_preset(preset).check_with(&space).unwrap();
            SearchSettings::paper().check_with(&space).unwrap();
        }
        let refused = SearchSettings::default().check_with(&Preset::PDht.space(12, 12).unwrap());
        assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Argument { name: "context", .. }))));
    }
}
