//! Sparse contexts and hashed features, against dense policies and naive formulas.

use dht_bandits::exploration::{EpsilonGreedy, Exploration, GrowingUcb, Softmax, SquareCb};
use dht_bandits::features::{FeatureHasher, FeatureSpace, SparseContext};
use dht_bandits::log::LoggedDecision;
use dht_bandits::policy::{
    AdaGrad, AnyPolicy, ContextFree, Disjoint, Fixed, Hybrid, Normalised, RewardType, SparsePolicy, TopK, Ucb1, Uniform,
};
use dht_bandits::posterior::{DiagonalLaplace, FullLaplace, sigmoid};
use dht_bandits::{ArmId, Error, LinUcb, Observation, Policy, Request, Ridge, Thompson, Ucb};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::support::{assert_close, rng};

const BITS: u32 = 6;

fn space() -> FeatureSpace {
    FeatureSpace::new(BITS).unwrap()
}

/// Sparse context with some of 64 values, and the same context as a list of all values.
fn both(rng: &mut ChaCha8Rng) -> (SparseContext, Vec<f64>) {
    let mut dense = vec![0.0; 1 << BITS];
    for value in &mut dense {
        if rng.random::<f64>() < 0.1 {
            *value = rng.random_range(-2.0..2.0);
        }
    }
    let pairs =
        dense.iter().enumerate().filter(|(_, value)| **value != 0.0).map(|(index, value)| (index as u32, *value));
    (SparseContext::new(space(), pairs.collect::<Vec<_>>()).unwrap(), dense)
}

fn equals_the_dense_policy<E: Exploration>(rule: &E, options: DiagonalLaplace) {
    let mut sparse = SparsePolicy::new(space(), 4, options, rule.clone()).unwrap();
    let mut dense = Disjoint::new(1 << BITS, 4, options, rule.clone()).unwrap();
    let mut world = rng(3);
    let (mut ours, mut theirs) = (rng(4), rng(4));
    for round in 0..400 {
        let (context, all) = both(&mut world);
        let request = Request::from(&context);
        let decision = sparse.decide(&request, &mut ours).unwrap();
        let expected = dense.decide(&Request::new(&all), &mut theirs).unwrap();
        assert_eq!(decision.arm(), expected.arm(), "round {round}");
        let (got, reference) = (decision.choice.propensity.unwrap(), expected.choice.propensity.unwrap());
        assert!((got - reference).abs() < 1e-8, "{got} {reference}");
        let reward = f64::from(u8::from(world.random::<f64>() < sigmoid(all[3] - all[9])));
        sparse.update(decision.arm(), &decision.context, reward, 1.5).unwrap();
        dense.update(expected.arm(), &all, reward, 1.5).unwrap();
        for arm in (0..4).map(ArmId::new) {
            let (got, reference) = (sparse.score(arm, context.values()).unwrap(), dense.score(arm, &all).unwrap());
            assert!((got.mean - reference.mean).abs() < 1e-12 * (1.0 + reference.mean.abs()), "{got:?} {reference:?}");
            assert!((got.width - reference.width).abs() < 1e-12 * (1.0 + reference.width), "{got:?} {reference:?}");
        }
        if round == 200 {
            let (added, also) = (sparse.add_arm_like(ArmId::new(1)), dense.add_arm_like(ArmId::new(1)));
            assert_eq!(added, also);
            sparse.remove_arm(added.clone().unwrap()).unwrap();
            dense.remove_arm(added.unwrap()).unwrap();
            sparse.warm_start(ArmId::new(0), ArmId::new(2)).unwrap();
            dense.warm_start(ArmId::new(0), ArmId::new(2)).unwrap();
        }
    }
    assert_eq!((sparse.version(), dense.version()), (400, 400));
}

#[test]
fn sparse_policies_equal_dense_diagonal_ones() {
    let options = DiagonalLaplace::default().with_prior_precision(0.7);
    equals_the_dense_policy(&Ucb { alpha: 0.5 }, options);
    equals_the_dense_policy(&GrowingUcb { alpha: 0.25, rounds: 50.0, limit: 1.5 }, options.with_prior_mean(0.2));
    equals_the_dense_policy(&Thompson { alpha: 0.5 }, options);
    equals_the_dense_policy(&SquareCb::new(10.0), options);
    equals_the_dense_policy(&EpsilonGreedy::new(0.2), options);
    equals_the_dense_policy(&Softmax { temperature: 0.3 }, options);
}

#[test]
fn arms_are_removed_with_their_weights() {
    let mut sparse = SparsePolicy::new(space(), 3, DiagonalLaplace::default(), Ucb { alpha: 0.0 }).unwrap();
    let mut dense = Disjoint::new(1 << BITS, 3, DiagonalLaplace::default(), Ucb { alpha: 0.0 }).unwrap();
    let mut world = rng(8);
    let mut contexts = Vec::new();
    for round in 0..60u64 {
        let (context, all) = both(&mut world);
        let arm = ArmId::new(round % 3);
        sparse.update(arm, context.values(), 1.0, 1.0).unwrap();
        dense.update(arm, &all, 1.0, 1.0).unwrap();
        contexts.push((context, all));
    }
    sparse.remove_arm(ArmId::new(0)).unwrap();
    dense.remove_arm(ArmId::new(0)).unwrap();
    assert_eq!((sparse.add_arm(), dense.add_arm()), (Ok(ArmId::new(3)), Ok(ArmId::new(3))));
    for (context, all) in contexts {
        for arm in [1, 2, 3].map(ArmId::new) {
            let (got, reference) = (sparse.score(arm, context.values()).unwrap(), dense.score(arm, &all).unwrap());
            assert_close(got.mean, reference.mean, 1e-12, "mean");
            assert_close(got.width, reference.width, 1e-12, "width");
        }
        assert_eq!(sparse.score(ArmId::new(0), context.values()), Err(Error::RemovedArm { arm: ArmId::new(0) }));
    }
}

#[test]
fn ada_grad_follows_its_formula() {
    for reward_type in [RewardType::Real, RewardType::Binary] {
        let options = AdaGrad::new(reward_type).with_learning_rate(0.8);
        let mut policy = SparsePolicy::new(space(), 1, options, EpsilonGreedy::new(0.0)).unwrap();
        let (mut weights, mut squares) = (vec![0.0f64; 1 << BITS], vec![0.0f64; 1 << BITS]);
        let mut world = rng(5);
        for _ in 0..300 {
            let (context, all) = both(&mut world);
            let (reward, weight): (f64, f64) = (world.random(), world.random_range(0.1..3.0));
            policy.update(ArmId::new(0), context.values(), reward, weight).unwrap();
            let predict = |mean: f64| if reward_type == RewardType::Real { mean } else { sigmoid(mean) };
            let mean: f64 = weights.iter().zip(&all).map(|(weight, value)| weight * value).sum();
            let slope = weight * (reward - predict(mean));
            let rates: Vec<f64> = (0..all.len())
                .map(|index| {
                    squares[index] += (slope * all[index]).powi(2);
                    0.8 / (1.0 + squares[index]).sqrt()
                })
                .collect();
            // The step c solves c = w(y − prediction after the step), here by bisection.
            let sensitivity: f64 = rates.iter().zip(&all).map(|(rate, value)| rate * value * value).sum();
            let (mut low, mut high) = (-1e3, 1e3);
            for _ in 0..200 {
                let step = 0.5 * (low + high);
                if step > weight * (reward - predict(mean + step * sensitivity)) { high = step } else { low = step }
            }
            for index in 0..all.len() {
                weights[index] += low * all[index] * rates[index];
            }
            let (probe, values) = both(&mut world);
            let expected: f64 = weights.iter().zip(&values).map(|(weight, value)| weight * value).sum();
            assert_close(policy.score(ArmId::new(0), probe.values()).unwrap().mean, expected, 1e-9, "mean");
        }
    }
}

#[test]
fn shared_weights_equal_one_arm() {
    let rule = SquareCb::new(5.0);
    let mut shared = SparsePolicy::shared(space(), DiagonalLaplace::default(), rule).unwrap();
    let mut single = SparsePolicy::new(space(), 1, DiagonalLaplace::default(), rule).unwrap();
    let (mut world, mut draws) = (rng(6), rng(7));
    let arms = [4, 9, 2].map(ArmId::new);
    for _ in 0..200 {
        let actions: Vec<_> = (0..3).map(|_| both(&mut world).0).collect();
        let (rows, width) = SparseContext::rows(&actions).unwrap();
        let request = Request::new(&[]).featured(&arms, &rows, width).unwrap();
        let decision = shared.decide(&request, &mut draws).unwrap();
        let position = arms.iter().position(|arm| *arm == decision.arm()).unwrap();
        assert_eq!(
            SparseContext::from_values(&decision.context).unwrap().pairs().collect::<Vec<_>>(),
            actions[position].pairs().collect::<Vec<_>>()
        );
        let total: f64 = shared.propensities(&request).unwrap().iter().map(|entry| entry.probability).sum();
        assert!((total - 1.0).abs() < 1e-12);
        for (action, row) in actions.iter().zip(rows.chunks(width)) {
            assert_eq!(single.score(ArmId::new(0), action.values()), shared.score(arms[0], row));
        }
        shared.learn(&decision, 1.0).unwrap();
        single.update(ArmId::new(0), actions[position].values(), 1.0, 1.0).unwrap();
    }
    assert_eq!(shared.largest_weights(None, 9), single.largest_weights(Some(ArmId::new(0)), 9));
}

#[test]
fn bad_indices_are_refused_by_position() {
    let new = |pairs: &[(u32, f64)]| SparseContext::new(space(), pairs.to_vec()).unwrap_err();
    assert_eq!(new(&[(3, 1.0), (64, 1.0)]), Error::SparseIndex { position: 1, index: 64.0, size: 64 });
    assert_eq!(new(&[(3, 1.0), (3, 1.0)]), Error::SparseOrder { position: 1, index: 3, before: 3 });
    assert_eq!(new(&[(9, 1.0), (3, 1.0)]), Error::SparseOrder { position: 1, index: 3, before: 9 });
    assert!(matches!(new(&[(3, f64::NAN)]), Error::NotFinite { .. }));
    assert!(matches!(new(&[(3, 1e101)]), Error::TooLarge { .. }));
    assert!(FeatureSpace::new(0).is_err() && FeatureSpace::new(29).is_err());
    assert_eq!(
        new(&[(9, 1.0), (3, 1.0)]).to_string(),
        "index 3 at position 1 follows 9: sort the indices, and add values of one index"
    );
    let empty = SparseContext::new(space(), []).unwrap();
    assert_eq!(empty.pairs().len(), 0);
}

#[test]
fn damaged_numbers_of_a_context_are_refused() {
    let context = SparseContext::new(space(), [(3, 1.0), (7, -2.0)]).unwrap();
    let good = context.values().to_vec();
    assert_eq!(SparseContext::from_values(&good).unwrap(), context);
    for position in 0..good.len() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 0.5, 1e300, 1e9, f64::MIN] {
            let mut damaged = good.clone();
            damaged[position] = value;
            if damaged[position] == good[position] {
                continue;
            }
            if let Ok(read) = SparseContext::from_values(&damaged) {
                // Another valid context, with another value.
                assert!(read.pairs().all(|(index, value)| index < 64 && value.abs() <= 1e100));
                assert!(position == 4 || position == 6, "{position} {value}");
            }
        }
        assert!(SparseContext::from_values(&good[..position]).is_err(), "{position}");
    }
}

#[test]
fn another_feature_space_changes_nothing() {
    let mut policy = SparsePolicy::new(space(), 2, DiagonalLaplace::default(), Ucb { alpha: 1.0 }).unwrap();
    policy.update(ArmId::new(0), SparseContext::new(space(), [(1, 1.0)]).unwrap().values(), 1.0, 1.0).unwrap();
    let before = serde_json::to_string(&policy.state()).unwrap();
    let larger = SparseContext::new(FeatureSpace::new(7).unwrap(), [(1, 1.0)]).unwrap();
    let mut hasher = FeatureHasher::new(BITS).unwrap();
    let hashed = hasher.context().unwrap();
    let good = SparseContext::new(space(), [(1, 1.0)]).unwrap();
    let mut draws = rng(1);
    for other in [&larger, &hashed] {
        let refused = |error| matches!(error, Error::OtherFeatureSpace { .. });
        assert!(refused(policy.decide(&other.into(), &mut draws).unwrap_err()));
        assert!(refused(policy.propensities(&other.into()).unwrap_err()));
        assert!(refused(policy.update(ArmId::new(0), other.values(), 1.0, 1.0).unwrap_err()));
        let rows =
            [&good, other].map(|context| LoggedDecision::new(context.values().to_vec(), ArmId::new(0), 0.5, 1.0));
        assert!(matches!(policy.fit(&rows).unwrap_err(), Error::InRound { round: 1, .. }));
    }
    for (reward, weight) in [(1.5, 1.0), (f64::NAN, 1.0), (1.0, 0.0)] {
        assert!(policy.update(ArmId::new(0), good.values(), reward, weight).is_err());
    }
    assert!(policy.update(ArmId::new(5), good.values(), 1.0, 1.0).is_err());
    assert!(matches!(policy.select(&Request::new(&[1.0, 2.0, 3.0, 4.0]), &mut draws), Err(Error::NotSparse { .. })));
    assert_eq!(serde_json::to_string(&policy.state()).unwrap(), before);
    assert_ne!(FeatureHasher::new(BITS).unwrap().with_seed(1).space(), hasher.space());
    assert_ne!(FeatureHasher::new(BITS).unwrap().with_ngrams(2).unwrap().space(), hasher.space());
    assert_ne!(FeatureHasher::new(BITS).unwrap().with_interactions([("a", "b")]).unwrap().space(), hasher.space());
}

#[test]
fn a_refused_batch_leaves_every_bit() {
    let mut policy = SparsePolicy::new(space(), 2, AdaGrad::default(), SquareCb::new(9.0)).unwrap();
    let (mut world, mut draws) = (rng(2), rng(3));
    let mut observe = |policy: &SparsePolicy<AdaGrad, SquareCb>| {
        let decision = policy.decide(&(&both(&mut world).0).into(), &mut draws).unwrap();
        Observation::new(decision, 0.5)
    };
    let mut batch: Vec<_> = (0..20).map(|_| observe(&policy)).collect();
    policy.learn_batch(&batch).unwrap();
    let before = policy.state();
    batch.push(Observation { reward: f64::NAN, ..observe(&policy) });
    assert!(policy.learn_batch(&batch).is_err());
    assert_eq!(policy.state(), before);
}

#[test]
fn a_loaded_sparse_policy_continues_with_the_same_bits() {
    let mut policy = SparsePolicy::new(space(), 3, DiagonalLaplace::default(), Thompson { alpha: 0.4 }).unwrap();
    let mut world = rng(9);
    let mut learn = |policy: &mut SparsePolicy<DiagonalLaplace, Thompson>, draws: &mut ChaCha8Rng| {
        let decision = policy.decide(&(&both(&mut world).0).into(), draws).unwrap();
        policy.learn(&decision, 1.0).unwrap();
        decision
    };
    (0..50).for_each(|_| drop(learn(&mut policy, &mut rng(1))));
    policy.remove_arm(ArmId::new(1)).unwrap();
    let json = serde_json::to_string(&policy).unwrap();
    let mut loaded: SparsePolicy<DiagonalLaplace, Thompson> = serde_json::from_str(&json).unwrap();
    let bytes = postcard::to_allocvec(&policy).unwrap();
    let packed: SparsePolicy<DiagonalLaplace, Thompson> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((loaded.state(), packed.state()), (policy.state(), policy.state()));
    let decision = learn(&mut policy, &mut rng(5));
    loaded.learn(&decision, 1.0).unwrap();
    assert_eq!(loaded.state(), policy.state());
    let state = serde_json::to_value(&policy).unwrap();
    let damage = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut damaged = state.clone();
        edit(&mut damaged);
        serde_json::from_value::<SparsePolicy<DiagonalLaplace, Thompson>>(damaged).is_err()
    };
    assert!(damage(&|state| state["learned"][0][0] = 64.into()));
    assert!(damage(&|state| state["learned"][0][1] = 2.into()));
    assert!(damage(&|state| state["learned"][0][3] = (-1.0).into()));
    assert!(damage(&|state| state["learned"][1] = state["learned"][0].clone()));
    assert!(damage(&|state| state["space"]["bits"] = 40.into()));
    assert!(damage(&|state| state["model"]["decay"] = 0.9.into()));
}

#[test]
fn policies_that_need_all_values_refuse_sparse_ones() {
    // The context has the length that the policies expect, so that the length alone cannot reveal the error.
    let context = SparseContext::new(space(), [(3, 1.0)]).unwrap();
    let values = context.values();
    let (dimension, mut draws) = (values.len(), rng(1));
    let any = "kind = \"linear\"\ndimension = 5\narms = 2\nexploration = { rule = \"ucb\", alpha = 1.0 }";
    let any = AnyPolicy::new(dht_bandits::policy::PolicySettings::from_toml(any).unwrap()).unwrap();
    let lin = LinUcb::new(dimension, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let refusing: Vec<Box<dyn Policy>> = vec![
        Box::new(lin.clone()),
        Box::new(Disjoint::new(dimension, 2, FullLaplace::default(), Ucb { alpha: 1.0 }).unwrap()),
        Box::new(Disjoint::new(dimension, 2, DiagonalLaplace::default(), Ucb { alpha: 1.0 }).unwrap()),
        Box::new(Normalised::new(lin.clone(), dht_bandits::Normalizer::new(dimension).unwrap(), 5, false).unwrap()),
        Box::new(AnyPolicy::recommended(dimension, 2, RewardType::Binary).unwrap()),
        Box::new(any),
    ];
    for mut policy in refusing {
        assert!(!policy.takes_sparse_contexts());
        let refused = |error: &Error| assert!(error.to_string().contains("SparsePolicy"), "{error}");
        refused(&policy.select(&(&context).into(), &mut draws).unwrap_err());
        refused(&policy.update(ArmId::new(0), values, 1.0, 1.0).unwrap_err());
        assert_eq!(policy.version(), 0);
    }
    let arms = [0, 1].map(ArmId::new);
    let (rows, width) = SparseContext::rows([&context, &context]).unwrap();
    let request = Request::new(&[]).featured(&arms, &rows, width).unwrap();
    let shared = TopK::shared(width, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    assert!(shared.select(&request, &mut draws).unwrap_err().to_string().contains("SparsePolicy"));
    let hybrid = Hybrid::new(1, width, 2, 1.0, Ucb { alpha: 1.0 });
    if let Ok(hybrid) = hybrid {
        let request = Request::new(&[1.0]).featured(&arms, &rows, width).unwrap();
        assert!(hybrid.select(&request, &mut draws).unwrap_err().to_string().contains("SparsePolicy"));
    }
    let taking: Vec<Box<dyn Policy>> = vec![
        Box::new(Uniform::new(dimension, 2).unwrap()),
        Box::new(Fixed::new(0, 2, ArmId::new(1)).unwrap()),
        Box::new(ContextFree::new(2, Ucb1::default()).unwrap()),
        Box::new(SparsePolicy::new(space(), 2, AdaGrad::default(), SquareCb::new(1.0)).unwrap()),
    ];
    for mut policy in taking {
        assert!(policy.takes_sparse_contexts());
        let decision = policy.decide(&(&context).into(), &mut draws).unwrap();
        policy.learn(&decision, 1.0).unwrap();
    }
}

#[test]
fn a_hasher_is_a_function_of_its_features_as_a_set() {
    let settings = || FeatureHasher::new(18).unwrap().with_interactions([("user", "ad")]).unwrap();
    let (mut one, mut other) = (settings(), settings());
    one.category("user", "country", "DE");
    one.number("user", "age", 0.4).unwrap();
    one.text("ad", "Red SHOES, red!");
    other.text("ad", "red red shoes");
    other.number("user", "age", 0.4).unwrap();
    other.category("user", "country", "DE");
    let context = one.context().unwrap();
    assert_eq!(context, other.context().unwrap());
    // A word that occurs twice is one feature with value 2.
    assert_eq!(context.pairs().len(), 1 + 2 + 2 + 4);
    assert_eq!(context.pairs().filter(|(_, value)| value.abs() == 2.0).count(), 2);
    one.truncate(2);
    assert_eq!(one.context().unwrap().pairs().len(), 3);
    one.clear();
    assert_eq!((one.len(), one.is_empty(), one.context().unwrap().pairs().len()), (0, true, 1));
    assert_eq!(settings().without_constant().context().unwrap().pairs().len(), 0);
    assert!(one.number("user", "age", f64::NAN).is_err());
}

#[test]
fn squares_and_pairs_of_one_namespace_come_once() {
    let mut hasher = FeatureHasher::new(20).unwrap().with_interactions([("a", "a")]).unwrap().with_names();
    for (name, value) in [("x", 2.0), ("y", 3.0), ("z", 5.0)] {
        hasher.number("a", name, value).unwrap();
    }
    let context = hasher.context().unwrap();
    let of =
        |name: &str| context.pairs().find(|(index, _)| hasher.names(*index)[0] == name).map(|(_, value)| value.abs());
    assert_eq!(context.pairs().len(), 3 + 6 + 1);
    assert_eq!((of("a^x × a^x"), of("a^x × a^z"), of("a^y × a^z")), (Some(4.0), Some(10.0), Some(15.0)));
    assert!(FeatureHasher::new(9).unwrap().with_interactions([("a", "b"), ("b", "a")]).is_err());
    assert!(FeatureHasher::new(9).unwrap().with_ngrams(0).is_err());
}

#[test]
fn collisions_are_as_many_as_chance_expects() {
    let mut hasher = FeatureHasher::new(12).unwrap().without_constant().with_names();
    let mut positive = 0;
    for word in 0..2000 {
        hasher.clear();
        hasher.category("word", "id", &word.to_string());
        positive += hasher.context().unwrap().pairs().filter(|(_, value)| *value > 0.0).count();
    }
    let (features, collisions) = hasher.collisions().unwrap();
    // 2,000 balls in 4,096 cells leave 2,000 − 4,096(1 − e^(−2000/4096)) = 417 balls in cells that are already taken.
    // The tolerance is 5 deviations.
    assert_eq!(features, 2000);
    assert!(collisions.abs_diff(417) < 80, "{collisions}");
    assert!(positive.abs_diff(1000) < 112, "{positive}");
    assert_eq!(FeatureHasher::new(12).unwrap().collisions(), None);
}

#[test]
fn a_planted_word_decides_and_is_explained() {
    for seed in 0..5 {
        let (mut world, mut draws) = (rng(seed), rng(100 + seed));
        let mut hasher = FeatureHasher::new(18).unwrap().with_names();
        let mut policy =
            SparsePolicy::new(hasher.space(), 3, DiagonalLaplace::default(), SquareCb::new(100.0)).unwrap();
        let mut late = 0.0;
        for round in 0..3000 {
            let topic = world.random_range(0..3u64);
            hasher.clear();
            let noise: Vec<String> = (0..8).map(|_| format!("w{}", world.random_range(0..500))).collect();
            hasher.text("text", &format!("{} topic{topic}", noise.join(" ")));
            let context = hasher.context().unwrap();
            let decision = policy.decide(&(&context).into(), &mut draws).unwrap();
            let reward = f64::from(u8::from(decision.arm().number() == topic));
            policy.learn(&decision, reward).unwrap();
            late += if round >= 2000 { reward / 1000.0 } else { 0.0 };
        }
        assert!(late > 0.9, "seed {seed}: {late}");
        let (index, _) = policy.largest_weights(Some(ArmId::new(1)), 1)[0];
        assert!(hasher.names(index)[0].starts_with("text^topic"), "{:?}", hasher.names(index));
        hasher.clear();
        hasher.text("text", "topic1 w3");
        let context = hasher.context().unwrap();
        let decision = policy.decide(&(&context).into(), &mut draws).unwrap();
        let explanation = policy.explain(&decision).unwrap();
        let sum: f64 = explanation.contributions.iter().map(|(_, part)| part).sum();
        assert_close(sum, explanation.mean, 1e-12, "sum of the parts");
    }
}
