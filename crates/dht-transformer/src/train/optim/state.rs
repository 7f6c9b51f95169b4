//! Saving and restoring of the optimiser's state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::adamw::{AdamW, Slot};
use crate::backend::select;
use crate::error::{Error, Result};
use crate::storage::StoredTensor;
use crate::train::checkpoint::Checkpoint;

/// Prefix of the names under which a stored state has the first moments.
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// Step counters of an [`AdamW`] optimiser, which are stored with its moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdamWCounters {
    /// Number of steps of each parameter, by parameter name. Parameters that never had a gradient are missing.
    pub steps: BTreeMap<String, u64>,
    /// Total number of steps that were skipped because a gradient was not finite.
    pub skipped: u64,
    /// Number of steps that were skipped since the last completed step.
    pub skipped_in_a_row: u32,
}

impl AdamW {
    /// Copies the optimiser's state: the moments `first.NAME` and `second.NAME` of each parameter that ever had a
    /// gradient, and the step counters.
    ///
    /// # Errors
    /// [`Error::Candle`] if a device other than the CPU fails to return its moments.
    pub fn state(&self) -> Result<Checkpoint> {
        let (tensors, counters) = self.parts()?;
        Ok(Checkpoint { tensors, state: serde_json::to_value(counters).map_err(json_error)? })
    }

    pub(crate) fn parts(&self) -> Result<(BTreeMap<String, StoredTensor>, AdamWCounters)> {
        let mut tensors = BTreeMap::new();
        let mut steps = BTreeMap::new();
        for slot in &self.slots {
            if slot.steps == 0 {
                continue;
            }
            let Some(moments) = &slot.moments else { continue };
            let [first, second] = moments.values()?;
            for (which, values) in [(FIRST, first), (SECOND, second)] {
                let tensor = StoredTensor { shape: slot.shape.clone(), values };
                tensors.insert(format!("{which}{}", slot.name), tensor);
            }
            steps.insert(slot.name.clone(), slot.steps);
        }
        let counters = AdamWCounters { steps, skipped: self.skipped, skipped_in_a_row: self.skipped_in_a_row };
        Ok((tensors, counters))
    }

    /// Restores a state that [`AdamW::state`] returned for a model with the same parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the state names other parameters, has no moment or count for one of them, or has invalid
    /// moments; [`Error::Shape`] if shapes differ. After an error nothing has changed.
    pub fn load_state(&mut self, state: Checkpoint) -> Result<()> {
        self.set_parts(state.tensors, serde_json::from_value(state.state).map_err(json_error)?)
    }

    pub(crate) fn set_parts(
        &mut self,
        mut tensors: BTreeMap<String, StoredTensor>,
        mut counters: AdamWCounters,
    ) -> Result<()> {
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let Some(steps) = counters.steps.remove(&slot.name) else {
                loaded.push((0, None));
                continue;
            };
            let first = take_moment(&mut tensors, FIRST, slot, |value| value.is_finite())?;
            let second = take_moment(&mut tensors, SECOND, slot, |value| value.is_finite() && value >= 0.0)?;
            if steps == 0 {
                return Err(Error::Parameter { name: slot.name.clone(), problem: "has moments but no steps" });
            }
            let moments = select(&self.device).moments(Some([first, second]), &slot.shape, &self.device)?;
            loaded.push((steps, Some(moments)));
        }
        if let Some(name) = counters.steps.into_keys().chain(tensors.into_keys()).next() {
            return Err(Error::Parameter { name, problem: "of the optimiser's state is not known" });
        }
        for (slot, (steps, moments)) in self.slots.iter_mut().zip(loaded) {
            (slot.steps, slot.moments) = (steps, moments);
        }
        (self.skipped, self.skipped_in_a_row) = (counters.skipped, counters.skipped_in_a_row);
        Ok(())
    }
}

fn json_error(source: serde_json::Error) -> Error {
    Error::Json { what: "state of the optimiser".into(), source }
}

fn take_moment(
    tensors: &mut BTreeMap<String, StoredTensor>,
    which: &str,
    slot: &Slot,
    possible: impl Fn(f32) -> bool,
) -> Result<Vec<f32>> {
    let name = format!("{which}{}", slot.name);
    let Some(StoredTensor { shape, values }) = tensors.remove(&name) else {
        return Err(Error::Parameter { name, problem: "is missing in the optimiser's state" });
    };
    if shape != slot.shape || values.len() != slot.elements() {
        return Err(Error::Shape { what: name, expected: slot.shape.clone(), got: shape });
    }
    if !values.iter().all(|&value| possible(value)) {
        return Err(Error::Parameter { name, problem: "of the optimiser's state holds impossible values" });
    }
    Ok(values)
}
