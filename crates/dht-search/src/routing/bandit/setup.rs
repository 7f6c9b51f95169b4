//! Configuration that all bandits of a search share: search space, settings, costs of routes, and pooling of hidden
//! states.

use dht_bandits::{Ridge, features::PyramidPool, posterior::Score};
use dht_dynamic::Route;
use dht_dynamic::router::Mode;
use dht_transformer::flops::{BlockShape, ClassifierShape};
use rand::{Rng, RngExt};

use crate::cost::FlopsCost;
use crate::error::Result;
use crate::features::{PoolingPyramid, SIGNALS};
use crate::reward::RewardRule;
use crate::settings::{Normalization, SearchSettings};
use crate::space::SearchSpace;

/// Configuration that all bandits of a search share: search space, settings, costs of routes, and pooling of hidden
/// states.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) space: SearchSpace,
    pub(crate) settings: SearchSettings,
    pub(crate) depth_pool: PyramidPool,
    pub(crate) heads_pool: PyramidPool,
    pub(crate) head_sets_pool: PyramidPool,
    block: BlockShape,
    classifier: ClassifierShape,
    flops: FlopsCost,
    /// Route to each exit, with the largest allowed number of heads in each group of layers.
    exit_routes: Vec<Route>,
    /// Route to the first exit after each group of layers, by group and number of heads. Earlier groups keep their
    /// largest allowed number of heads.
    group_routes: Vec<Vec<Route>>,
}

impl Setup {
    pub(crate) fn new(
        space: SearchSpace,
        settings: SearchSettings,
        block: BlockShape,
        classifier: ClassifierShape,
    ) -> Result<Self> {
        settings.check_with(&space)?;
        let flops = FlopsCost::new(space.model_shape().layers, block, classifier, settings.width_coupling)?;
        let widest = |group: usize| space.head_options(group).last().copied().unwrap_or(space.model_shape().heads);
        let heads: Vec<usize> = (0..space.groups().len()).map(widest).collect();
        let exit_routes = (0..space.exits().len())
            .map(|exit| space.route_keeping(exit, &heads[..space.groups_before(exit).len()]))
            .collect::<Result<Vec<_>>>()?;
        let group_routes = (0..space.groups().len())
            .map(|group| {
                let exit = if space.base().is_some() { group + 1 } else { group };
                let kept = space.head_options(group).iter();
                kept.map(|&kept| space.route_keeping(exit, &[&heads[..group], &[kept]].concat())).collect()
            })
            .collect::<Result<Vec<Vec<_>>>>()?;
        // A cost table of another model is rejected here, not in the middle of a training run.
        exit_routes
            .iter()
            .chain(group_routes.iter().flatten())
            .try_for_each(|route| settings.cost_model.share(route, 1, &flops).map(|_| ()))?;
        Ok(Self {
            depth_pool: PoolingPyramid::DEPTH.pool()?,
            heads_pool: PoolingPyramid::HEADS.pool()?,
            head_sets_pool: PoolingPyramid::HEAD_SETS.pool()?,
            space,
            settings,
            block,
            classifier,
            flops,
            exit_routes,
            group_routes,
        })
    }

    pub(crate) fn in_space(&self, space: &SearchSpace) -> Result<Self> {
        Self::new(space.clone(), self.settings.clone(), self.block, self.classifier)
    }

    /// Sets the price λ of computation, which is the speed of bandits.
    pub(crate) fn set_lambda(&mut self, lambda: f64) -> Result<()> {
        self.settings = self.settings.at_speed(lambda)?;
        Ok(())
    }

    /// Returns whether contexts are scaled by rolling statistics, which need no warm-up.
    pub(crate) fn is_rolling(&self) -> bool {
        self.settings.normalization == Normalization::Rolling
    }

    /// Reward rule of the head-set bandit: r_H in a tree search and r_cp in an integrated search (DHT paper, section
    /// 4.3).
    pub(crate) fn head_set_rewards(&self) -> RewardRule {
        if self.space.is_tree() { self.settings.heads_rewards() } else { self.settings.arm_rewards() }
    }

    /// Number of signals (entropy, margin, length) at the end of a context; 0 if the settings have none.
    pub(crate) fn signals(&self) -> usize {
        if self.settings.context.has_signals() { SIGNALS } else { 0 }
    }

    /// Number of values that a sample contributes to a context: the pooled hidden state and the signals.
    pub(crate) fn raw_size(&self, pyramid: PoolingPyramid) -> usize {
        let state = if self.settings.context.has_state() { pyramid.context_size() } else { 0 };
        state + self.signals()
    }

    /// Values appended to each context: a constant 1 if arms have no features, otherwise none.
    pub(crate) fn constant(&self) -> &'static [f64] {
        if self.settings.context.has_arm_features() { &[] } else { &[1.0] }
    }

    pub(crate) fn ridge(&self) -> Ridge {
        Ridge::new(self.settings.prior_precision).with_decay(self.settings.forgetting_decay)
    }

    /// Arms of the head-count bandit: all numbers of heads that at least one group of layers may keep.
    pub(crate) fn options(&self) -> Vec<usize> {
        self.space.distinct_head_options()
    }

    /// Cost of a route for a text of `tokens` tokens, as a share of the full model's cost.
    fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        self.settings.cost_model.share(route, tokens, &self.flops)
    }

    /// Cost of each exit for a text of `tokens` tokens, as a share of the full model's cost, with the largest allowed
    /// number of heads.
    pub(crate) fn exit_costs(&self, tokens: usize) -> Result<Vec<f64>> {
        self.exit_routes.iter().map(|route| self.share(route, tokens)).collect()
    }

    /// Cost of each arm of the joint bandit (an arm is a route) for a text of `tokens` tokens, as a share of the full
    /// model's cost.
    pub(crate) fn arm_costs(&self, tokens: usize) -> Result<Vec<f64>> {
        self.space.integrated_arms().iter().map(|route| self.share(route, tokens)).collect()
    }

    /// Cost that a group of layers adds to a route, for each allowed number of heads and a text of `tokens` tokens, as
    /// a share of the full model's cost.
    pub(crate) fn group_costs(&self, group: usize, tokens: usize) -> Result<Vec<f64>> {
        let before = match (self.space.base(), group) {
            (Some(_), _) => self.share(&self.exit_routes[group], tokens)?,
            (None, 0) => 0.0,
            (None, _) => self.share(&self.exit_routes[group - 1], tokens)?,
        };
        self.group_routes[group].iter().map(|route| Ok(self.share(route, tokens)? - before)).collect()
    }

    /// Value by which arms are ranked: the upper confidence bound of the reward, minus the price of the arm's cost.
    /// `alpha` is 0 without exploration.
    pub(crate) fn value(&self, score: Score, alpha: f64, cost: f64) -> f64 {
        self.settings.reward_shape.score(score.mean + alpha * score.width, cost)
    }

    /// Draws an index of `depths`. Its probability is proportional to a power of the depth, with the exponent from the
    /// settings.
    pub(crate) fn random_by_depth(&self, depths: &[usize], rng: &mut dyn Rng) -> usize {
        let power = self.settings.explore_power;
        let weights = || depths.iter().map(|depth| (*depth as f64).powf(power));
        let mut left = rng.random::<f64>() * weights().sum::<f64>();
        for (index, weight) in weights().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        depths.len() - 1
    }

    /// Draws a random exit for each sample; [`random_by_depth`](Self::random_by_depth) defines the probabilities.
    pub(crate) fn draw_exits(&self, exits: &mut [usize], rng: &mut dyn Rng) {
        let depths = self.depths();
        exits.iter_mut().for_each(|exit| *exit = self.random_by_depth(&depths, rng));
    }

    /// Depth of each exit in layers.
    pub(crate) fn depths(&self) -> Vec<usize> {
        (0..self.space.exits().len()).map(|exit| self.space.depth(exit)).collect()
    }
}

/// Exploration factor of the upper confidence bound: `alpha` while exploring, otherwise 0.
pub(crate) fn exploring(alpha: f64, mode: &Mode<'_>) -> f64 {
    if matches!(mode, Mode::Explore(_)) { alpha } else { 0.0 }
}

/// Returns the random generator if decisions must be random: always in the random mode, and in the exploring mode until
/// the warm-up is over. Otherwise returns `None`.
pub(crate) fn at_random<'m>(mode: &'m mut Mode<'_>, warm: bool) -> Option<&'m mut dyn Rng> {
    match mode {
        Mode::Random(rng) => Some(&mut **rng),
        Mode::Explore(rng) if !warm => Some(&mut **rng),
        Mode::Explore(_) | Mode::Exploit => None,
    }
}

/// Index of the highest value. In inference the first index wins a tie, so that the result depends on the text only;
/// otherwise ties are broken at random.
pub(crate) fn best(values: impl IntoIterator<Item = f64>, mode: &mut Mode<'_>) -> usize {
    let (mut index, mut highest, mut ties) = (0, f64::NEG_INFINITY, 0);
    for (candidate, value) in values.into_iter().enumerate() {
        if value > highest {
            (index, highest, ties) = (candidate, value, 1);
        } else if value == highest
            && let Mode::Random(rng) | Mode::Explore(rng) = mode
        {
            ties += 1;
            if rng.random_range(0..ties) == 0 {
                index = candidate;
            }
        }
    }
    index
}
