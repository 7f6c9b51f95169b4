//! Layers in eight-bit integers: results are close to single precision for any heads and neurons, and have the same
//! bits in any batch.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use candle_core::Device;
use dht_toys::{config, head_set, indexed, rng};
use dht_transformer::config::Family;
use dht_transformer::{BertConfig, Encoder, ForwardContext, Hidden, PackedBatch, Precision, Sample, SampleGroup};

const LAYERS: usize = 3;

fn encoder() -> Encoder {
    // Heads of 10 dimensions, and 130 neurons, are not multiples of the tile sizes of products.
    let family = Family::MpNet;
    let config = BertConfig { family, intermediate_size: 130, ..config([LAYERS, 4, 40, 60], None) };
    dht_toys::encoder(&config, &mut rng(1))
}

fn texts() -> Vec<Sample> {
    indexed(&[(2, 9), (3, 1), (11, 20), (7, 4)])
}

fn numbers(hidden: &Hidden) -> Vec<f32> {
    dht_toys::numbers(hidden.tensor())
}

/// Relative distance √(Σ(a − b)² / Σb²).
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|number| number * number).sum::<f32>();
    (squares(&mut a.iter().zip(b).map(|(a, b)| a - b)) / squares(&mut b.iter().copied())).sqrt()
}

fn run(encoder: &Encoder, texts: &[Sample], precision: Precision) -> Vec<f32> {
    let (batch, ctx) = (PackedBatch::from_samples(texts).unwrap(), ForwardContext::inference_in(precision));
    numbers(&dht_toys::run(encoder, &batch, &ctx).unwrap())
}

#[test]
fn eight_bits_give_nearly_the_states_of_single_precision() {
    let (encoder, texts) = (encoder(), texts());
    let (exact, rounded) = (run(&encoder, &texts, Precision::F32), run(&encoder, &texts, Precision::Int8));
    let distance = distance(&rounded, &exact);
    assert!(distance > 0.0 && distance < 0.03, "{distance}");
}

#[test]
fn a_text_has_the_same_bits_in_any_batch() {
    let (encoder, texts) = (encoder(), texts());
    let together = run(&encoder, &texts, Precision::Int8);
    let alone: Vec<f32> =
        texts.iter().flat_map(|text| run(&encoder, std::slice::from_ref(text), Precision::Int8)).collect();
    assert_eq!(together, alone);
}

#[test]
fn some_heads_and_neurons_run_in_eight_bits_too() {
    let encoder = encoder();
    let set = |heads: &[usize]| head_set(heads, 4);
    let all = [(1, set(&[0, 3]), 11), (1, set(&[2]), 130), (1, set(&[0, 3]), 11), (1, set(&[0, 1, 2, 3]), 40)];
    let groups = all.map(|(samples, heads, neurons)| SampleGroup { samples, heads, neurons });
    let run = |precision| {
        let (batch, ctx) = (PackedBatch::from_samples(&texts()).unwrap(), ForwardContext::inference_in(precision));
        let hidden = encoder.embed(&batch, &ctx).unwrap();
        numbers(&encoder.run_groups(0..LAYERS, &hidden, &groups, &ctx).unwrap())
    };
    let distance = distance(&run(Precision::Int8), &run(Precision::F32));
    assert!(distance > 0.0 && distance < 0.03, "{distance}");
}

#[test]
fn what_the_processor_cannot_compute_in_is_refused() {
    let (encoder, batch) = (encoder(), PackedBatch::from_samples(&texts()).unwrap());
    let refused = |ctx: &ForwardContext| encoder.embed(&batch, ctx).unwrap_err().to_string();
    for precision in [Precision::Tf32, Precision::Bf16] {
        let expected = format!("precision is {precision}, expected f32 or int8 on the CPU");
        assert_eq!(refused(&ForwardContext::inference_in(precision)), expected);
        assert_eq!(precision.check_on(&Device::Cpu).unwrap_err().to_string(), expected);
        encoder.parameters().compute_in(precision).unwrap();
        assert_eq!(refused(&ForwardContext::inference()), expected);
        assert_eq!(refused(&ForwardContext::training(encoder.parameters(), 1, 1)), expected);
        // A context's own precision takes precedence over the model's.
        encoder.embed(&batch, &ForwardContext::inference_in(Precision::F32)).unwrap();
    }
    let error = encoder.parameters().compute_in(Precision::Int8).unwrap_err();
    assert_eq!(error.to_string(), "precision of a model is int8, expected f32, tf32 or bf16");
    assert_eq!(encoder.parameters().precision(), Precision::Bf16);
}

#[test]
fn a_precision_is_read_as_it_is_written() {
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::Int8] {
        assert_eq!(precision.to_string().parse(), Ok(precision));
    }
    assert_eq!("fp8".parse::<Precision>().unwrap_err(), "expected f32, tf32, bf16 or int8, not \"fp8\"");
}

#[test]
fn a_text_with_its_own_heads_has_the_same_bits_beside_others() {
    let (encoder, texts) = (encoder(), texts());
    let set = |heads: &[usize]| head_set(heads, 4);
    let own = [(set(&[0, 3]), 11), (set(&[2]), 130), (set(&[1, 3]), 60), (set(&[0, 1, 2, 3]), 40)];
    let run = |chosen: std::ops::Range<usize>| {
        let groups: Vec<SampleGroup> = own[chosen.clone()]
            .iter()
            .map(|(heads, neurons)| SampleGroup { samples: 1, heads: *heads, neurons: *neurons })
            .collect();
        let (batch, ctx) =
            (PackedBatch::from_samples(&texts[chosen]).unwrap(), ForwardContext::inference_in(Precision::Int8));
        let hidden = encoder.embed(&batch, &ctx).unwrap();
        numbers(&encoder.run_groups(0..LAYERS, &hidden, &groups, &ctx).unwrap())
    };
    let alone: Vec<f32> = (0..own.len()).flat_map(|text| run(text..text + 1)).collect();
    assert_eq!(run(0..own.len()), alone);
}
