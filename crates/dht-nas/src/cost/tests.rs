use approx::assert_relative_eq;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

pub(crate) const SHAPE: BlockShape = BlockShape { hidden: 4, heads: 2, head_dim: 2, ffn: 3 };
const LATENCY: Latency =
    Latency { product: 0.3, query_key: 2.0, value: 0.7, neuron: 1.1, layer: 5.0, fixed: 17.0, error: 0.0 };
pub(crate) const MEASURES: [CostMeasure; 4] =
    [CostMeasure::Dimensions, CostMeasure::Flops { tokens: 5 }, CostMeasure::Parameters, CostMeasure::Latency(LATENCY)];

pub(crate) fn cost(measure: CostMeasure, space: NasSpace) -> NasCost {
    NasCost::new(measure, SHAPE, 2, space.groups(SHAPE, 2).unwrap(), 17.0).unwrap()
}

fn draw(cost: &NasCost, rng: &mut ChaCha8Rng, mut number: impl FnMut(&mut ChaCha8Rng) -> f64) -> Vec<Vec<f64>> {
    cost.groups().iter().map(|group| (0..group.units()).map(|_| number(rng)).collect()).collect()
}

#[test]
fn derivatives_equal_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for measure in MEASURES {
        let cost = cost(measure, NasSpace::default());
        let gates = draw(&cost, &mut rng, |rng| rng.random_range(0.1..1.0));
        let (_, gradients) = cost.share(&gates);
        for (group, units) in gates.iter().enumerate() {
            for unit in 0..units.len() {
                // Linear in each gate: a difference over any distance is the derivative.
                let at = |value: f64| {
                    let mut gates = gates.clone();
                    gates[group][unit] = value;
                    cost.share(&gates).0
                };
                assert_relative_eq!(gradients[group][unit], at(1.0) - at(0.0), epsilon = 1e-13, max_relative = 1e-9);
            }
        }
    }
}

#[test]
fn the_cost_at_probabilities_is_the_mean_over_all_architectures() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for measure in MEASURES {
        // The whole model has too many architectures to enumerate, 2 · (2 heads + 2 · 4 outputs of one layer) gates.
        // One layer with heads and outputs has 2¹⁰ architectures.
        let space = NasSpace { outputs: true, heads: true, ..NasSpace::NONE };
        let cost = NasCost::new(measure, SHAPE, 1, space.groups(SHAPE, 1).unwrap(), 17.0).unwrap();
        let p = draw(&cost, &mut rng, |rng| rng.random_range(0.0..1.0));
        let flat: Vec<f64> = p.iter().flatten().copied().collect();
        let mut mean = 0.0;
        for bits in 0..1_u32 << flat.len() {
            let on = |unit: usize| bits >> unit & 1 == 1;
            let weight: f64 = flat.iter().enumerate().map(|(unit, p)| if on(unit) { *p } else { 1.0 - p }).product();
            let mut unit = 0..;
            let gates: Vec<Vec<f64>> = p
                .iter()
                .map(|group| group.iter().zip(unit.by_ref()).map(|(_, unit)| f64::from(u8::from(on(unit)))).collect())
                .collect();
            mean += weight * cost.share(&gates).0;
        }
        assert_relative_eq!(cost.share(&p).0, mean, max_relative = 1e-12);
    }
}

#[test]
fn an_encoder_of_zero_or_uncountable_cost_is_rejected() {
    let refused = |latency: Latency, fixed: f64| {
        let groups = NasSpace::default().groups(SHAPE, 2).unwrap();
        NasCost::new(CostMeasure::Latency(latency), SHAPE, 2, groups, fixed).unwrap_err().to_string()
    };
    let none = Latency { product: 0.0, query_key: 0.0, value: 0.0, neuron: 0.0, layer: 0.0, fixed: 0.0, error: 0.0 };
    assert!(refused(none, 17.0).contains("latency is 0 in each"));
    assert!(refused(Latency { fixed: 1.0, ..none }, 0.0).contains("whole encoder is 0"));
    assert!(refused(Latency { neuron: -1.1, ..LATENCY }, 17.0).contains("latency.neuron is -1.1"));
    assert!(refused(Latency { product: f64::MAX, ..LATENCY }, 17.0).contains("whole encoder is inf"));
    for fixed in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(LATENCY, fixed).contains(&format!("fixed is {fixed}")));
    }
}
