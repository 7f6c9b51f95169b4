//! Weights are packed for products once for an evaluation, however many batches it has.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use dht_transformer::{
    BertConfig, EncodedDataset, Encoder, Encoding, MaskedLanguageModel, Objective, Pooling, Sample, TextClassifier,
    TextTokenizer, data::MaskSettings, train::metrics::predict_all,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// How many weights were packed, on any thread.
#[derive(Clone, Default)]
struct Packings(Arc<AtomicUsize>);

impl Packings {
    fn since<T>(&self, run: impl FnOnce() -> T) -> (usize, T) {
        let before = self.0.load(Ordering::SeqCst);
        let result = run();
        (self.0.load(Ordering::SeqCst) - before, result)
    }
}

impl Subscriber for Packings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "packing weights"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.0.fetch_add(1, Ordering::SeqCst);
        Id::from_non_zero_u64(NonZeroU64::MIN)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn weights_are_packed_once_for_all_batches_of_an_evaluation() -> Result<(), Box<dyn std::error::Error>> {
    let packings = Packings::default();
    tracing::subscriber::set_global_default(packings.clone())?;
    let tokenizer = TextTokenizer::from_vocabulary(&["a", "b", "c"].map(String::from))?;
    let samples = (0..24).map(|id| {
        let ids: Vec<u32> = (0..3 + id as u32 % 7).map(|place| 5 + (place + id as u32) % 3).collect();
        let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
        Sample { id, label: id as u32 % 2, targets: Vec::new(), encoding }
    });
    let data = EncodedDataset { samples: samples.collect(), labels: vec!["0".into(), "1".into()], truncated_rows: 0 };
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let config = BertConfig::small(3, 2, 16, tokenizer.vocabulary_size())?;
    let model = TextClassifier::new(Encoder::random(&config, &Device::Cpu, rng)?, 2, Pooling::Mean, rng)?;

    let (once, together) = packings.since(|| predict_all(&model, &data, 24).map(|predicted| predicted.labels));
    let (apart, one_by_one) = packings.since(|| predict_all(&model, &data, 2).map(|predicted| predicted.labels));
    assert!(once > 0, "nothing was counted");
    assert_eq!((apart, one_by_one?), (once, together?));
    assert_eq!(packings.since(|| model.score(&data, 3)).0, once);
    assert_eq!(packings.since(|| model.probabilities_of_all(&data, 5)).0, once);

    let encoder = Encoder::random(&config, &Device::Cpu, rng)?;
    let model = MaskedLanguageModel::new(encoder, &tokenizer, MaskSettings::default(), rng)?;
    let (together, apart) = (packings.since(|| model.score(&data, 24)), packings.since(|| model.score(&data, 3)));
    assert!(together.0 > 0 && together.1.is_ok() && apart.1.is_ok());
    assert_eq!(apart.0, together.0);
    Ok(())
}
