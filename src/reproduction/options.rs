//! The options of the units, which their files are found again by.

use dht_search::{SearchSettings, accelerate::AccelerateSettings};
use serde_json::{Value, json};

use super::units::Unit;

/// Test rows that the clock takes, evenly spaced, and its passes.
pub(super) const TIMED_ROWS: usize = 256;
/// Those that are timed one by one.
pub(super) const SINGLE_ROWS: usize = 128;
pub(super) const TIMED_PASSES: usize = 5;
/// Which of the test rows those are, where the cost depends on the text.
const TIMED: &str = "evenly spaced, scaled to the FLOPs of all";
/// `FastBERT`'s speeds: the paper's rows 6-, 3- and 1-FastBERT, in whose order the paper has a slip.
pub(super) const SPEEDS: [f64; 3] = [0.1, 0.5, 0.8];
/// PABEE's patiences.
pub(super) const PATIENCES: [u32; 3] = [3, 2, 1];
/// The learning rate of `FastBERT`'s exits: they are new, and nothing else learns. Chosen on validation rows.
pub(super) const EXIT_RATE: f64 = 3e-3;
/// Memory for the states of texts while they learn, as much as the accelerated model's exits have by default.
pub(super) const CACHE_BYTES: usize = 2 << 30;
/// The costs of inference that thresholds of cascades are chosen for, on validation rows, as shares of the full model's
/// FLOPs.
pub(super) const COSTS: [f64; 3] = [0.1, 0.2, 0.35];

/// The costs of inference that speeds of the accelerated model are chosen for, likewise.
pub(super) const SPEED_COSTS: [f64; 7] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5];

/// The options of a unit.
pub(super) fn options(unit: Unit) -> Value {
    match unit {
        Unit::FastBert => json!({ "timed": TIMED, "speeds": SPEEDS, "rate": EXIT_RATE, "cache": CACHE_BYTES }),
        Unit::Pabee => json!({ "timed": TIMED, "patiences": PATIENCES }),
        Unit::Cascade(_) => json!({ "timed": TIMED, "costs": COSTS }),
        Unit::TwoEncoders => json!({ "timed": TIMED, "costs": SPEED_COSTS }),
        Unit::Accelerated => {
            // The router came later: where it is the default it is left out, so that earlier files are found again.
            let settings = AccelerateSettings::default();
            let router = format!(" router: {:?},", settings.router);
            let settings = format!("{settings:?}").replace(&router, "");
            json!({ "timed": TIMED, "costs": SPEED_COSTS, "settings": settings })
        }
        Unit::AsPublished(_) => json!({ "search": SearchSettings::paper() }),
        Unit::Ours(preset) => json!({ "search": SearchSettings::for_preset(preset) }),
        _ => Value::Null,
    }
}
