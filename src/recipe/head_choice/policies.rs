//! Who chooses: bandits over whole sets, bandits over single heads, chance, and hindsight.

use dht_search::bandits::exploration::Thompson;
use dht_search::bandits::policy::{ArmFeedback, Feedback, TopK};
use dht_search::bandits::posterior::{DiagonalLaplace, DiagonalLaplaceOptions};
use dht_search::{
    bandits::features::columns,
    bandits::{ArmId, LinUcb, Policy, Request, RidgeOptions, Ucb},
};
use dht_transformer::tensors::{HeadPlan, HeadSet};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::sets::Sets;
use dht_search::Result;

/// Passes over the texts, each in an order of its own.
const PASSES: usize = 20;
/// The weight of a bound's width.
const ALPHA: f64 = 0.25;

/// What each text says before it is run, and its loss on each arm.
pub(super) struct Arms {
    pub(super) contexts: Vec<Vec<f64>>,
    pub(super) losses: Vec<Vec<f64>>,
}

impl Arms {
    /// Each policy with the mean loss of each text over passes. A bandit learns from the chosen arm alone, and its whole stream counts, its
    /// first texts too.
    pub(super) fn policies<R: Rng>(&self, rng: &mut R) -> Result<Vec<(&'static str, Vec<f64>)>> {
        let texts = self.contexts.len();
        let of_text = |of: &dyn Fn(usize) -> f64| (0..texts).map(of).collect::<Vec<f64>>();
        let arms = self.losses.len() as f64;
        let random = of_text(&|text| self.losses.iter().map(|losses| losses[text]).sum::<f64>() / arms);
        let hindsight = of_text(&|text| self.losses.iter().map(|losses| losses[text]).fold(f64::INFINITY, f64::min));
        Ok(vec![
            ("a set at random", random),
            ("LinUCB over the sets, without context", self.lin_ucb(false, rng)?),
            ("LinUCB over the sets", self.lin_ucb(true, rng)?),
            ("the best set of each text, in hindsight", hindsight),
        ])
    }

    fn lin_ucb<R: Rng>(&self, contextual: bool, rng: &mut R) -> Result<Vec<f64>> {
        let texts = self.contexts.len();
        let context = |text: usize| columns::with_bias(if contextual { &self.contexts[text] } else { &[] });
        let dimension = context(0).len();
        let mut sums = vec![0.0; texts];
        for _ in 0..PASSES {
            let mut policy = LinUcb::new(dimension, self.losses.len(), RidgeOptions::default(), Ucb { alpha: ALPHA })?;
            let mut order: Vec<usize> = (0..texts).collect();
            order.shuffle(rng);
            for text in order {
                let context = context(text);
                let decision = policy.decide(&Request::new(&context), rng)?;
                let loss = self.losses[decision.arm().number() as usize][text];
                policy.learn(&decision, -loss)?;
                sums[text] += loss / PASSES as f64;
            }
        }
        Ok(sums)
    }
}

/// The head-set bandit on each layer: Thompson sampling with one logistic regression a head draws a set for each text, and of the drawn
/// heads those are rewarded whose gate's gradient is above the layer's mean so far. Returns the plans of the layers.
pub(super) fn semi_bandit<R: Rng>(
    gates: &[Vec<Vec<f64>>],
    contexts: Option<&Vec<Vec<f64>>>,
    kept: usize,
    rng: &mut R,
) -> Result<Vec<HeadPlan>> {
    let layers = gates.first().map_or(0, Vec::len);
    let heads = gates.first().and_then(|layers| layers.first()).map_or(0, Vec::len);
    let context = |text: usize| columns::with_bias(contexts.map_or(&[], |contexts| &contexts[text]));
    let mut drawn: Vec<Vec<HeadSet>> = gates.iter().map(|_| Vec::with_capacity(layers)).collect();
    for layer in 0..layers {
        let dimension = context(0).len();
        let mut policy: TopK<DiagonalLaplace, Thompson> =
            TopK::per_arm(dimension, heads, DiagonalLaplaceOptions::default(), Thompson { alpha: 1.0 })?;
        let (mut sum, mut count) = (0.0, 0.0);
        let mut order: Vec<usize> = (0..gates.len()).collect();
        order.shuffle(rng);
        let mut of_layer: Vec<Option<HeadSet>> = vec![None; gates.len()];
        for text in order {
            let context = context(text);
            let slate = policy.select_slate(kept, &Request::new(&context), rng)?;
            let chosen: Vec<ArmId> = slate.arms().collect();
            let size = |arm: &ArmId| gates[text][layer][arm.number() as usize];
            for arm in &chosen {
                sum += size(arm);
                count += 1.0;
            }
            let rewarded = |arm: &ArmId| Feedback::from(size(arm) * count > sum);
            let feedback: Vec<ArmFeedback<'_>> =
                chosen.iter().map(|arm| ArmFeedback::new(*arm, &context, rewarded(arm))).collect();
            policy.update_batch(&feedback)?;
            of_layer[text] = Some(HeadSet::from_indices(chosen.iter().map(|arm| arm.number() as usize), heads)?);
        }
        drawn.iter_mut().zip(of_layer).for_each(|(sets, set)| sets.extend(set));
    }
    Ok(Sets::for_each(&drawn.into_iter().map(Sets::new).collect::<Vec<_>>()))
}

/// Texts of a planted world.
const PLANTED: usize = 4_000;
const CLASSES: usize = 4;

/// A world where sets matter: a text's class has a set of its own, with which its loss is a third of that with any other; a set of no
/// class is in between. The context says the class with an error in one of five texts.
pub(super) fn planted<R: Rng>(rng: &mut R) -> Result<(Arms, Vec<String>)> {
    let mut arms = Arms { contexts: Vec::new(), losses: vec![Vec::new(); CLASSES + 1] };
    for _ in 0..PLANTED {
        let class = rng.random_range(0..CLASSES);
        let told = if rng.random_bool(0.2) { rng.random_range(0..CLASSES) } else { class };
        arms.contexts.push((0..CLASSES).map(|other| if other == told { 0.7 } else { 0.1 }).collect());
        let noise = -(1.0 - rng.random::<f64>()).ln();
        for (arm, losses) in arms.losses.iter_mut().enumerate() {
            let mean = if arm == class {
                0.1
            } else if arm == CLASSES {
                0.2
            } else {
                0.3
            };
            losses.push(mean * noise);
        }
    }
    let names = (0..CLASSES).map(|class| format!("of class {class}")).chain(["of no class".to_owned()]).collect();
    Ok((arms, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_bandit_that_sees_the_context_is_better_than_every_single_set() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (arms, _) = planted(&mut rng).unwrap();
        let best = arms.losses.iter().map(|losses| mean(losses)).fold(f64::INFINITY, f64::min);
        let found = arms.policies(&mut rng).unwrap();
        let of = |name: &str| mean(&found.iter().find(|(way, _)| *way == name).unwrap().1);
        // The context is right for .85 of the texts: .85·.1 + .15·.3 is the least that it allows.
        assert!((best - 0.2).abs() < 0.02, "{best}");
        assert!((of("LinUCB over the sets") - 0.13).abs() < 0.02, "{}", of("LinUCB over the sets"));
        assert!((of("LinUCB over the sets, without context") - best).abs() < 0.02);
        assert!(of("a set at random") > best + 0.03);
        assert!(of("the best set of each text, in hindsight") < 0.11);
    }

    #[test]
    fn a_semi_bandit_finds_the_heads_whose_gates_have_gradients() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        // Two layers of four heads: in the first heads 1 and 3 count, in the second those that the context names.
        let texts: Vec<bool> = (0..2_000).map(|_| rng.random()).collect();
        let gates: Vec<Vec<Vec<f64>>> = texts
            .iter()
            .map(|first| {
                let second = if *first { [1.0, 1.0, 0.1, 0.1] } else { [0.1, 0.1, 1.0, 1.0] };
                vec![vec![0.1, 1.0, 0.1, 1.0], second.to_vec()]
            })
            .collect();
        let contexts: Vec<Vec<f64>> = texts.iter().map(|first| vec![if *first { 1.0 } else { -1.0 }]).collect();
        let plans = semi_bandit(&gates, Some(&contexts), 2, &mut rng).unwrap();
        let share = |layer: usize, wanted: &dyn Fn(usize) -> [usize; 2]| {
            let HeadPlan::PerSample(sets) = &plans[layer] else { panic!("{:?}", plans[layer]) };
            let right = |(text, set): (usize, &HeadSet)| set.iter().eq(wanted(text));
            sets.iter().enumerate().filter(|pair| right(*pair)).count() as f64 / sets.len() as f64
        };
        assert!(share(0, &|_| [1, 3]) > 0.8);
        assert!(share(1, &|text| if texts[text] { [0, 1] } else { [2, 3] }) > 0.8);
    }
}
