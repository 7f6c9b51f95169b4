//! Settings of a search, including every value and choice that the DHT paper (Meng et al. 2023) leaves open.

use dht_dynamic::ExitSettings;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::router::Patience;
use dht_transformer::Pooling;
use serde::{Deserialize, Serialize};

use super::bandits::{HeadSetPrior, Normalization};
use super::exits::{ClassifierSharing, ExitLosses};
use super::routing::{ContextDesign, HeadArms, HeadDraws, PerBandit, PinnedHeads, RouterKind};
use super::training::{Dispatch, FullModelSteps, LossSource, SoftLabels};
use crate::cost::{CostModel, WidthCoupling};
use crate::error::{Error, Result};
use crate::reward::{HeadFeedback, RewardMemory, RewardRule, RewardShape};
use crate::space::SearchSpace;

/// Settings of a search: routers, their contexts (inputs) and rewards, and the training of exits.
///
/// For values that the DHT paper (Meng et al. 2023) does not state, the **defaults are not from the paper**.
///
/// There are four bandits. In a tree search, the depth bandit (UCB_L in the paper) selects the exit, and the head-count
/// bandit (UCB_H) selects the number of heads in each group of layers. In an integrated search, the joint bandit
/// (UCB_cp) selects both at once. The head-set bandit (TSB) selects which heads are kept.
///
/// # Examples
/// ```
/// use dht_search::SearchSettings;
/// use dht_search::reward::RewardShape;
///
/// let reward_shape = RewardShape::Gain { lambda: 0.1 };
/// let settings = SearchSettings { reward_shape, ..SearchSettings::default() };
/// settings.check()?;
/// // Several settings require others: the gain needs the losses of passed exits.
/// let inconsistent = SearchSettings { reward_shape, ..SearchSettings::paper() };
/// assert!(inconsistent.check().is_err());
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// Dispatch of samples with different depths in training: in one graph, or in queues by depth.
    pub dispatch: Dispatch,
    /// Contents of the bandits' contexts (input vectors).
    pub context: ContextDesign,
    /// Router that decides the depth of each sample.
    pub router: RouterKind,
    /// Arms of the head-set bandit, which selects the heads.
    pub head_arms: HeadArms,
    /// Sharing of head sets among the samples of a batch.
    pub head_draws: HeadDraws,
    /// Selection of the pinned heads, which every head set contains.
    pub pinned_heads: PinnedHeads,
    /// Cost that the bandits weigh against the expected loss.
    pub cost_model: CostModel,
    /// Coupling of heads and feed-forward width: whether dropping heads also narrows the feed-forward layer. If so,
    /// neurons are sorted by magnitude when the model is built, so that the first neurons are the most important.
    pub width_coupling: WidthCoupling,
    /// Training losses of early exits: which exits a sample trains, and their weights.
    pub exit_losses: ExitLosses,
    /// Steps that run the full model instead of the selected routes.
    pub full_model_steps: FullModelSteps,
    /// Soft labels (class probabilities) of a teacher, in addition to the labels; `None` for labels alone.
    pub soft_labels: Option<SoftLabels>,
    /// Type of the exits: linear, or a side layer.
    pub exit_kind: ExitKind,
    /// Pooling of the last exit, which is then linear whatever the type of the other exits. With `None` the last exit
    /// has the same type and pooling as the others. Requires a classifier for each exit.
    ///
    /// In FastBERT, for example, the last exit is the classifier of the fine-tuned model from which FastBERT is built.
    pub last_exit_pooling: Option<Pooling>,
    /// Sharing of a classifier among the exits: one for all exits, or one for each.
    pub classifier_sharing: ClassifierSharing,
    /// Pooling of token states in the exits' classifiers.
    pub pooling: Pooling,
    /// Exploration factor α of LinUCB: while exploring, an arm's score for the context w is wᵀθ + α·√(wᵀA⁻¹w) (DHT
    /// paper, Algorithm 1; Li et al. 2010).
    pub exploration: PerBandit,
    /// Prior precision λ of LinUCB: the matrix A starts as λI and the vector b as 0, with weights θ = A⁻¹b.
    pub prior_precision: f64,
    /// Forgetting decay γ of LinUCB, in (0, 1]: an observation that was made k updates ago has weight γᵏ. It corrects
    /// for rewards that change while the model learns. The DHT paper has no forgetting (γ = 1).
    pub forgetting_decay: f64,
    /// Prior mean of the weights of the head-set bandit, which selects the heads.
    pub head_set_prior: HeadSetPrior,
    /// Prior precision s of the head-set bandit: the weights of each head start as N(0, 1/s) (Chapelle and Li 2011), or
    /// as N(1, 1/s) with [`HeadSetPrior::AsPublished`]. The DHT paper's 0 is an improper prior.
    pub head_set_prior_precision: f64,
    /// Weight λ > 0 of the current posterior in each update of the head-set bandit. The new mean is argmin over p of
    /// (λ/2)·Σ sⱼ(pⱼ − gⱼ)² + Σ log(1 + exp(−y·pᵀw)), with the old mean g, context w and reward y (DHT paper, section
    /// 3.2). λ does not change the precisions s. A weight of 1 is Bayes' rule; the DHT paper (Meng et al. 2023) gives
    /// no value.
    pub head_set_prior_weight: f64,
    /// Factor κ of the rewards κ·(reference mean of δ)/δ: α, β₁ and β_cp in the DHT paper (Meng et al. 2023, section
    /// 4.3). The cost-weighted loss δ is loss · L for the depth bandit, with the route's number of layers L. It is loss
    /// · L · H for the head-count and joint bandits, with the number of heads H. κ has no effect on
    /// [`RewardShape::Utility`] and [`RewardShape::Gain`].
    pub kappa: PerBandit,
    /// Formula that converts losses and costs into rewards (DHT paper, section 4.3).
    pub reward_shape: RewardShape,
    /// Samples whose mean cost-weighted loss δ is the reference of a reward.
    pub reward_memory: RewardMemory,
    /// Rule for the binary reward of the head-set bandit, which selects the heads. The DHT paper's formula for this
    /// reward contradicts its text.
    pub head_feedback: HeadFeedback,
    /// True if the head-set bandit, which selects the heads, also learns from samples that keep all heads of a group of
    /// layers. False by default, since no heads were selected for such samples.
    ///
    /// The algorithm of the DHT paper (sections 3.2 and 4.2) corresponds to true: it runs this bandit even if all heads
    /// are kept, and rewards each kept head.
    pub full_set_feedback: bool,
    /// Losses from which the bandits learn.
    pub loss_source: LossSource,
    /// True if a sample also updates the arms of the exits that it passed, from its losses there.
    pub nested_feedback: bool,
    /// Normalisation of the bandits' contexts (input vectors).
    pub normalization: Normalization,
    /// Number of contexts (inputs) that the bandits observe on random routes before they learn. The scaling of contexts
    /// is then frozen, so that all updates of a posterior have the same scaling.
    ///
    /// A model trained on fewer contexts runs all layers and heads at inference. [`Normalization::Rolling`] ignores
    /// this setting.
    pub warm_up_contexts: usize,
    /// Share of a training run, from 0, in which routes are random while the bandits already learn. Before the deep
    /// layers are trained, the bandits cannot detect that depth helps.
    pub explore_share: f64,
    /// Exponent of the distribution of random exits, 0 to 16: the probability of an exit is proportional to this power
    /// of its depth.
    ///
    /// Use a high exponent for an encoder with random weights: its deep layers learn only from deep routes, and shallow
    /// exits learn shortcuts from many hard texts. Use a low exponent for a pre-trained encoder: its deep layers need
    /// little training, and its shallow exits need more texts.
    pub explore_power: f64,
    /// Number of training texts over which arm features are averaged, from the first; `None` for all texts, as in the
    /// DHT paper (Meng et al. 2023, section 4.2). Only for [`ContextDesign::Paper`].
    pub arm_feature_texts: Option<usize>,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            dispatch: Dispatch::InFlight,
            context: ContextDesign::StateAndSignals,
            router: RouterKind::default(),
            head_arms: HeadArms::default(),
            head_draws: HeadDraws::default(),
            pinned_heads: PinnedHeads::default(),
            cost_model: CostModel::default(),
            width_coupling: WidthCoupling::default(),
            exit_losses: ExitLosses::Detached,
            full_model_steps: FullModelSteps::default(),
            soft_labels: None,
            exit_kind: ExitKind::default(),
            last_exit_pooling: None,
            classifier_sharing: ClassifierSharing::PerExit,
            pooling: Pooling::Mean,
            exploration: PerBandit::all(0.1),
            prior_precision: 1.0,
            forgetting_decay: 0.9999,
            head_set_prior: HeadSetPrior::default(),
            head_set_prior_precision: 1.0,
            head_set_prior_weight: 1.0,
            kappa: PerBandit::all(1.0),
            reward_shape: RewardShape::Gain { lambda: 0.25 },
            reward_memory: RewardMemory::default(),
            head_feedback: HeadFeedback::default(),
            full_set_feedback: false,
            loss_source: LossSource::default(),
            nested_feedback: true,
            normalization: Normalization::default(),
            warm_up_contexts: 512,
            explore_share: 0.4,
            explore_power: 2.0,
            arm_feature_texts: Some(512),
        }
    }
}

impl SearchSettings {
    /// Returns the same settings at another [speed](crate::SearchModel::set_speed) of the depth router, which trades
    /// quality for cost.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the speed is out of range, or if the bandits learn the cost as
    /// part of the reward.
    pub(crate) fn at_speed(&self, speed: f64) -> Result<Self> {
        let mut settings = self.clone();
        match (&mut settings.router, &mut settings.reward_shape) {
            (RouterKind::EntropyThreshold { threshold } | RouterKind::ConfidenceThreshold { threshold }, _) => {
                *threshold = speed;
            }
            (RouterKind::Patience { patience }, _) => {
                *patience = Patience::at(speed)?.patience();
            }
            (
                RouterKind::Bandit | RouterKind::SequentialBandit,
                RewardShape::Utility { lambda } | RewardShape::Gain { lambda },
            ) => *lambda = speed,
            (
                RouterKind::Bandit | RouterKind::SequentialBandit,
                RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. },
            ) => {
                let expected = "utility or gain: in the others the cost is learned, not known";
                return Err(Error::argument("reward_shape", expected, format!("{:?}", self.reward_shape)));
            }
        }
        settings.check()?;
        Ok(settings)
    }

    /// Settings of a model's exits: their depths, the type and pooling of their classifiers, and whether all exits
    /// share one classifier.
    pub(crate) fn exits(&self, space: &SearchSpace) -> ExitSettings {
        ExitSettings {
            depths: space.exits().to_vec(),
            kind: self.exit_kind,
            pooling: self.pooling,
            last_pooling: self.last_exit_pooling,
            shared: self.classifier_sharing == ClassifierSharing::Shared,
        }
    }

    /// Speed of the depth router, which trades quality for cost; `None` if it is fixed.
    pub(crate) fn speed(&self) -> Option<f64> {
        match (self.router, self.reward_shape) {
            (RouterKind::EntropyThreshold { threshold } | RouterKind::ConfidenceThreshold { threshold }, _) => {
                Some(threshold)
            }
            (RouterKind::Patience { patience: u32::MAX }, _) => Some(0.0),
            (RouterKind::Patience { patience }, _) => Some(1.0 / f64::from(patience)),
            (
                RouterKind::Bandit | RouterKind::SequentialBandit,
                RewardShape::Utility { lambda } | RewardShape::Gain { lambda },
            ) => Some(lambda),
            (
                RouterKind::Bandit | RouterKind::SequentialBandit,
                RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. },
            ) => None,
        }
    }

    /// Reward rule of the depth bandit, which selects the exit.
    pub fn depth_rewards(&self) -> RewardRule {
        self.rule(self.kappa.depth)
    }

    /// Reward rule of the head-count bandit, which selects the number of heads in a group of layers.
    pub fn heads_rewards(&self) -> RewardRule {
        self.rule(self.kappa.heads)
    }

    /// Reward rule of the joint bandit, which selects depth and heads at once.
    pub fn arm_rewards(&self) -> RewardRule {
        self.rule(self.kappa.arms)
    }

    fn rule(&self, kappa: f64) -> RewardRule {
        RewardRule { shape: self.reward_shape, memory: self.reward_memory, kappa }
    }
}
