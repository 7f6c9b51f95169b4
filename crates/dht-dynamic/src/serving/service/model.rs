//! Cache of engines, which serve one model at several speeds (exit thresholds).

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::serving::engine::Engine;

/// Maximum number of cached engines. The least recently used one is dropped.
const SPEEDS: usize = 16;

/// Served model, with a cache of engines for requested speeds (exit thresholds).
#[derive(Debug)]
pub(super) struct Model {
    own: Arc<Engine>,
    /// Cached engines at other speeds than the model's own. The key is the bit pattern of the speed. The most recently
    /// used engine is last.
    others: Mutex<Vec<(u64, Arc<Engine>)>>,
}

impl Model {
    pub(super) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self { own: Arc::new(engine.independent()), others: Mutex::default() })
    }

    /// Engine at the speed (exit threshold) of the model itself.
    pub(super) fn own(&self) -> &Arc<Engine> {
        &self.own
    }

    /// Engine at the requested speed (exit threshold), or for `None` at the speed of the model itself.
    ///
    /// # Errors
    /// [`Error`](crate::Error) if the model rejects the speed, as in [`Engine::with_speed`].
    pub(super) fn at(&self, speed: Option<f64>) -> Result<Arc<Engine>> {
        let Some(speed) = speed else { return Ok(self.own.clone()) };
        let bits = (speed + 0.0).to_bits();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let known = others.iter().position(|(own, _)| *own == bits);
        let entry = match known {
            Some(index) => others.remove(index),
            None => (bits, Arc::new(self.own.with_speed(speed)?)),
        };
        let engine = entry.1.clone();
        if others.len() >= SPEEDS {
            others.remove(0);
        }
        others.push(entry);
        Ok(engine)
    }
}
