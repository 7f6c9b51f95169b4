//! Architectures that searches select, and the distance of their costs from the targets.

use dht_nas::Result;
use dht_nas::transformer::TextClassifier;
use dht_nas::transformer::flops::{LayerSizes, Load};
use dht_nas::{
    CostMeasure, GumbelSoftmax, HardConcrete, Latency, NasSettings, NasSpace, RelaxationKind, Sigmoid, WeightedSoftmax,
};
use dht_toys::Outcome;

use crate::planted::{classifier, planted, precision_and_recall, search, search_for, spaces, strong};

/// Models with useless units on which searches are tested.
const SEEDS: u64 = 5;

/// Asserts mean precision and recall of at least .9 over five models with half useless units, and the target cost.
fn finds_the_useful(space: NasSpace, gate_rate: f64, epochs: usize) -> Outcome {
    let (mut lines, mut sums) = (Vec::new(), [0.0, 0.0]);
    for seed in 0..SEEDS {
        let (model, truth) = planted(space, seed)?;
        let search = search(&model, NasSettings { space, gate_rate, ..strong() }, 160, epochs, seed)?;
        let (precision, recall) = precision_and_recall(&search, &truth)?;
        let reached = search.found()?.reached;
        lines.push(format!("{seed}: precision {precision:.3}, recall {recall:.3}, reached {reached:.3}"));
        sums = [sums[0] + precision / SEEDS as f64, sums[1] + recall / SEEDS as f64];
        assert!((reached - 0.5).abs() <= 0.03, "{lines:#?}");
    }
    println!("{space:?}: {lines:#?}");
    assert!(sums[0].min(sums[1]) >= 0.9, "{lines:#?}");
    Ok(())
}

#[test]
fn the_useful_inputs_are_found() -> Outcome {
    finds_the_useful(NasSpace::inputs(), 0.1, 16)
}

#[test]
fn the_useful_outputs_are_found() -> Outcome {
    finds_the_useful(NasSpace::outputs(), 0.1, 16)
}

#[test]
fn the_useful_neurons_are_found() -> Outcome {
    finds_the_useful(NasSpace::neurons(), 0.05, 32)
}

#[test]
fn the_useful_heads_are_found() -> Outcome {
    finds_the_useful(NasSpace::heads(), 0.1, 16)
}

#[test]
fn every_relaxation_finds_useless_heads() -> Outcome {
    let (model, truth) = planted(NasSpace::heads(), 3)?;
    let mut lines = Vec::new();
    let mut worst: f64 = 1.0;
    for relaxation in [
        RelaxationKind::Sigmoid(Sigmoid { start: 2.0, ..Sigmoid::default() }),
        RelaxationKind::GumbelSoftmax(GumbelSoftmax::default()),
        RelaxationKind::HardConcrete(HardConcrete::default()),
    ] {
        let settings = NasSettings { space: NasSpace::heads(), head_relaxation: relaxation.clone(), ..strong() };
        let search = search(&model, settings, 160, 16, 1)?;
        let (precision, recall) = precision_and_recall(&search, &truth)?;
        lines.push(format!("{relaxation:?}: precision {precision:.3}, recall {recall:.3}"));
        worst = worst.min(precision).min(recall);
    }
    println!("{lines:#?}");
    assert!(worst >= 0.9, "{lines:#?}");
    Ok(())
}

#[test]
fn softmax_weights_find_heads_that_disturb() -> Outcome {
    // The weights of a softmax compete: useless heads are harmless at any weight. Here the teacher lacks half of the
    // heads, and the student has them at full strength.
    let (seed, space) = (3, NasSpace::heads());
    let (teacher, truth) = planted(space, seed)?;
    let head_relaxation = RelaxationKind::WeightedSoftmax(WeightedSoftmax::default());
    let settings = NasSettings { space, head_relaxation, ..strong() };
    let search = search_for(&teacher, &classifier(seed)?, settings, 160, 16, 1)?;
    let (precision, recall) = precision_and_recall(&search, &truth)?;
    assert!(precision.min(recall) >= 0.9, "precision {precision}, recall {recall}");
    Ok(())
}

/// Fictitious latency in seconds, a third of which is outside the layers.
fn latency(model: &TextClassifier) -> Result<Latency> {
    let encoder = model.encoder();
    let whole: Vec<LayerSizes> = (0..encoder.layers()).map(|layer| encoder.layer_sizes(layer)).collect();
    let unit =
        Latency { product: 1e-9, query_key: 1e-8, value: 1e-8, neuron: 1e-6, layer: 0.0, fixed: 0.0, error: 0.0 };
    Ok(Latency { fixed: unit.seconds(&whole) / 2.0, ..unit })
}

#[test]
fn every_target_of_every_space_is_reached_after_a_short_search() -> Outcome {
    let model = classifier(1)?;
    let all = NasSpace::default();
    let tied = NasSpace { tied: true, ..NasSpace::neurons() };
    for (space, measure, targets) in
        spaces().map(|(_, space)| (space, CostMeasure::Dimensions, [0.25, 0.5, 0.75])).into_iter().chain([
            (all, CostMeasure::Flops { tokens: 64 }, [0.3, 0.5, 0.75]),
            (tied, CostMeasure::Parameters, [0.75, 0.8, 0.9]),
            (all, CostMeasure::Latency(latency(&model)?), [0.5, 0.65, 0.8]),
        ])
    {
        for target in targets {
            let settings = NasSettings { space, measure, target, ..strong() };
            let search = search(&model, settings, 48, 1, 2)?;
            let result = search.found()?;
            assert!((result.reached - target).abs() <= 0.03, "{space:?}: {} for {target}", result.reached);
            let small = search.extracted()?;
            if let CostMeasure::Latency(latency) = measure {
                let sizes = |model: &TextClassifier| -> Vec<LayerSizes> {
                    (0..model.encoder().layers()).map(|layer| model.encoder().layer_sizes(layer)).collect()
                };
                let share = latency.seconds(&sizes(&small)) / latency.seconds(&sizes(&model));
                assert!((share - result.reached).abs() < 1e-9, "{share}, said {}", result.reached);
            }
            if let CostMeasure::Flops { tokens } = measure {
                // The reached cost is the share of the whole model's FLOPs, as the models themselves count them.
                let flops = |model: &TextClassifier| model.forward_flops(Load::of_text(tokens)).as_f64();
                assert!((flops(&small) / flops(&model) - result.reached).abs() < 1e-9);
            }
        }
    }
    Ok(())
}
