//! An evaluation packs each weight once, for any number of batches.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dht_toys::{classifier, config, data, encoder, rng, sample};
use dht_transformer::{MaskedLanguageModel, Objective, Pooling, TextTokenizer, data::MaskSettings, train::Predict};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Counter of the weights that were packed, on all threads.
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
    let ids = |id| (0..3 + id % 7).map(move |place| 5 + (place + id) % 3);
    let data = data([0, 1], (0..24).map(|id| sample(id.into(), id % 2, ids(id))));
    let rng = &mut rng(1);
    let config = config([3, 2, 16, tokenizer.vocabulary_size()], None);
    let model = classifier(&config, 2, Pooling::Mean, rng);

    let (once, together) = packings.since(|| model.predictions(&data, 24));
    let (apart, one_by_one) = packings.since(|| model.predictions(&data, 2));
    assert!(once > 0, "nothing was counted");
    assert_eq!((apart, one_by_one?), (once, together?));
    assert_eq!(packings.since(|| model.score(&data, 3)).0, once);
    assert_eq!(packings.since(|| model.probabilities_of_all(&data, 5)).0, once);

    let model = MaskedLanguageModel::new(encoder(&config, rng), &tokenizer, MaskSettings::default(), rng)?;
    let (together, apart) = (packings.since(|| model.score(&data, 24)), packings.since(|| model.score(&data, 3)));
    assert!(together.0 > 0 && together.1.is_ok() && apart.1.is_ok());
    assert_eq!(apart.0, together.0);
    Ok(())
}
