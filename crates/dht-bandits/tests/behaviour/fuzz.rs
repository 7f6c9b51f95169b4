//! Any input is either refused or learned completely, and never causes a panic. Damaged files have a separate binary.

use dht_bandits::{
    ArmId, LinUcb, Normalizer, Policy, Ridge, Thompson, Ucb, features::PyramidPool, policy::Disjoint,
    posterior::DiagonalLaplace,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wild_numbers_are_refused_or_learned_whole(
        context in prop::collection::vec(prop::num::f64::ANY, 0..6),
        reward in prop::num::f64::ANY,
        weight in prop::num::f64::ANY,
    ) {
        let mut policy = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
        let before = policy.state();
        if policy.update(ArmId::new(1), &context, reward, weight).is_err() {
            prop_assert_eq!(policy.state(), before);
        } else {
            prop_assert!(LinUcb::from_state(&policy.state()).is_ok());
        }
        let options = DiagonalLaplace::default();
        let mut logistic = Disjoint::new(3, 2, options, Thompson { alpha: 1.0 }).unwrap();
        let before = logistic.state();
        if logistic.update(ArmId::new(1), &context, reward, weight).is_err() {
            prop_assert_eq!(logistic.state(), before);
        } else {
            prop_assert!(Disjoint::<DiagonalLaplace, Thompson>::from_state(&logistic.state()).is_ok());
        }
        let mut norm = Normalizer::new(3).unwrap();
        if norm.observe(&context).is_ok() {
            prop_assert!(norm.normalise(&[1.0, 2.0, 3.0]).unwrap().iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn pooled_means_lie_within_their_tensor(rows in 1usize..9, columns in 1usize..20, first in 0u32..3, more in 0u32..3) {
        let pool = PyramidPool::grid(0..=1, first..=first + more).unwrap();
        let values: Vec<f32> = (0..rows * columns).map(|position| (position as f32 * 0.7).sin()).collect();
        let pooled = pool.pool(&values, &[rows, columns]).unwrap();
        prop_assert_eq!(pooled.len(), pool.dimension());
        prop_assert!(pooled.iter().all(|mean| mean.abs() <= 1.0));
    }
}
