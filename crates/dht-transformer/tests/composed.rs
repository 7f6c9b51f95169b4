//! Comparison of fused operations with candle's operations, which other devices run. Both exist on the CPU and must
//! give the same results.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use candle_core::{DType, Device};
use dht_toys::{config, head_set, indexed, rng, sample};
use dht_transformer::config::{Family, KeptDimensions};
use dht_transformer::model::{LayerGates, LayerRecord};
use dht_transformer::pruning::PrunePlan;
use dht_transformer::tensors::{Gradient, Gradients, cross_entropy};
use dht_transformer::{
    BertConfig, Classifier, Encoder, ForwardContext, HeadPlan, Hidden, PackedBatch, Pooling, Precision, SampleGroup,
};

const LAYERS: usize = 2;

/// Model families: one without relative-position bias, and one with it.
const FAMILIES: [Family; 2] = [Family::Bert, Family::MpNet];

fn encoder(family: Family) -> Encoder {
    let mut config = BertConfig { family, ..config([LAYERS, 4, 32, 60], None) };
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.2, 0.3);
    dht_toys::encoder(&config, &mut rng(1))
}

/// Encoder whose first layer is whole, and whose second layer has lost dimensions and one head.
fn ragged(family: Family) -> Encoder {
    let encoder = encoder(family);
    let every = |all: usize, step: usize| (0..all).step_by(step).collect::<Vec<_>>();
    let outputs = |counts: [usize; 4]| counts.map(|count| (8 - count..8).collect()).to_vec();
    let whole = KeptDimensions::all(encoder.config());
    let dimensions = KeptDimensions {
        query_inputs: every(32, 3),
        value_inputs: every(32, 2),
        query_key_outputs: outputs([3, 0, 8, 1]),
        value_outputs: outputs([5, 0, 2, 8]),
        ..whole.clone()
    };
    encoder.prune_dimensions(&[(whole, every(128, 1)), (dimensions, every(128, 5))]).unwrap()
}

fn with_classifier(mut encoder: Encoder, pooling: Pooling) -> (Encoder, Classifier) {
    let classifier = encoder.add_classifier("classifier", 3, pooling, &mut rng(2)).unwrap();
    (encoder, classifier)
}

fn batch() -> PackedBatch {
    PackedBatch::from_samples(&indexed(&[(2, 9), (3, 1), (11, 20), (7, 4)])).unwrap()
}

/// Groups with different head sets and widths, in an order that the composed path must gather and restore.
fn groups() -> Vec<SampleGroup> {
    let set = |heads: &[usize]| head_set(heads, 4);
    let all = [(1, set(&[0, 3]), 11), (1, set(&[2]), 128), (1, set(&[0, 3]), 11), (1, set(&[0, 1, 2, 3]), 40)];
    all.map(|(samples, heads, neurons)| SampleGroup { samples, heads, neurons }).to_vec()
}

/// Runs the encoder in groups, or with all remaining heads and neurons if it has lost dimensions.
fn run(encoder: &Encoder, ctx: &ForwardContext) -> Hidden {
    let hidden = encoder.embed(&batch(), ctx).unwrap();
    match encoder.kept_dimensions(1) {
        None => encoder.run_groups(0..LAYERS, &hidden, &groups(), ctx).unwrap(),
        Some(_) => encoder.run(0..LAYERS, &hidden, &HeadPlan::Full, ctx).unwrap(),
    }
}

fn numbers(hidden: &Hidden) -> Vec<f32> {
    dht_toys::numbers(hidden.tensor())
}

fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual - expected).abs() <= tolerance * largest;
        assert!(close, "{what}[{index}]: {actual}, expected {expected}");
    }
}

#[test]
fn composed_inference_equals_the_fused_rows() {
    for encoder in FAMILIES.into_iter().flat_map(|family| [encoder(family), ragged(family)]) {
        let fused = run(&encoder, &ForwardContext::inference());
        let composed = run(&encoder, &ForwardContext::inference_in_candle_graph());
        assert_close("rows", &numbers(&composed), &numbers(&fused), 2e-5);
    }
}

#[test]
fn a_composed_step_has_the_fused_loss_and_gradients() {
    let models = |family| {
        let (mean, pooler) = (Pooling::Mean, Pooling::Pooler);
        [(encoder(family), mean), (encoder(family), pooler), (ragged(family), mean)]
    };
    for (encoder, pooling) in FAMILIES.into_iter().flat_map(models) {
        let (encoder, classifier) = with_classifier(encoder, pooling);
        let parameters = encoder.parameters();
        let step = |ctx: ForwardContext| {
            let ctx = ctx.with_head_gate_gradients();
            let logits = classifier.forward(&run(&encoder, &ctx), &ctx).unwrap();
            let loss = cross_entropy(&logits, &batch().labels).unwrap().mean_all().unwrap();
            let gradients = ctx.backward(&loss, parameters).unwrap();
            let mut gates = ctx.head_gate_gradients();
            gates.sort_by_key(|gate| (gate.layer, gate.sample, gate.head));
            (loss.to_scalar::<f32>().unwrap(), gradients, gates)
        };
        let fused = step(ForwardContext::training(parameters, 9, 4));
        let composed = step(ForwardContext::in_candle_graph(parameters, 9, 4));
        assert_close("loss", &[composed.0], &[fused.0], 1e-5);
        let dense = |gradients: &Gradients, index: usize| -> Vec<f32> {
            let (id, _, var) = parameters.iter().nth(index).unwrap();
            let gradient: &Gradient = gradients.get(id).unwrap();
            dht_toys::numbers(&gradient.to_tensor(var).unwrap())
        };
        for (index, (_, name, _)) in parameters.iter().enumerate() {
            assert_close(name, &dense(&composed.1, index), &dense(&fused.1, index), 1e-3);
        }
        assert_eq!(composed.2.len(), fused.2.len());
        for (composed, fused) in composed.2.iter().zip(&fused.2) {
            assert_eq!((composed.layer, composed.sample, composed.head), (fused.layer, fused.sample, fused.head));
            assert!((composed.gradient - fused.gradient).abs() < 1e-5, "{composed:?}, expected {fused:?}");
        }
        // Another step has other masks, which shows that the comparison above includes dropout.
        let other = step(ForwardContext::training(parameters, 9, 5));
        assert!((other.0 - fused.0).abs() > 1e-4);
    }
}

/// Relative distance ‖actual − expected‖ / ‖expected‖.
fn distance(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let norm = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|number| f64::from(number).powi(2)).sum::<f64>();
    let difference = norm(&mut actual.iter().zip(expected).map(|(a, b)| a - b));
    (difference / norm(&mut expected.iter().copied()).max(1e-20)).sqrt()
}

/// candle's sixteen-bit products on the CPU represent those of other devices.
#[test]
fn a_bf16_step_rounds_the_f32_step_and_keeps_f32_gradients() {
    for (encoder, pooling) in [(encoder(Family::Bert), Pooling::Mean), (ragged(Family::Bert), Pooling::Pooler)] {
        let (encoder, classifier) = with_classifier(encoder, pooling);
        let parameters = encoder.parameters();
        let step = |precision: Precision| {
            parameters.compute_in(precision).unwrap();
            let ctx = ForwardContext::in_candle_graph(parameters, 9, 4).with_head_gate_gradients();
            let rows = run(&encoder, &ctx);
            let logits = classifier.forward(&rows, &ctx).unwrap();
            assert_eq!(logits.dtype(), DType::F32, "classifiers are in single precision");
            let loss = cross_entropy(&logits, &batch().labels).unwrap().mean_all().unwrap();
            let gradients = ctx.backward(&loss, parameters).unwrap();
            let mut gates = ctx.head_gate_gradients();
            gates.sort_by_key(|gate| (gate.layer, gate.sample, gate.head));
            let gates: Vec<f32> = gates.iter().map(|gate| gate.gradient).collect();
            (rows, loss.to_scalar::<f32>().unwrap(), gradients, gates)
        };
        let (exact, rounded) = (step(Precision::F32), step(Precision::Bf16));
        assert_eq!((exact.0.tensor().dtype(), rounded.0.tensor().dtype()), (DType::F32, DType::BF16));
        let values = |hidden: &Hidden| dht_toys::numbers(&hidden.to_f32().unwrap());
        let far = distance(&values(&rounded.0), &values(&exact.0));
        assert!(far > 1e-4 && far < 0.02, "rows: {far}");
        assert!((rounded.1 - exact.1).abs() < 0.02, "{} and {}", rounded.1, exact.1);
        let far = distance(&rounded.3, &exact.3);
        assert!(far < 0.1, "gates: {far}");
        for (id, name, var) in parameters.iter() {
            assert_eq!(var.dtype(), DType::F32);
            let dense = |gradients: &Gradients| -> Vec<f32> {
                let gradient = gradients.get(id).unwrap().to_tensor(var).unwrap();
                assert_eq!(gradient.dtype(), DType::F32, "{name}");
                dht_toys::numbers(&gradient)
            };
            let far = distance(&dense(&rounded.2), &dense(&exact.2));
            // The bias of keys shifts all scores of a query equally, so its gradient is only rounding error.
            assert!(far < 0.1 || name.ends_with("self.key.bias"), "{name}: {far}");
        }
        // Models derived from this one, and inference contexts, have the same precision.
        let shallow = encoder.truncated(1).unwrap();
        assert_eq!(shallow.parameters().precision(), Precision::Bf16);
        let hidden = shallow.embed(&batch(), &ForwardContext::inference_in_candle_graph()).unwrap();
        assert_eq!(hidden.tensor().dtype(), DType::BF16);
    }
}

/// Sums of thousands of gradients do not lose precision to sixteen bits, since bias gradients are summed in single
/// precision.
#[test]
fn the_gradients_of_biases_are_summed_in_single_precision() {
    let encoder = dht_toys::encoder(&config([1, 1, 8, 60], None), &mut rng(3));
    let parameters = encoder.parameters();
    parameters.compute_in(Precision::Bf16).unwrap();
    let ctx = ForwardContext::in_candle_graph(parameters, 1, 1);
    let texts: Vec<_> = (0..40).map(|id| sample(id, 0, [7; 100])).collect();
    let rows = dht_toys::run(&encoder, &PackedBatch::from_samples(&texts).unwrap(), &ctx).unwrap();
    // Each of the 4,000 rows adds 1 to the gradient of each shift of the last norm. A sum in bf16 would stop at 256.
    let gradients = ctx.backward(&rows.to_f32().unwrap().sum_all().unwrap(), parameters).unwrap();
    let id = parameters.id("encoder.layer.0.output.LayerNorm.bias").unwrap();
    let sums: Vec<f32> = gradients.get(id).unwrap().to_tensor(parameters.var(id)).unwrap().to_vec1().unwrap();
    assert_eq!(sums, vec![4000.0; 8]);
}

/// Encoder whose layers have different heads after pruning.
fn fewer_heads(family: Family) -> Encoder {
    let encoder = encoder(family);
    let set = |heads: &[usize]| head_set(heads, 4);
    let heads = vec![set(&[1, 3]), set(&[0, 2, 3])];
    encoder.prune(&PrunePlan { heads, ..PrunePlan::first_layers(&encoder, LAYERS).unwrap() }).unwrap()
}

/// Sizes of rows and scores at positions with tokens.
fn sizes(records: &[LayerRecord]) -> candle_core::Tensor {
    let distances = records.iter().flat_map(|record| {
        let LayerRecord { hidden, scores, .. } = record;
        let zeros = Hidden::new(hidden.tensor().affine(0.5, 0.1).unwrap(), hidden.packing().clone()).unwrap();
        let rows = zeros.squared_error_of(hidden.tensor()).unwrap();
        [rows, record.attention_distance(&scores.zeros_like().unwrap(), &batch().spans).unwrap()]
    });
    distances.reduce(|sum, distance| (sum + distance).unwrap()).unwrap()
}

#[test]
fn recorded_layers_equal_those_that_run_with_their_head_scores() {
    let models = |family| [(encoder(family), [4, 4]), (fewer_heads(family), [2, 3]), (ragged(family), [4, 3])];
    for (encoder, heads) in FAMILIES.into_iter().flat_map(models) {
        let ctx = ForwardContext::inference();
        let (embedded, records) = encoder.run_recorded(&batch(), &ctx).unwrap();
        let whole = encoder.run(0..LAYERS, &embedded, &HeadPlan::Full, &ctx).unwrap();
        assert_eq!(numbers(&records[LAYERS - 1].hidden), numbers(&whole), "the same operations, the same bits");
        for (record, heads) in records.iter().zip(heads) {
            assert_eq!((record.heads.len(), record.scores.dims()), (heads, &[4, heads, 20, 20][..]));
        }
        let composed = encoder.run_recorded(&batch(), &ForwardContext::inference_in_candle_graph()).unwrap().1;
        let size = |records: &[LayerRecord]| sizes(records).to_scalar::<f32>().unwrap();
        assert_close("sizes", &[size(&composed)], &[size(&records)], 2e-5);

        // A layer with removed dimensions cannot run through gates, so it is not compared.
        let Ok(gated) = encoder.record_gated(0..1, &embedded, &[LayerGates::default()], &ctx) else { continue };
        let heads = records[0].heads.iter().map(|head| *head as u32);
        let heads = candle_core::Tensor::from_iter(heads, &Device::Cpu).unwrap();
        let scores = gated[0].scores.index_select(&heads, 1).unwrap();
        let distance = records[0].attention_distance(&scores, &batch().spans).unwrap();
        assert!(distance.to_scalar::<f32>().unwrap() < 1e-10);
    }
}

#[test]
fn recorded_layers_have_the_gradients_of_candles_operations() {
    let models = |family| [encoder(family), fewer_heads(family), ragged(family)];
    for encoder in FAMILIES.into_iter().flat_map(models) {
        let parameters = encoder.parameters();
        let step = |ctx: ForwardContext| {
            let (_, records) = encoder.run_recorded(&batch(), &ctx).unwrap();
            ctx.backward(&sizes(&records), parameters).unwrap()
        };
        let fused = step(ForwardContext::training(parameters, 9, 4));
        let composed = step(ForwardContext::in_candle_graph(parameters, 9, 4));
        for (id, name, var) in parameters.iter() {
            let dense = |gradients: &Gradients| {
                gradients.get(id).map(|gradient| dht_toys::numbers(&gradient.to_tensor(var).unwrap()))
            };
            match (dense(&composed), dense(&fused)) {
                (Some(composed), Some(fused)) => assert_close(name, &composed, &fused, 1e-3),
                (composed, fused) => assert_eq!(composed, fused, "{name}"),
            }
        }
    }
}
