//! Uses of a value that was read from a damaged file.

use dht_bandits::{
    ArmId, Decision, LinTs, LinUcb, Normalizer, Observation, Policy, Request, Result, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration},
    features::PyramidPool,
    policy::{
        AnyPolicy, BetaThompson, ContextFree, Delta, Disjoint, Feedback, Fixed, Hybrid, Slate, StateHeader, TopK, Ucb1,
        Uniform,
    },
    posterior::{DiagonalLaplace, FullLaplace, NormalInverseGamma, Posterior},
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::corpus::{DiscountedLinUcb, Healthy, context, hybrid, per_arm, rng, shared, text};

/// Checks a value: each of its uses either succeeds and leaves a value that can be saved, or refuses and changes
/// nothing.
pub fn works(file: &[u8]) -> bool {
    single::<LinUcb>(file)
        && single::<LinTs>(file)
        && single::<Disjoint<Ridge, EpsilonGreedy>>(file)
        && single::<DiscountedLinUcb>(file)
        && single::<Uniform>(file)
        && single::<Fixed>(file)
        && single::<Disjoint<NormalInverseGamma, Thompson>>(file)
        && single::<ContextFree<Ucb1>>(file)
        && single::<ContextFree<BetaThompson>>(file)
        && single::<AnyPolicy>(file)
        && disjoint::<Ridge>(file)
        && disjoint::<FullLaplace>(file)
        && disjoint::<DiagonalLaplace>(file)
        && slates::<TopK<DiagonalLaplace, Thompson>>(file, per_arm)
        && slates::<TopK<Ridge, Ucb>>(file, shared)
        && mixed(file)
        && contexts(file)
}

fn read<T: DeserializeOwned>(file: &[u8]) -> Option<T> {
    serde_json::from_slice(file).ok()
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> bool {
    serde_json::from_str::<T>(&text(value)).is_ok_and(|same| text(&same) == text(value))
}

/// Checks a step: it succeeds and leaves a state that can be saved and loaded, or it changes no bit.
fn whole<T: Serialize + DeserializeOwned, O>(value: &mut T, act: impl FnOnce(&mut T) -> Result<O>) -> bool {
    let before = text(value);
    if act(value).is_err() { text(value) == before } else { again(value) }
}

/// Uses a damaged policy that chooses single arms.
fn single<T: Policy + Serialize + DeserializeOwned>(file: &[u8]) -> bool {
    read::<T>(file).is_none_or(|mut policy| chooses_and_learns(&mut policy))
}

fn chooses_and_learns<T: Policy + Serialize + DeserializeOwned>(policy: &mut T) -> bool {
    let context = context(policy.dimension().min(1 << 12));
    let Ok(decision) = policy.decide(&Request::new(&context), &mut rng()) else { return again(policy) };
    let width = decision.choice.width;
    decision.choice.mean.is_finite()
        && width.is_finite()
        && width >= 0.0
        && again(&decision)
        && whole(policy, |policy| policy.learn(&decision, 1.0))
}

/// Uses a damaged policy, delta, decision or observation together with a valid policy.
fn disjoint<P: Healthy>(file: &[u8]) -> bool {
    let mut healthy = P::policy();
    let mut fits = true;
    if let Some(mut damaged) = read::<Disjoint<P, Thompson>>(file) {
        fits &= whole(&mut healthy.clone(), |policy| policy.merge(&damaged))
            && whole(&mut damaged, |policy| policy.merge(&healthy))
            && [damaged.diff(&healthy), healthy.diff(&damaged)].into_iter().flatten().all(|delta| again(&delta))
            && whole(&mut damaged, |policy| policy.forget(0.5))
            && whole(&mut damaged, |policy| policy.add_arm())
            && chooses_and_learns(&mut damaged);
    }
    if let Some(mut delta) = read::<Delta>(file) {
        let mut sum = healthy.diff(&P::blank()).unwrap();
        fits &= whole(&mut healthy, |policy| policy.apply(&delta))
            && whole(&mut sum, |sum| sum.combine(&delta))
            && whole(&mut delta, |delta| delta.combine(&healthy.diff(&P::blank())?))
            && whole(&mut healthy, |policy| policy.apply(&delta))
            && chooses_and_learns(&mut healthy);
    }
    let decision = read::<Decision>(file);
    let observation = read::<Observation>(file).or_else(|| Some(Observation::new(decision?, 1.0)));
    if let Some(observation) = observation {
        let sound = healthy.decide(&Request::new(&context(3)), &mut rng()).unwrap();
        let batch = [Observation::new(sound, 1.0), observation];
        let [_, Observation { decision, reward, .. }] = &batch;
        fits &= whole(&mut healthy, |policy| policy.learn(decision, *reward))
            && whole(&mut healthy, |policy| policy.learn_batch(&batch))
            && chooses_and_learns(&mut healthy);
    }
    fits
}

/// Uses a damaged semi-bandit, or a damaged slate together with a valid one.
fn slates<T>(file: &[u8], healthy: fn() -> T) -> bool
where
    T: Slates + Serialize + DeserializeOwned,
{
    let damaged = read::<T>(file).is_none_or(|mut policy| policy.try_out());
    let slate = read::<Slate>(file).is_none_or(|slate| {
        let feedback = vec![Feedback::from(true); slate.choices().len()];
        let by_hand: Vec<_> = slate.feedback(&feedback).collect();
        by_hand.len() == feedback.len()
            && whole(&mut healthy(), |policy| policy.learn_slate(&slate, &feedback))
            && whole(&mut healthy(), |policy| policy.learn_all(&by_hand))
    });
    damaged && slate
}

trait Slates {
    fn try_out(&mut self) -> bool;
    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()>;
    fn learn_all(&mut self, feedback: &[dht_bandits::policy::ArmFeedback<'_>]) -> Result<()>;
}

impl<P: Posterior, E: Exploration> Slates for TopK<P, E> {
    fn try_out(&mut self) -> bool {
        let arms: Vec<_> = self.arms().iter().chain([ArmId::new(99)]).take(3).collect();
        let context = context(self.dimension().min(1 << 12));
        let slate = Request::new(&[])
            .featured(&arms, &context.repeat(arms.len()), context.len())
            .and_then(|request| self.select_slate(1, &request, &mut rng()));
        let Ok(slate) = slate else { return again(self) };
        again(&slate) && whole(self, |policy| policy.learn_slate(&slate, &[Feedback::from(true)]))
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        self.learn_slate(slate, feedback)
    }

    fn learn_all(&mut self, feedback: &[dht_bandits::policy::ArmFeedback<'_>]) -> Result<()> {
        self.update_batch(feedback)
    }
}

/// Uses a damaged hybrid policy, or a damaged decision together with a valid policy.
fn mixed(file: &[u8]) -> bool {
    let damaged = read::<Hybrid<Ucb>>(file).is_none_or(|mut policy| {
        let arms: Vec<_> = policy.arms().iter().take(2).collect();
        let (x, z) = (context(policy.dimension()), context(policy.shared_dimension()));
        let decision = Request::new(&x)
            .featured(&arms, &z.repeat(arms.len()), z.len())
            .and_then(|request| policy.decide(&request, &mut rng()));
        let Ok(decision) = decision else { return again(&policy) };
        again(&decision) && whole(&mut policy, |policy| policy.learn(&decision, 1.0))
    });
    let decision = read::<Decision>(file);
    damaged && decision.is_none_or(|decision| whole(&mut hybrid(), |policy| policy.learn(&decision, 1.0)))
}

fn contexts(file: &[u8]) -> bool {
    if let Some(mut norm) = read::<Normalizer>(file) {
        let mut context = context(norm.dimension());
        let mut twice = norm.clone();
        if !whole(&mut twice, |twice| twice.merge(&norm)) || !whole(&mut norm, |norm| norm.observe(&context)) {
            return false;
        }
        if norm.normalise_in_place(&mut context).is_ok() && !context.iter().all(|value| value.is_finite()) {
            return false;
        }
    }
    if let Some(pool) = read::<PyramidPool>(file) {
        let _ = pool.dimension();
    }
    let _ = read::<StateHeader>(file);
    true
}
