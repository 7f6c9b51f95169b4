//! Work of both benches: encoders of a size on batches of a size.

use candle_core::Device;
use dht_transformer::{
    BertConfig, Classifier, Encoder, PackedBatch, Pooling, Result, config::ModelSize, tensors::Spans,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// candle allocates for every operation; this is what a program that cares would do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VOCABULARY: usize = 2_000;
const CLASSES: usize = 4;

/// An encoder with random weights and a classifier, and a batch of `texts` texts of `tokens` tokens (fewer texts where
/// no numbers are wanted).
pub fn setting(size: &str, dropout: f64, texts: usize, tokens: usize) -> Result<(Encoder, Classifier, PackedBatch)> {
    let texts = if measuring() { texts } else { texts.min(2) };
    let config = size.parse::<ModelSize>()?.config(VOCABULARY)?;
    let config = BertConfig { hidden_dropout_prob: dropout, attention_probs_dropout_prob: dropout, ..config };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let classifier = encoder.add_classifier("classifier", CLASSES, Pooling::Mean, &mut rng)?;
    let all = texts * tokens;
    let batch = PackedBatch {
        // Steps of a number prime to the vocabulary: hardly a word comes twice, as in the worst of texts.
        ids: (0..all).map(|place| (place * 337 % VOCABULARY) as u32).collect(),
        type_ids: vec![0; all],
        spans: Spans::from_lengths(vec![tokens; texts])?,
        labels: (0..texts).map(|text| (text % CLASSES) as u32).collect(),
        targets: Vec::new(),
        sample_ids: (0..texts as u64).collect(),
        rest: Vec::new(),
    };
    Ok((encoder, classifier, batch))
}

/// Returns whether times are wanted; `cargo test --benches` runs the code only.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
