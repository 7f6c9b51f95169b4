//! Options of the methods in a reproduction, which are part of the hash of their files.

use dht_dynamic::{accelerate::AccelerateSettings, exit::NgramSettings};
use dht_search::{SearchSettings, baselines::fastbert::FastBertSettings, baselines::pabee::PabeeSettings};
use dht_transformer::tasks::DistillationSettings;
use serde_json::{Value, json};

use super::units::Unit;

/// Number of evenly spaced test rows that are timed.
pub(super) const TIMED_ROWS: usize = 256;
/// Number of test rows that are timed one by one.
pub(super) const SINGLE_ROWS: usize = 128;
/// Number of timed passes over the timed test rows.
pub(super) const TIMED_PASSES: usize = 5;
/// Speeds of FastBERT, in the order of the DHT paper's rows 6-, 3- and 1-FastBERT. The paper assigns them in reverse
/// order by mistake.
pub(super) const SPEEDS: [f64; 3] = [0.1, 0.5, 0.8];
/// Patiences of PABEE.
pub(super) const PATIENCES: [u32; 3] = [3, 2, 1];
/// Learning rate of FastBERT's exits, selected on validation rows. It is high because the exits are new and nothing
/// else learns.
pub(super) const EXIT_RATE: f64 = 3e-3;
/// Number of passes over the training rows for FastBERT's exits, as in the FastBERT paper. The best pass on validation
/// rows is used.
pub(super) const EXIT_EPOCHS: usize = 5;
/// Memory limit for cached hidden states in training, the same as the default for the accelerated model's exits.
pub(super) const CACHE_BYTES: usize = 2 << 30;
/// Inference costs of cascades, as shares of the full model's FLOPs. Thresholds are selected for them on validation
/// rows.
pub(super) const COSTS: [f64; 3] = [0.1, 0.2, 0.35];

/// Inference costs of the accelerated model, as shares of the full model's FLOPs. Speeds are selected for them on
/// validation rows.
pub(super) const SPEED_COSTS: [f64; 7] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5];

/// Revision number of a method's code. It must be increased if results change although no setting changes.
pub(super) fn revision(unit: Unit) -> u32 {
    match unit {
        Unit::Ours(_) => 2,
        _ => 1,
    }
}

/// Options on which the results of a unit (method) depend.
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
