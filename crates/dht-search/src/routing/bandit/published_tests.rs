//! Tests of the DHT paper's settings. The rewards, contexts, updates and choices of each bandit are computed by hand
//! from the losses of two batches.

use std::collections::BTreeSet;

use dht_bandits::{
    ArmId, LinUcb, Policy, Ridge, Thompson, Ucb,
    policy::{ArmFeedback, Feedback, TopK},
    posterior::DiagonalLaplace,
};
use dht_dynamic::passage::{GroupTrace, Trace};
use dht_dynamic::router::{Decisions, GroupDecisions, HeadSetGroup, Mode};
use dht_transformer::HeadSet;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::head_sets::HeadSets;
use super::tests::setup_of;
use crate::features::ArmFeatures;
use crate::features::Rows;
use crate::reward::HeadFeedback;
use crate::routing::bandit::*;
use crate::routing::{Learner, Losses, Preparation, taking_arms};
use crate::settings::{PerBandit, SearchSettings};
use crate::space::Preset;

fn vectors(count: usize, size: usize, rng: &mut dyn Rng) -> Rows {
    (0..count).map(|_| (0..size).map(|_| rng.random::<f64>() * 4.0 - 1.0).collect()).collect()
}

/// Scales a context by the mean and variance of all contexts in `seen`, and clips it at five standard deviations.
fn scaled(seen: &Rows, raw: &[f64]) -> Vec<f64> {
    let of = |column: usize| {
        let values = || seen.iter().map(|row| row[column]);
        let mean = values().sum::<f64>() / seen.len() as f64;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / seen.len() as f64;
        ((raw[column] - mean) / variance.sqrt()).clamp(-5.0, 5.0)
    };
    (0..raw.len()).map(of).collect()
}

/// Trace (recorded forward pass) for a batch, with the decisions for its texts and the groups of layers that they ran.
fn trace(decisions: Decisions, groups: Vec<GroupTrace>) -> Trace {
    let mut trace = Trace::default();
    (trace.decisions, trace.groups) = (decisions, groups);
    trace
}

/// Losses of a batch. Each sample has a loss at the exit where it leaves, and NaN at all others.
fn losses(exits: &[usize], values: &[f64]) -> Losses {
    let mut by_exit = vec![vec![f64::NAN; exits.len()]; 4];
    for (sample, (exit, loss)) in exits.iter().zip(values).enumerate() {
        by_exit[*exit][sample] = *loss;
    }
    Losses::new(by_exit)
}

fn close(value: f64, expected: f64, what: &str) {
    assert!((value - expected).abs() < 1e-9 * expected.abs().max(1.0), "{what}: {value}, {expected} by hand");
}

fn preparation(depth: Rows, heads: Vec<Rows>, arms: Rows) -> Preparation {
    let head_sets = (0..12).map(|head| 0.1 * head as f64 - 0.4).collect();
    let pinned = HeadSet::from_indices([0, 3, 5, 9], 12).unwrap();
    Preparation { pinned: Some(pinned), arm_features: Some(ArmFeatures { depth, heads, arms, head_sets }) }
}

/// Two batches of three samples: the arm, the cost and the loss of each sample. The cost is the number of layers in a
/// tree search, and layers × heads in an integrated search.
type Batches = [[(usize, f64, f64); 3]; 2];

/// Checks that the depth or joint bandit learns from two batches as a LinUCB bandit does that is updated with rewards
/// computed by hand.
fn check_depth_bandit(preset: Preset, batches: Batches, exit_of: &dyn Fn(usize) -> usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let setup = setup_of(preset, &SearchSettings::paper());
    let tree = setup.space.is_tree();
    let arms = if tree { 4 } else { setup.space.integrated_arms().len() };
    let mut router = DepthRouter::new(setup.clone()).unwrap();
    let features = vectors(arms, 84, &mut rng);
    let own = features.clone();
    let features_of =
        if tree { preparation(own, Vec::new(), Vec::new()) } else { preparation(Vec::new(), Vec::new(), own) };
    router.prepare(&features_of).unwrap();
    let mut by_hand = LinUcb::new(168, arms, Ridge::new(1.0), Ucb { alpha: 0.1 }).unwrap();

    let mut seen = Rows::new();
    let mut previous = None;
    for batch in batches {
        let contexts = vectors(3, 84, &mut rng);
        let chosen = batch.map(|(arm, ..)| arm);
        let exits: Vec<usize> = chosen.iter().map(|arm| exit_of(*arm)).collect();
        let taken = if tree { Ok(Decisions::leaving_at(exits.clone())) } else { taking_arms(&setup.space, &chosen) };
        let decisions = Decisions { notes: contexts.clone(), ..taken.unwrap() };
        assert_eq!(decisions.exits, exits);
        router.learn(&trace(decisions, Vec::new()), &losses(&exits, &batch.map(|(_, _, loss)| loss))).unwrap();
        assert!(router.is_warm(), "it chooses after its first batch");

        seen.extend(contexts.clone());
        let deltas = batch.map(|(_, cost, loss)| loss * cost);
        let mean = deltas.iter().sum::<f64>() / 3.0;
        // The first batch is compared with its own mean.
        let reference = previous.unwrap_or(mean);
        for ((arm, delta), context) in chosen.iter().zip(deltas).zip(&contexts) {
            let w = [scaled(&seen, context), scaled(&seen, &features[*arm])].concat();
            by_hand.update(ArmId::new(*arm as u64), &w, reference / delta, 1.0).unwrap();
        }
        previous = Some(mean);
    }

    let linear = &router.learned.bandit.linear;
    let mut chosen = BTreeSet::new();
    for _ in 0..1000 {
        // Contexts far from the observed ones, so that different arms are best for different contexts.
        let raw: Vec<f64> = (0..84).map(|_| rng.random_range(-20.0..20.0)).collect();
        let scores = linear.scores(&setup, &raw, Some(&features), setup.constant()).unwrap();
        let mut bounds = Vec::new();
        for (arm, score) in scores.into_iter().enumerate() {
            let w = [scaled(&seen, &raw), scaled(&seen, &features[arm])].concat();
            assert_eq!(w.len(), 168);
            let expected = by_hand.score(ArmId::new(arm as u64), &w).unwrap();
            close(score.mean, expected.mean, &format!("{preset}, mean of arm {arm}"));
            close(score.width, expected.width, &format!("{preset}, width of arm {arm}"));
            bounds.push(expected.mean + 0.1 * expected.width);
        }
        // Algorithm 1: the arm of the highest w'θ + α·sqrt(w'A⁻¹w).
        let arm = router.learned.arm_features.as_ref();
        let arm = depth::choose(linear, &setup, arm, &raw, 16, &mut Mode::Explore(&mut rng)).unwrap();
        assert!(bounds.iter().all(|bound| *bound <= bounds[arm] + 1e-9), "{preset}: arm {arm} of {bounds:?}");
        chosen.insert(arm);
    }
    assert!(chosen.len() > 1, "{preset}: one arm is best everywhere");
}

#[test]
fn depth_bandits_learn_the_previous_mean_over_loss_times_layers() {
    // Exits 0 to 3 at 3, 6, 9 and 12 layers.
    let batches = [[(0, 3.0, 0.5), (3, 12.0, 0.25), (1, 6.0, 1.5)], [(2, 9.0, 0.75), (2, 9.0, 0.1), (0, 3.0, 2.0)]];
    check_depth_bandit(Preset::TDht, batches, &|arm| arm);
}

#[test]
fn joint_bandits_learn_mean_over_loss_times_layers_times_heads() {
    // Arms 0, 1, 5, 7 and 9 of F-DHT are 3L12H, 6L8H, 9L10H, 12L8H and 12L12H.
    let batches =
        [[(0, 36.0, 0.5), (9, 144.0, 0.25), (1, 48.0, 1.5)], [(7, 96.0, 0.75), (5, 90.0, 0.1), (0, 36.0, 2.0)]];
    check_depth_bandit(Preset::FDht, batches, &|arm| [0, 1, 1, 1, 2, 2, 2, 3, 3, 3][arm]);
}

/// Test input for one group of layers: the indices of the samples that ran it, the heads that each sample kept, and
/// their contexts.
struct Group {
    group: usize,
    members: Vec<usize>,
    sets: Vec<Vec<usize>>,
    contexts: Rows,
    set_contexts: Rows,
}

impl Group {
    fn new(group: usize, members: &[usize], kept: &[usize], rng: &mut dyn Rng) -> Self {
        // The pinned heads 0, 3, 5 and 9, and the first others.
        let others = [1, 2, 4, 6, 7, 8, 10, 11];
        let set = |kept: &usize| [&[0, 3, 5, 9], &others[..kept - 4]].concat();
        Self {
            group,
            members: members.to_vec(),
            sets: kept.iter().map(set).collect(),
            contexts: vectors(members.len(), 42, rng),
            set_contexts: vectors(members.len(), 12, rng),
        }
    }

    fn trace(&self) -> GroupTrace {
        let of_samples = |indices: Vec<usize>| HeadSetGroup {
            heads: HeadSet::from_indices(self.sets[indices[0]].iter().copied(), 12).unwrap(),
            notes: (0..12)
                .map(|column| {
                    let values = indices.iter().map(|index| self.set_contexts[*index][column]);
                    values.sum::<f64>() / indices.len() as f64
                })
                .collect(),
            samples: indices,
        };
        // As they are drawn: a set for each sample, but one for all that keep every head.
        let (full, own): (Vec<_>, Vec<_>) = (0..self.sets.len()).partition(|index| self.sets[*index].len() == 12);
        let groups = own.into_iter().map(|index| vec![index]).chain(Some(full).filter(|full| !full.is_empty()));
        let decisions = GroupDecisions {
            kept: self.sets.iter().map(Vec::len).collect(),
            notes: self.contexts.clone(),
            set_notes: self.set_contexts.clone(),
            head_sets: groups.map(of_samples).collect(),
        };
        GroupTrace { group: self.group, members: self.members.clone(), decisions }
    }
}

/// Head-set bandit, built by hand, with the DHT paper's prior and the weight `prior_weight` of the current posterior.
/// Heads 0, 3, 5 and 9 are pinned.
fn head_sets_by_hand(prior_weight: f64) -> TopK<DiagonalLaplace, Thompson> {
    let prior = DiagonalLaplace::default().with_prior_mean(1.0).with_prior_precision(1e-3);
    let laplace = prior.with_prior_weight(prior_weight);
    let sets = TopK::per_arm(13, 12, laplace, Thompson { alpha: 1.0 }).unwrap();
    sets.with_pinned(&[0, 3, 5, 9].map(ArmId::new)).unwrap()
}

#[test]
fn head_bandits_compare_with_the_last_batch_that_ran_the_group() {
    // λ = 1 as in our reading of the print, and above 1.
    for prior_weight in [1.0, 2.5] {
        check_head_bandits(prior_weight);
    }
}

fn check_head_bandits(head_set_prior_weight: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let setup = setup_of(Preset::TDht, &SearchSettings { head_set_prior_weight, ..SearchSettings::paper() });
    let mut heads = BanditHeads::new(setup.clone()).unwrap();
    let features: Vec<Rows> = (0..3).map(|_| vectors(3, 42, &mut rng)).collect();
    let preparation = preparation(vectors(4, 84, &mut rng), features.clone(), Vec::new());
    heads.prepare(&preparation).unwrap();
    let head_features = preparation.arm_features.unwrap().head_sets;

    let ridge = Ridge::new(1.0);
    let mut counts_by_hand = LinUcb::new(87, 3, ridge, Ucb { alpha: 0.1 }).unwrap();
    let mut sets_by_hand = head_sets_by_hand(head_set_prior_weight);

    // Samples leave after 6, 12 and 9 layers. The first batch runs group 0 alone of those that are looked at, the
    // second groups 0 and 1, of which group 1 has no batch before it.
    let (exits, depths) = ([1, 3, 2], [6.0, 12.0, 9.0]);
    let batches = [
        ([0.5, 0.25, 1.5], vec![Group::new(0, &[0, 1, 2], &[8, 10, 12], &mut rng)]),
        (
            [0.75, 0.1, 2.0],
            vec![Group::new(0, &[2, 0, 1], &[10, 10, 8], &mut rng), Group::new(1, &[1, 2], &[12, 12], &mut rng)],
        ),
    ];
    let (mut seen, mut seen_by_sets) = (Rows::new(), Rows::new());
    let mut previous: [Option<f64>; 3] = [None; 3];
    let mut outcomes = [0; 2];
    for (values, groups) in batches {
        let traces: Vec<GroupTrace> = groups.iter().map(Group::trace).collect();
        heads.learn(&trace(Decisions::leaving_at(exits.to_vec()), traces), &losses(&exits, &values)).unwrap();

        for group in &groups {
            seen.extend(group.contexts.clone());
            seen_by_sets.extend(group.set_contexts.clone());
        }
        for Group { group, members, sets, contexts, set_contexts } in &groups {
            let delta = |index: usize| values[members[index]] * depths[members[index]] * sets[index].len() as f64;
            let mean = (0..members.len()).map(delta).sum::<f64>() / members.len() as f64;
            let reference = previous[*group].replace(mean).unwrap_or(mean);
            let mut chosen = Vec::new();
            for (index, set) in sets.iter().enumerate() {
                let (reward, arm) = (reference / delta(index), [8, 10, 12].iter().position(|kept| *kept == set.len()));
                let arm = arm.unwrap();
                let mut one_hot = vec![0.0; 3];
                one_hot[*group] = 1.0;
                let w = [scaled(&seen, &contexts[index]), scaled(&seen, &features[*group][arm]), one_hot].concat();
                counts_by_hand.update(ArmId::new(arm as u64), &w, reward, 1.0).unwrap();
                // More effective than the batch before: 1 for every kept head that is not pinned, of full sets too.
                for head in set.iter().filter(|head| ![0, 3, 5, 9].contains(*head)) {
                    let mut w = scaled(&seen_by_sets, &set_contexts[index]);
                    w.push(head_features[*head]);
                    chosen.push((ArmId::new(*head as u64), w, reward > 1.0));
                    outcomes[usize::from(reward > 1.0)] += 1;
                }
            }
            let feedback = chosen.iter().map(|(arm, w, good)| ArmFeedback::new(*arm, w, Feedback::from(*good)));
            sets_by_hand.update_batch(&feedback.collect::<Vec<_>>()).unwrap();
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both feedbacks occur: {outcomes:?}");

    let (counts, sets) = heads.bandits();
    check_head_sets(sets, &sets_by_hand, &mut rng);
    let raw = vectors(1, 42, &mut rng).remove(0);
    for (group, features) in features.iter().enumerate() {
        let one_hot: Vec<f64> = (0..3).map(|other| f64::from(u8::from(other == group))).collect();
        let scores = counts.unwrap().linear.scores(&setup, &raw, Some(features), &one_hot).unwrap();
        for (arm, score) in scores.into_iter().enumerate() {
            let w = [scaled(&seen, &raw), scaled(&seen, &features[arm]), one_hot.clone()].concat();
            assert_eq!(w.len(), 87);
            let expected = counts_by_hand.score(ArmId::new(arm as u64), &w).unwrap();
            close(score.mean, expected.mean, &format!("group {group}, mean of arm {arm}"));
            close(score.width, expected.width, &format!("group {group}, width of arm {arm}"));
        }
    }
}

fn check_head_sets(learned: &HeadSets, by_hand: &TopK<DiagonalLaplace, Thompson>, rng: &mut dyn Rng) {
    for head in 0..12 {
        let w: Vec<f64> = (0..13).map(|_| rng.random::<f64>()).collect();
        let [score, expected] = [learned.bandit(), by_hand].map(|bandit| bandit.score(ArmId::new(head), &w).unwrap());
        close(score.mean, expected.mean, &format!("mean of head {head}"));
        close(score.width, expected.width, &format!("width of head {head}"));
        // The published prior has a mean of ones; pinned heads still have it.
        if [0, 3, 5, 9].contains(&head) {
            close(score.mean, w.iter().sum(), &format!("the prior of head {head}"));
        }
    }
}

#[test]
fn integrated_searches_judge_head_sets_by_the_joint_rewards() {
    // With the printed feedback, 0 when r_cp = β_cp·ρ exceeds 1; r_H with its own factor would give 0 for each.
    let kappa = PerBandit { depth: 1.0, heads: 1e9, arms: 0.5 };
    let settings = SearchSettings { kappa, head_feedback: HeadFeedback::AsPublished, ..SearchSettings::paper() };
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut heads = BanditHeads::new(setup_of(Preset::FDht, &settings)).unwrap();
    let preparation = preparation(Vec::new(), Vec::new(), vectors(10, 84, &mut rng));
    heads.prepare(&preparation).unwrap();
    let head_features = preparation.arm_features.unwrap().head_sets;

    // Arms 0, 1, 5 and 9 of F-DHT are 3L12H, 6L8H, 9L10H and 12L12H; 3L12H runs no group.
    let costs = [36.0, 48.0, 90.0, 144.0];
    let mut by_hand = head_sets_by_hand(1.0);
    let (mut seen, mut previous, mut outcomes) = (Rows::new(), None, [0; 2]);
    for values in [[0.5, 0.25, 1.5, 0.1], [0.75, 0.02, 2.0, 0.01]] {
        let groups = [
            Group::new(0, &[1, 2, 3], &[8, 10, 12], &mut rng),
            Group::new(1, &[2, 3], &[10, 12], &mut rng),
            Group::new(2, &[3], &[12], &mut rng),
        ];
        let exits = [0, 1, 2, 3];
        let decisions = taking_arms(&Preset::FDht.space(12, 12).unwrap(), &[0, 1, 5, 9]).unwrap();
        let traces: Vec<GroupTrace> = groups.iter().map(Group::trace).collect();
        heads.learn(&trace(decisions, traces), &losses(&exits, &values)).unwrap();

        groups.iter().for_each(|group| seen.extend(group.set_contexts.clone()));
        let deltas: Vec<f64> = values.iter().zip(costs).map(|(loss, cost)| loss * cost).collect();
        // Of all samples of the batch before, whatever groups they ran; the first batch is compared with its own mean.
        let mean = deltas.iter().sum::<f64>() / 4.0;
        let reference = previous.replace(mean).unwrap_or(mean);
        for Group { members, sets, set_contexts, .. } in &groups {
            let mut chosen = Vec::new();
            for ((member, set), context) in members.iter().zip(sets).zip(set_contexts) {
                let rewarded = 0.5 * reference / deltas[*member] <= 1.0;
                outcomes[usize::from(rewarded)] += 1;
                for head in set.iter().filter(|head| ![0, 3, 5, 9].contains(*head)) {
                    let w = [scaled(&seen, context), vec![head_features[*head]]].concat();
                    chosen.push((ArmId::new(*head as u64), w, rewarded));
                }
            }
            let feedback = chosen.iter().map(|(arm, w, good)| ArmFeedback::new(*arm, w, Feedback::from(*good)));
            by_hand.update_batch(&feedback.collect::<Vec<_>>()).unwrap();
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both feedbacks occur: {outcomes:?}");
    check_head_sets(heads.bandits().1, &by_hand, &mut rng);
}

#[test]
fn full_sets_teach_nothing_where_the_settings_say_so() {
    for full_set_feedback in [false, true] {
        let settings = SearchSettings { full_set_feedback, ..SearchSettings::paper() };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut heads = BanditHeads::new(setup_of(Preset::SDht, &settings)).unwrap();
        heads.prepare(&preparation(Vec::new(), Vec::new(), vectors(6, 84, &mut rng))).unwrap();
        // Arm 5 of S-DHT is 12L12H.
        let decisions = taking_arms(&Preset::SDht.space(12, 12).unwrap(), &[5, 5]).unwrap();
        let traces = vec![Group::new(0, &[0, 1], &[12, 12], &mut rng).trace()];
        heads.learn(&trace(decisions, traces), &losses(&[3, 3], &[0.5, 1.0])).unwrap();
        let w = [1.0; 13];
        let learned = heads.bandits().1.bandit().score(ArmId::new(1), &w).unwrap();
        let prior = head_sets_by_hand(1.0).score(ArmId::new(1), &w).unwrap();
        assert_eq!(learned.width < prior.width, full_set_feedback);
    }
}
