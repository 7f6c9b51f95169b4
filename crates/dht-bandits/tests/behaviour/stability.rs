//! Values that must not change between versions: a replayed seed gives the same choices.
//!
//! A change of these values breaks replays and must be listed in the changelog.

use dht_bandits::{
    ArmId, LinTs, LinUcb, Policy, Request, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    policy::{Disjoint, Feedback, Hybrid, TopK, Uniform},
    posterior::{DiagonalLaplace, FullLaplace},
};

use crate::support::{featured, normals, rng};

// Twenty-four rounds in three dimensions with four arms: the chosen arms as digits, and the final mean of arm 2.
macro_rules! golden {
    ($($name:ident: $policy:expr => $arms:literal, $mean:literal;)*) => {$(
        #[test]
        fn $name() {
            let mut policy = $policy;
            let (mut contexts, mut draws) = (rng(11), rng(12));
            let mut arms = String::new();
            for _ in 0..24 {
                let context = normals(&mut contexts, 3);
                let choice = policy.select(&Request::new(&context), &mut draws).unwrap();
                let good = context[choice.arm.number() as usize % 3] > 0.0;
                policy.update(choice.arm, &context, f64::from(u8::from(good)), 1.0).unwrap();
                arms.push_str(&choice.arm.number().to_string());
            }
            let mean = policy.score(ArmId::new(2), &[1.0, -0.5, 0.25]).unwrap().mean;
            assert_eq!((arms.as_str(), format!("{mean:.9}").as_str()), ($arms, $mean));
        }
    )*};
}

golden! {
    lin_ucb_replays: LinUcb::new(3, 4, Ridge::default(), Ucb { alpha: 0.7 }).unwrap() => "200130232222111203032221", "-0.222732807";
    lin_ts_replays: LinTs::new(3, 4, Ridge::default(), Thompson { alpha: 0.7 }).unwrap() => "102120311023333120013101", "0.270499901";
    epsilon_greedy_replays:
        Disjoint::new(3, 4, Ridge::default(), EpsilonGreedy::new(0.3)).unwrap() => "333032332222111222222110", "0.035566402";
    diagonal_logistic_ts_replays:
        Disjoint::new(3, 4, DiagonalLaplace::default(), Thompson { alpha: 0.7 }).unwrap() => "102122222023331122320001", "0.325745162";
    logistic_ts_replays:
        Disjoint::new(3, 4, FullLaplace::default(), Thompson { alpha: 0.7 }).unwrap() => "102122202222332222012001", "0.340045121";
    logistic_ucb_replays: Disjoint::new(3, 4, FullLaplace::default(), Ucb { alpha: 0.7 }).unwrap() => "222221202232111233232220", "-0.186720365";
    forgetting_lin_ucb_replays:
        LinUcb::new(3, 4, Ridge::default().with_decay(0.9), Ucb { alpha: 0.7 }).unwrap() => "222023313102001121201121", "0.330004125";
}

#[test]
fn uniform_replays() {
    let mut draws = rng(12);
    let policy = Uniform::new(3, 4).unwrap();
    let arms: String = (0..24)
        .map(|_| policy.select(&Request::new(&[0.0; 3]), &mut draws).unwrap().arm.number().to_string())
        .collect();
    assert_eq!(arms, "003322313203121130002012");
}

macro_rules! golden_slates {
    ($($name:ident: $policy:expr => $arms:literal;)*) => {$(
        #[test]
        fn $name() {
            let mut policy = $policy;
            let (mut contexts, mut draws) = (rng(11), rng(12));
            let items = [0, 1, 2, 3, 4].map(ArmId::new);
            let mut arms = String::new();
            for _ in 0..10 {
                let rows = normals(&mut contexts, 15);
                let slate = policy.select_slate(2, &featured(&[], &items, &rows), &mut draws).unwrap();
                let seen: Vec<_> = (slate.choices().iter())
                    .map(|choice| Feedback::from(rows[3 * choice.arm.number() as usize] > 0.0))
                    .collect();
                policy.learn_slate(&slate, &seen).unwrap();
                slate.arms().for_each(|arm| arms.push_str(&arm.number().to_string()));
            }
            assert_eq!(arms, $arms);
        }
    )*};
}

golden_slates! {
    top_k_per_arm_replays:
        TopK::per_arm(3, 5, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap() => "12243231410442032303";
    top_k_shared_replays:
        TopK::shared(3, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap() => "32233131320443101403";
    shared_lin_ucb_replays: TopK::shared(3, Ridge::default(), Ucb { alpha: 0.7 }).unwrap() => "24022343240432131302";
    shared_lin_ts_replays: TopK::shared(3, Ridge::default(), Thompson { alpha: 0.7 }).unwrap() => "32321031232334131440";
}

#[test]
fn hybrid_lin_ucb_replays() {
    let mut policy = Hybrid::new(3, 3, 5, 1.0, Ucb { alpha: 0.7 }).unwrap();
    let (mut contexts, mut draws) = (rng(11), rng(12));
    let items = [0, 1, 2, 3, 4].map(ArmId::new);
    let mut arms = String::new();
    for _ in 0..24 {
        let (context, rows) = (normals(&mut contexts, 3), normals(&mut contexts, 15));
        let arm = policy.select(&featured(&context, &items, &rows), &mut draws).unwrap().arm;
        let row = &rows[3 * arm.number() as usize..][..3];
        policy.update(arm, &context, row, f64::from(u8::from(row[0] > 0.0)), 1.0).unwrap();
        arms.push_str(&arm.number().to_string());
    }
    assert_eq!(arms, "113022124322044112431431");
}
