//! Whatever is read or passed in: an error or a policy that works, never a panic.

use crate::support::{normals, rng};
use dht_bandits::{
    ArmId, Available, LinUcb, NormOptions, PyramidPool, RidgeOptions, RunningNorm, Thompson, TopKThompson, Ucb,
};
use proptest::prelude::*;

fn saved() -> String {
    let mut policy = LinUcb::new(3, 3, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut rng = rng(1);
    for arm in 0..9 {
        policy.update(ArmId::new(arm % 3), &normals(&mut rng, 3), 1.0, 1.0).unwrap();
    }
    serde_json::to_string(&policy).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_state_is_refused_or_works(place in 0usize..700, byte in 32u8..127, cut in 0usize..1400) {
        let mut bytes = saved().into_bytes();
        let length = bytes.len();
        bytes[place % length] = byte;
        bytes.truncate(if cut < 700 { length } else { cut - 700 });
        if let Ok(policy) = serde_json::from_slice::<LinUcb>(&bytes) {
            let context = vec![0.5; policy.dimension()];
            let choice = policy.select(&context, Available::All, &mut rng(2));
            prop_assert!(choice.map_or(true, |choice| choice.width >= 0.0 && choice.mean.is_finite()));
        }
        let _ = serde_json::from_slice::<TopKThompson>(&bytes);
        let _ = serde_json::from_slice::<RunningNorm>(&bytes);
    }

    #[test]
    fn wild_numbers_are_refused_or_learned_whole(
        context in prop::collection::vec(prop::num::f64::ANY, 0..6),
        reward in prop::num::f64::ANY,
        weight in prop::num::f64::ANY,
    ) {
        let mut policy = LinUcb::new(3, 2, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
        let before = policy.state();
        if policy.update(ArmId::new(1), &context, reward, weight).is_err() {
            prop_assert_eq!(policy.state(), before);
        } else {
            prop_assert!(LinUcb::from_state(&policy.state()).is_ok());
        }
        let options = dht_bandits::DiagonalLaplaceOptions::default();
        let mut logistic = dht_bandits::DiagonalLogisticTs::new(3, 2, options, Thompson { alpha: 1.0 }).unwrap();
        let before = logistic.state();
        if logistic.update(ArmId::new(1), &context, reward, weight).is_err() {
            prop_assert_eq!(logistic.state(), before);
        } else {
            prop_assert!(dht_bandits::DiagonalLogisticTs::from_state(&logistic.state()).is_ok());
        }
        let mut norm = RunningNorm::new(3, NormOptions::default()).unwrap();
        if norm.observe(&context).is_ok() {
            prop_assert!(norm.normalise(&[1.0, 2.0, 3.0]).unwrap().iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn pooled_means_lie_within_their_tensor(rows in 1usize..9, columns in 1usize..20, first in 0u32..3, more in 0u32..3) {
        let pool = PyramidPool::grid(0..=1, first..=first + more).unwrap();
        let values: Vec<f32> = (0..rows * columns).map(|place| (place as f32 * 0.7).sin()).collect();
        let pooled = pool.pool(&values, &[rows, columns]).unwrap();
        prop_assert_eq!(pooled.len(), pool.dimension());
        prop_assert!(pooled.iter().all(|mean| mean.abs() <= 1.0));
    }
}
