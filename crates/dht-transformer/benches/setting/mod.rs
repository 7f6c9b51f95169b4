//! Setting that both benchmarks share: random encoders and batches of a size.

use candle_core::Device;
use dht_transformer::{
    BertConfig, Classifier, Encoder, PackedBatch, Pooling, Result, config::ModelSize, tensors::Spans,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Allocator that reuses freed memory, since candle allocates for every operation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VOCABULARY: usize = 2_000;
const CLASSES: usize = 4;

/// Creates an encoder with random weights, a classifier, and a batch of `texts` texts with `tokens` tokens. There are
/// fewer texts if nothing is measured.
pub fn setting(size: &str, dropout: f64, texts: usize, tokens: usize) -> Result<(Encoder, Classifier, PackedBatch)> {
    let texts = if measuring() { texts } else { texts.min(2) };
    let config = size.parse::<ModelSize>()?.config(VOCABULARY)?;
    let config = BertConfig { hidden_dropout_prob: dropout, attention_probs_dropout_prob: dropout, ..config };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let classifier = encoder.add_classifier("classifier", CLASSES, Pooling::Mean, &mut rng)?;
    let all = texts * tokens;
    let batch = PackedBatch {
        // The step is coprime to the vocabulary size, so that few words repeat, which is the worst case.
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

/// Returns whether times are measured; `cargo test --benches` only runs the code.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
