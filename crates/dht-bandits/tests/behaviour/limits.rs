//! Sizes that no memory holds are refused, by every constructor that takes one.

use crate::support::rng;
use dht_bandits::{
    ArmId, DiagonalLogisticTs, Error, LinUcb, Normalizer, Result, RidgeOptions, Thompson, TopKThompson, Ucb,
    features::{NormalizerOptions, PyramidPool, columns},
    policy::{Fixed, HybridLinUcb, HybridOptions, LogisticUcb, Uniform},
    posterior::{DiagonalLaplaceOptions, FullLaplaceOptions},
    simulation::{CascadeEnvironment, ClickEnvironment, GlmEnvironment},
};

/// Every size as large as `size`, one at a time, with the name that the refusal must have.
fn attempts(size: usize) -> Vec<(&'static str, Result<()>)> {
    let (ucb, draw) = (Ucb { alpha: 1.0 }, Thompson { alpha: 1.0 });
    let (ridge, hybrid) = (RidgeOptions::default(), HybridOptions::default());
    let (full, diagonal) = (FullLaplaceOptions::default(), DiagonalLaplaceOptions::default());
    let mut rng = rng(1);
    vec![
        ("dimension", Normalizer::new(size, NormalizerOptions::default()).map(drop)),
        ("dimension", LinUcb::new(size, 1, ridge, ucb).map(drop)),
        ("arms", LinUcb::new(1, size, ridge, ucb).map(drop)),
        ("dimension", LogisticUcb::new(size, 1, full, ucb).map(drop)),
        ("arms", LogisticUcb::new(1, size, full, ucb).map(drop)),
        ("dimension", DiagonalLogisticTs::new(size, 1, diagonal, draw).map(drop)),
        ("arms", DiagonalLogisticTs::new(1, size, diagonal, draw).map(drop)),
        ("dimension", TopKThompson::per_arm(size, 1, diagonal, draw).map(drop)),
        ("arms", TopKThompson::per_arm(1, size, diagonal, draw).map(drop)),
        ("dimension", TopKThompson::shared(size, diagonal, draw).map(drop)),
        ("dimension", HybridLinUcb::new(size, 1, 1, hybrid, ucb).map(drop)),
        ("dimension", HybridLinUcb::new(1, size, 1, hybrid, ucb).map(drop)),
        ("arms", HybridLinUcb::new(1, 1, size, hybrid, ucb).map(drop)),
        ("dimension", Uniform::new(size, 1).map(drop)),
        ("arms", Uniform::new(1, size).map(drop)),
        ("arms", Fixed::new(1, size, ArmId::new(0)).map(drop)),
        ("dimension", GlmEnvironment::linear(size, 1, 0.1, &mut rng).map(drop)),
        ("arms", GlmEnvironment::logistic(2, size, &mut rng).map(drop)),
        ("items", CascadeEnvironment::new(size, 1, 0.5, 0.1).map(drop)),
        ("items", ClickEnvironment::new(size, 1, 1, 1.0, &mut rng).map(drop)),
        ("dimension", ClickEnvironment::new(1, 1, size, 1.0, &mut rng).map(drop)),
        ("categories", columns::with_one_hot(&[1.0], 0, size).map(drop)),
    ]
}

#[test]
fn a_size_that_no_memory_holds_is_refused_by_name() {
    for size in [usize::MAX, 1 << 60, (1 << 24) + 1] {
        for (position, (expected, outcome)) in attempts(size).into_iter().enumerate() {
            match outcome {
                Err(Error::Parameter { name, value, .. }) => {
                    assert_eq!((name, value), (expected, size as f64), "{position}")
                }
                other => panic!("{position}, {size}: {other:?}"),
            }
        }
    }
}

#[test]
fn sizes_whose_product_no_memory_holds_are_refused() {
    let name = |outcome: Result<()>| match outcome {
        Err(Error::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let half = 1 << 20;
    assert_eq!(name(GlmEnvironment::linear(half, half, 0.1, &mut rng(1)).map(drop)), "dimension × arms");
    assert_eq!(name(ClickEnvironment::new(half, 1, half, 1.0, &mut rng(1)).map(drop)), "dimension × items");
    for axes in [2, 3, 4, 40] {
        assert_eq!(name(PyramidPool::new(&vec![0..=20; axes]).map(drop)), "dimension");
    }
    assert_eq!(PyramidPool::new(&[0..=20, 0..=1]).unwrap().dimension(), 3 * ((1 << 21) - 1));
}

#[test]
fn a_normalizer_is_as_long_as_the_longest_context_of_any_policy() {
    let longest = 1 << 24;
    assert_eq!(Normalizer::new(longest, NormalizerOptions::default()).unwrap().dimension(), longest);
    assert_eq!(Uniform::new(longest, 1).map(drop), Ok(()));
}
