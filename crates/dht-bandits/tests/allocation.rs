//! `select`, `update` and `learn` of the policies that the crate's documentation lists do not allocate, and evaluation
//! allocates little. An instrumented allocator counts, so that these tests are a separate binary.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::alloc::System;

use dht_bandits::{
    ArmId, LinTs, LinUcb, Normalizer, Observation, Policy, Request, Ridge, Thompson, Ucb,
    evaluation::{Evaluation, EvaluationSettings, Target},
    exploration::{EpsilonGreedy, Exploration},
    log::LoggedDecision,
    policy::{
        ArmFeedback, BetaThompson, ChoiceBatch, ContextFree, Disjoint, Feedback, Fixed, Hybrid, Slate, TopK, Ucb1,
        Uniform,
    },
    posterior::{DiagonalLaplace, FullLaplace, NormalInverseGamma, Posterior},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Number of allocations and reallocations while a function runs.
fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(COUNTED);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Request with arms that have one row of features each.
fn featured<'a>(context: &'a [f64], arms: &'a [ArmId], features: &'a [f64]) -> Request<'a> {
    Request::new(context).featured(arms, features, features.len() / arms.len()).unwrap()
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

const UCB: Ucb = Ucb { alpha: 1.0 };
const THOMPSON: Thompson = Thompson { alpha: 1.0 };

fn fading() -> DiagonalLaplace {
    DiagonalLaplace::default().with_prior_precision(1.0).with_decay(0.9)
}

fn single_choices() {
    let mut rng = rng();
    for dimension in [12, 40] {
        let storing = Ridge::default().with_decay(0.99).with_keep_information(true);
        let (ridge, full, diagonal) = (Ridge::default(), FullLaplace::default(), DiagonalLaplace::default());
        let noise = NormalInverseGamma::default();
        let policies: Vec<Box<dyn Policy>> = vec![
            Box::new(LinUcb::new(dimension, 20, ridge, UCB).unwrap()),
            Box::new(LinUcb::new(dimension, 20, storing, UCB).unwrap()),
            Box::new(LinTs::new(dimension, 20, ridge, THOMPSON).unwrap()),
            Box::new(Disjoint::new(dimension, 20, ridge, EpsilonGreedy::new(0.5)).unwrap()),
            Box::new(Disjoint::new(dimension, 20, full, THOMPSON).unwrap()),
            Box::new(Disjoint::new(dimension, 20, diagonal, THOMPSON).unwrap()),
            Box::new(Disjoint::new(dimension, 20, noise, THOMPSON).unwrap()),
            Box::new(ContextFree::new(20, Ucb1::default()).unwrap()),
            Box::new(ContextFree::new(20, BetaThompson::default()).unwrap()),
            Box::new(Uniform::new(dimension, 20).unwrap()),
            Box::new(Fixed::new(dimension, 20, ArmId::new(3)).unwrap()),
        ];
        let context = vec![0.3; dimension];
        let some = [3, 4, 9].map(ArmId::new);
        for mut policy in policies {
            let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
            let count = allocations(|| {
                let all = Request::new(&context);
                for request in [all, all.only(&some), all.except(&some)] {
                    let choice = policy.select(&request, &mut rng).unwrap();
                    policy.update(choice.arm, &context, 1.0, 0.5).unwrap();
                }
                policy.learn(&decision, 0.0).unwrap();
            });
            assert_eq!(count, 0);
        }
    }
}

/// Operations that reuse their memory: the second call allocates nothing.
fn batches<P: Posterior, E: Exploration>(mut policy: Disjoint<P, E>) {
    let mut rng = rng();
    let contexts: Vec<_> = (0..40 * policy.dimension()).map(|position| (position as f64).sin()).collect();
    let mut batch = ChoiceBatch::default();
    let observations: Vec<_> = (contexts.chunks(policy.dimension()))
        .map(|row| Observation::new(policy.decide(&Request::new(row), &mut rng).unwrap(), 1.0))
        .collect();
    let mut round = || {
        policy.select_batch(&Request::new(&contexts), &mut rng, &mut batch).unwrap();
        policy.learn_batch(&observations).unwrap();
    };
    round();
    assert_eq!(allocations(round), 0);
}

fn slates<P: Posterior, E: Exploration>(mut policy: TopK<P, E>, arms: &[ArmId]) {
    let mut rng = rng();
    let contexts: Vec<_> = (0..arms.len() * policy.dimension()).map(|position| (position as f64).sin()).collect();
    let mut slate = Slate::default();
    let seen = [Feedback::from(true), Feedback::from(false), Feedback::Unobserved, Feedback::from(false)];
    let row = &contexts[..policy.dimension()];
    let batch: Vec<_> = arms.iter().map(|&arm| ArmFeedback::new(arm, row, Feedback::from(true))).collect();
    let mut round = || {
        policy.select_slate_into(4, &featured(&[], arms, &contexts), &mut rng, &mut slate).unwrap();
        policy.learn_slate(&slate, &seen).unwrap();
        policy.update_batch(&batch).unwrap();
    };
    round();
    assert_eq!(allocations(round), 0);
}

fn hybrid() {
    let mut rng = rng();
    let mut policy = Hybrid::new(6, 5, 4, 1.0, UCB).unwrap();
    let arms = [0, 1, 3].map(ArmId::new);
    let (context, features) = ([0.2; 6], [0.4; 15]);
    let decision = policy.decide(&featured(&context, &arms, &features), &mut rng).unwrap();
    let count = allocations(|| {
        let choice = policy.select(&featured(&context, &arms, &features), &mut rng).unwrap();
        policy.update(choice.arm, &context, &features[..5], 1.0, 1.0).unwrap();
        policy.learn(&decision, 0.5).unwrap();
    });
    assert_eq!(count, 0);
}

/// `Evaluation::run` holds the probabilities of one row at a time.
fn evaluation() {
    const ROWS: usize = 2000;
    const ARMS: usize = 200;
    let row = |number: usize| {
        let arm = ArmId::new((number * 7919 % ARMS) as u64);
        LoggedDecision::new(vec![1.0], arm, 1.0 / ARMS as f64, (number % 2) as f64)
    };
    let log: Vec<_> = (0..ROWS).map(row).collect();
    let live = || {
        let stats = COUNTED.stats();
        stats.bytes_allocated as isize - stats.bytes_deallocated as isize
    };
    let (before, most) = (live(), std::cell::Cell::new(0));
    let uniform = Target::new("uniform", |_| {
        most.set(most.get().max(live() - before));
        Ok((0..ARMS as u64).map(|arm| (ArmId::new(arm), 1.0 / ARMS as f64)).collect())
    });
    Evaluation::run(&log, &[uniform], &EvaluationSettings::default(), &mut rng()).unwrap();
    let all_rows = (ROWS * ARMS * size_of::<(ArmId, f64)>()) as isize;
    assert!(most.get() > 0 && most.get() < all_rows / 2, "{} of {all_rows} bytes", most.get());
}

/// All cases are one test, because the process has one count.
#[test]
fn selecting_and_learning_allocate_nothing() {
    // The thread of the test harness allocates while it starts a test.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(allocations(|| drop(vec![1u8; 100])) > 0, "the count counts");
    single_choices();
    let diagonal = DiagonalLaplace::default();
    batches(LinTs::new(12, 5, Ridge::default(), THOMPSON).unwrap());
    batches(Disjoint::new(20, 5, FullLaplace::default(), THOMPSON).unwrap());
    batches(Disjoint::new(9, 5, diagonal, THOMPSON).unwrap());
    batches(Disjoint::new(9, 5, fading(), THOMPSON).unwrap());
    let arms: Vec<_> = (0..9).map(ArmId::new).collect();
    slates(TopK::per_arm(3, 9, diagonal, THOMPSON).unwrap(), &arms);
    slates(TopK::per_arm(3, 9, fading(), THOMPSON).unwrap(), &arms);
    slates(TopK::shared(3, diagonal, THOMPSON).unwrap(), &arms);
    slates(TopK::<FullLaplace, _>::shared(13, FullLaplace::default(), THOMPSON).unwrap(), &arms);
    slates(TopK::<Ridge, _>::shared(20, Ridge::default(), UCB).unwrap(), &arms);
    hybrid();
    let mut norm = Normalizer::new(12).unwrap();
    let mut context = [0.3; 12];
    let count = allocations(|| {
        norm.observe(&context).unwrap();
        norm.normalise_in_place(&mut context).unwrap();
    });
    assert_eq!(count, 0);
    evaluation();
}
