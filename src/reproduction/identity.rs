//! Hash that identifies the files of a training run in a reproduction.

use std::collections::BTreeMap;

use dht_transformer::EncodedDataset;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::arguments::ReproductionPlan;
use super::options::{SINGLE_ROWS, TIMED_PASSES, TIMED_ROWS, options, revision};
use super::units::Unit;
use crate::error::Result;
use crate::experiment::{RunData, model_name, train_settings};

/// Version of the file layout. Files of another layout are ignored.
const LAYOUT: u32 = 2;

/// Settings on which the results of a unit (method) depend, by name.
pub(super) fn settings(plan: &ReproductionPlan, unit: Unit) -> BTreeMap<String, Value> {
    let run = plan.training(unit, 0);
    BTreeMap::from([
        ("model".into(), model_name(&run).into()),
        ("epochs".into(), run.epochs.into()),
        ("batch".into(), run.batch.into()),
        ("learning_rate".into(), run.learning_rate.into()),
        ("max_length".into(), run.max_length.into()),
        ("timed_rows".into(), TIMED_ROWS.into()),
        ("timed_single_rows".into(), SINGLE_ROWS.into()),
        ("timed_passes".into(), TIMED_PASSES.into()),
        ("settings".into(), format!("{:?}", run.settings).to_lowercase().into()),
    ])
}

/// SHA-256 hash of everything on which the results of a unit (method) depend, including other units from which it
/// reads.
pub(super) fn hash(plan: &ReproductionPlan, unit: Unit, seed: u64, data: &RunData) -> Result<String> {
    let texts = [&data.train, &data.validation, &data.test].map(EncodedDataset::sha256);
    Ok(hash_of(plan, unit, seed, &texts, plan.run.layers()?))
}

fn hash_of(plan: &ReproductionPlan, unit: Unit, seed: u64, texts: &[String; 3], layers: usize) -> String {
    let needed: Vec<String> =
        unit.needs(layers).into_iter().map(|needed| hash_of(plan, needed, seed, texts, layers)).collect();
    let text = json!({
        "layout": LAYOUT, "version": env!("CARGO_PKG_VERSION"), "unit": unit.to_string(), "seed": seed,
        "settings": settings(plan, unit), "training": format!("{:?}", train_settings(&plan.training(unit, seed))),
        "options": options(unit), "revision": revision(unit), "needed": needed, "texts": texts, "weights": plan.weights,
        "device": format!("{:?} {}", plan.run.device, plan.run.precision),
    });
    Sha256::digest(text.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}
