//! `select` and `update` do not allocate: counted by an instrumented allocator, in a binary of its own.

use dht_bandits::{
    ArmId, Available, Candidates, DiagonalLaplaceOptions, DiagonalLogisticTs, FullLaplaceOptions, LinTs, LinUcb,
    LogisticTs, Policy, RidgeOptions, Slate, Thompson, TopKThompson, Ucb,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test, because the count is the process's.
#[test]
fn selecting_and_updating_allocate_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for dimension in [12, 40] {
        let ridge = RidgeOptions { discount: 0.99, keep_information: true, ..RidgeOptions::default() };
        let thompson = Thompson { alpha: 1.0 };
        let full = FullLaplaceOptions::default();
        let policies: Vec<Box<dyn Policy>> = vec![
            Box::new(LinUcb::new(dimension, 20, RidgeOptions::default(), Ucb { alpha: 1.0 }).unwrap()),
            Box::new(LinUcb::new(dimension, 20, ridge, Ucb { alpha: 1.0 }).unwrap()),
            Box::new(LinTs::new(dimension, 20, RidgeOptions::default(), thompson).unwrap()),
            Box::new(LogisticTs::new(dimension, 20, full, thompson).unwrap()),
            Box::new(DiagonalLogisticTs::new(dimension, 20, DiagonalLaplaceOptions::default(), thompson).unwrap()),
        ];
        let context = vec![0.3; dimension];
        let some = [3, 4, 9].map(ArmId::new);
        for mut policy in policies {
            let region = Region::new(COUNTED);
            for available in [Available::All, Available::Only(&some), Available::Except(&some)] {
                let choice = policy.select(&context, available, &mut rng).unwrap();
                policy.update(choice.arm, &context, 1.0, 0.5).unwrap();
            }
            assert_eq!(region.change().allocations, 0);
        }
    }
    let policy = TopKThompson::per_arm(3, 20, DiagonalLaplaceOptions::default(), Thompson { alpha: 1.0 }).unwrap();
    let arms: Vec<_> = policy.arms().iter().collect();
    let mut slate = Slate::default();
    policy.select_into(5, Candidates::in_context(&arms, &[0.1, 0.2, 0.3]), &mut rng, &mut slate).unwrap();
    let region = Region::new(COUNTED);
    policy.select_into(5, Candidates::in_context(&arms, &[0.1, 0.2, 0.3]), &mut rng, &mut slate).unwrap();
    assert_eq!(region.change().allocations, 0);
}
