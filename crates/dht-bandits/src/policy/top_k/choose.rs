//! Selection of the arms in a slate.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::semi_bandit::{Draw, Sharing, TopK};
use crate::arm::ArmId;
use crate::arm_set::SlotSpace;
use crate::clock::Clock;
use crate::decision::{Actions, Choice, Gathered, Request, Slate};
use crate::error::{Error, Result};
use crate::exploration::{Exploration, Selection, drawn_uniformly};
use crate::gaussian::Score;
use crate::policy::Policy;
use crate::policy::choose::{ScoredArms, choose, drawn_value};
use crate::posterior::{Beliefs, Posterior};
use crate::validate::{check_finite, check_parameter, check_scalar};

/// Arms of a request, each with its input row x for the model: the context, the arm's features if it has any, and their
/// products.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidates<'a> {
    pub(super) arms: &'a [ArmId],
    contexts: &'a [f64],
    /// Distance between the starts of neighbouring arms' rows; 0 if all arms share one row.
    stride: usize,
    dimension: usize,
    /// Length of a row without products: context and features.
    raw: usize,
}

impl<'a> Candidates<'a> {
    pub(super) fn context(&self, position: usize) -> &'a [f64] {
        &self.contexts[position * self.stride..][..self.dimension]
    }

    /// Context and features of the arm at a position, without products.
    fn raw(&self, position: usize) -> &'a [f64] {
        &self.context(position)[..self.raw]
    }
}

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// Builds the input row of each arm in a request, after checking contexts and features.
    pub(super) fn candidates<'a>(&self, request: &Request<'a>, space: &'a mut Gathered) -> Result<Candidates<'a>> {
        let (context, raw, dimension) = (request.context, self.dimension(), self.posterior.dimension());
        if let Some(interactions) = &self.interactions {
            check_finite("context", context, interactions.context())?;
            request.actions.features(interactions.features())?;
        }
        let Gathered { ids, rows } = space;
        ids.clear();
        let (arms, contexts, stride): (&'a [ArmId], &'a [f64], usize) = match request.actions {
            Actions::Featured(_)
                if self.sharing == Sharing::Shared && self.interactions.is_none() && !context.is_empty() =>
            {
                return Err(Error::NeedsInteractions { context: context.len() });
            }
            Actions::Featured(_) if context.is_empty() && self.interactions.is_none() => {
                let featured = request.actions.features(dimension)?;
                (featured.ids(), featured.rows(), dimension)
            }
            Actions::Featured(featured) => {
                let got = context.len() + featured.width();
                if got != raw {
                    return Err(Error::Dimension { what: "context and features", expected: raw, got });
                }
                check_finite("context", context, context.len())?;
                rows.clear();
                for position in 0..featured.ids().len() {
                    rows.extend_from_slice(context);
                    rows.extend_from_slice(featured.at(position));
                    if let Some(interactions) = &self.interactions {
                        interactions.append_products(rows, position * dimension);
                    }
                }
                (featured.ids(), rows, dimension)
            }
            _ if self.sharing == Sharing::Shared => {
                return Err(Error::NeedsFeatures { width: dimension.saturating_sub(context.len()) });
            }
            Actions::Only(arms) => (arms, context, 0),
            actions => {
                let mut space = SlotSpace::default();
                ids.extend(self.arms.resolve(actions.available(), &mut space)?.iter().map(|slot| self.arms.id(slot)));
                (ids, context, 0)
            }
        };
        if stride == 0 {
            check_finite("context", context, dimension)?;
        }
        if arms.is_empty() {
            return Err(Error::NoArms { arms: self.arms.len() });
        }
        arms.iter().try_for_each(|&arm| self.slot(arm).map(drop))?;
        Ok(Candidates { arms, contexts, stride, dimension, raw })
    }

    /// Factor on the standard deviation of the shared weights, if Thompson sampling scores the whole slate with one
    /// draw of them; `None` otherwise.
    pub(super) fn slate_draw(&self) -> Option<f64> {
        match self.exploration.selection(self.clock.version) {
            Selection::Sampled { scale } if self.sharing == Sharing::Shared && self.draw == Draw::PerSlate => {
                Some(scale)
            }
            _ => None,
        }
    }

    /// Fails if the slate has more positions than there are arms that are not pinned (set by the caller), or more than
    /// one position for rules that choose one arm.
    pub(super) fn check_positions(&self, k: usize, arms: &[ArmId]) -> Result<()> {
        let free = arms.iter().filter(|arm| !self.pinned.contains(arm)).count();
        if k > free {
            return Err(Error::TooFewArms { wanted: k, available: free });
        }
        let one = matches!(self.exploration.selection(self.clock.version), Selection::InverseGap { .. });
        check_parameter("positions", k as f64, !one || k <= 1, "1 with a rule that chooses one arm")
    }

    /// Chooses a slate of `k` arms, best first, in addition to the [pinned](Self::with_pinned) arms, which appear in
    /// every slate.
    ///
    /// An arm's weights apply to the context of the request, followed by the arm's features if it has any. Context and
    /// features together must have the length [`dimension`](Self::dimension). If arms share weights, they need
    /// features, and a context is accepted only with [interactions](Self::with_interactions).
    ///
    /// # Errors
    /// Fails if the context (with the features, if there are any) has the wrong length or is not finite, or if features
    /// are missing. Also fails if an arm is unknown, removed or repeated, or if shared weights get a context without
    /// interactions. `k` must not exceed the number of arms that are not pinned, nor 1 with
    /// [`SquareCb`](crate::exploration::SquareCb). Scores must not overflow.
    pub fn select_slate<R: Rng + ?Sized>(&self, k: usize, request: &Request<'_>, rng: &mut R) -> Result<Slate> {
        let mut slate = Slate::default();
        self.select_slate_into(k, request, rng, &mut slate)?;
        Ok(slate)
    }

    /// Chooses a slate as [`select_slate`](Self::select_slate) does, and writes it to `slate`, whose memory is reused.
    /// After an error the slate is empty.
    ///
    /// # Errors
    /// Fails as [`select_slate`](Self::select_slate) does.
    pub fn select_slate_into<R: Rng + ?Sized>(
        &self,
        k: usize,
        request: &Request<'_>,
        rng: &mut R,
        slate: &mut Slate,
    ) -> Result<()> {
        slate.clear();
        // Taken out of the slate, so that the slate can be written to while the rows are read.
        let mut gathered = std::mem::take(&mut slate.gathered);
        let outcome =
            self.candidates(request, &mut gathered).and_then(|candidates| self.fill(k, candidates, rng, slate));
        slate.gathered = gathered;
        if outcome.is_err() {
            slate.clear();
        }
        outcome
    }

    fn fill<R: Rng + ?Sized>(
        &self,
        k: usize,
        candidates: Candidates<'_>,
        rng: &mut R,
        slate: &mut Slate,
    ) -> Result<()> {
        slate.sorted.extend_from_slice(candidates.arms);
        slate.sorted.sort_unstable();
        if let Some(pair) = slate.sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::DuplicateArm { arm: pair[0] });
        }
        self.check_positions(k, candidates.arms)?;
        let scale = self.slate_draw();
        if let Some(scale) = scale {
            slate.weights.resize(self.posterior.dimension(), 0.0);
            self.posterior.draw(0, scale, &mut || StandardNormal.sample(rng), &mut slate.weights);
        }
        let Clock { version, epoch } = self.clock;
        let rule = self.exploration.after(version);
        for (position, &arm) in candidates.arms.iter().enumerate() {
            let context = candidates.context(position);
            let score = self.posterior.score(self.slot(arm)?, context);
            if self.pinned.contains(&arm) {
                slate.pinned.push(arm);
                continue;
            }
            let value = match scale {
                Some(_) => slate.weights.iter().zip(context).map(|(weight, value)| weight * value).sum(),
                None => drawn_value(&self.posterior, &rule, version, self.slot(arm)?, score, rng),
            };
            check_scalar("score", value)?;
            let Score { mean, width } = score.checked()?;
            let choice =
                Choice { arm, version, score: value, mean, width, propensity: None, epoch, propensity_error: 0.0 };
            // The random number orders equal scores.
            slate.ranked.push((choice, position, rng.next_u32()));
        }
        let explores = drawn_uniformly(&self.exploration, version, slate.ranked.len())?;
        if matches!(self.exploration.selection(version), Selection::InverseGap { .. }) {
            if k == 1 {
                let chosen =
                    choose::<false, _, _, _>(&RankedCandidates(&slate.ranked), &self.exploration, version, rng)?;
                slate.ranked.swap(0, chosen.index);
            }
        } else if explores > 0.0 {
            // Each position is ε-greedy: with probability ε it goes to a candidate drawn from the remaining ones.
            explore_positions(k, explores, rng, slate);
        } else {
            slate.rank(k);
        }
        for position in 0..k {
            let (choice, row, _) = slate.ranked[position];
            slate.choices.push(choice);
            slate.contexts.extend_from_slice(candidates.raw(row));
        }
        (slate.version, slate.epoch) = (version, epoch);
        Ok(())
    }
}

fn explore_positions<R: Rng + ?Sized>(k: usize, epsilon: f64, rng: &mut R, slate: &mut Slate) {
    let count = slate.ranked.len();
    slate.rank(count);
    for position in 0..k {
        if rng.random::<f64>() < epsilon {
            let drawn = rng.random_range(position..count);
            slate.ranked[position..=drawn].rotate_right(1);
        }
    }
}

/// Candidates of a slate with precomputed scores, as input of an exploration rule.
struct RankedCandidates<'a>(&'a [(Choice, usize, u32)]);

impl ScoredArms for RankedCandidates<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn fold<T>(&self, first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        (0..self.0.len()).fold(first, |folded, position| gather(folded, position, self.at(position).1))
    }

    fn at(&self, position: usize) -> (usize, Score) {
        let Choice { mean, width, .. } = self.0[position].0;
        (position, Score { mean, width })
    }
}
