//! Steps to undo before a signal ends the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Steps = BTreeMap<u64, Box<dyn FnOnce() + Send>>;

/// Registered steps that must be undone before a signal ends the process, in order of registration.
static STEPS: Mutex<Steps> = Mutex::new(BTreeMap::new());

fn steps() -> MutexGuard<'static, Steps> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Guard for a step, such as a claim that other processes see. The step is undone if a signal ends the process while
/// the guard exists.
#[derive(Debug)]
pub struct UndoOnSignal(u64);

impl UndoOnSignal {
    /// Registers a step; `undo` undoes it.
    pub fn new(undo: impl FnOnce() + Send + 'static) -> Self {
        let mut steps = steps();
        let number = steps.last_key_value().map_or(0, |(last, _)| last + 1);
        steps.insert(number, Box::new(undo));
        Self(number)
    }
}

impl Drop for UndoOnSignal {
    fn drop(&mut self) {
        steps().remove(&self.0);
    }
}

/// Undoes all registered steps. Threads that try to register or remove a step afterwards block until the process ends.
pub(super) fn undo_all() {
    let mut steps = steps();
    std::mem::take(&mut *steps).into_values().for_each(|undo| undo());
    std::mem::forget(steps);
}
