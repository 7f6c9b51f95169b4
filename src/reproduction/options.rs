//! The options of the units, which their files are found again by.

use dht_dynamic::{accelerate::AccelerateSettings, exit::NgramSettings};
use dht_search::{SearchSettings, baselines::fastbert::FastBertSettings, baselines::pabee::PabeeSettings};
use dht_transformer::tasks::DistillationSettings;
use serde_json::{Value, json};

use super::units::Unit;

/// Test rows that the clock takes, evenly spaced, and its passes.
pub(super) const TIMED_ROWS: usize = 256;
/// Those that are timed one by one.
pub(super) const SINGLE_ROWS: usize = 128;
pub(super) const TIMED_PASSES: usize = 5;
/// `FastBERT`'s speeds: the paper's rows 6-, 3- and 1-FastBERT, in whose order the paper has a slip.
pub(super) const SPEEDS: [f64; 3] = [0.1, 0.5, 0.8];
/// PABEE's patiences.
pub(super) const PATIENCES: [u32; 3] = [3, 2, 1];
/// The learning rate of `FastBERT`'s exits: they are new, and nothing else learns. Chosen on validation rows.
pub(super) const EXIT_RATE: f64 = 3e-3;
/// Passes over the training rows in which `FastBERT`'s exits learn, as many as in the source; the best on validation rows counts.
pub(super) const EXIT_EPOCHS: usize = 5;
/// Memory for the states of texts while they learn, as much as the accelerated model's exits have by default.
pub(super) const CACHE_BYTES: usize = 2 << 30;
/// The costs of inference that thresholds of cascades are chosen for, on validation rows, as shares of the full model's
/// FLOPs.
pub(super) const COSTS: [f64; 3] = [0.1, 0.2, 0.35];

/// The costs of inference that speeds of the accelerated model are chosen for, likewise.
pub(super) const SPEED_COSTS: [f64; 7] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5];

/// Raised for a kind of unit when what its program computes or measures changes, and no setting does.
pub(super) fn revision(unit: Unit) -> u32 {
    match unit {
        Unit::Ours(_) => 2,
        _ => 1,
    }
}

/// The options of a unit.
pub(super) fn options(unit: Unit) -> Value {
    match unit {
        Unit::Distilled(_) => json!({ "distillation": format!("{:?}", DistillationSettings::soft_labels()) }),
        Unit::DistilBert(_) => json!({ "distillation": format!("{:?}", DistillationSettings::default()) }),
        Unit::FastBert => json!({
            "speeds": SPEEDS, "rate": EXIT_RATE, "epochs": EXIT_EPOCHS, "cache": CACHE_BYTES,
            "settings": FastBertSettings::default(),
        }),
        Unit::Pabee => json!({ "patiences": PATIENCES, "settings": PabeeSettings::default() }),
        Unit::Ngram => json!({ "ngram": format!("{:?}", NgramSettings::default()) }),
        Unit::Cascade(_) => json!({ "costs": COSTS }),
        Unit::TwoEncoders => json!({ "costs": SPEED_COSTS }),
        Unit::Accelerated => {
            json!({ "costs": SPEED_COSTS, "settings": format!("{:?}", AccelerateSettings::default()) })
        }
        Unit::AsPublished(_) => json!({ "search": SearchSettings::paper() }),
        Unit::Ours(preset) => json!({ "search": SearchSettings::for_preset(preset) }),
        _ => Value::Null,
    }
}
