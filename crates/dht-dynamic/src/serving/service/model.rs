//! A served model at several speeds.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::serving::engine::Engine;

/// The number of engines at other speeds in the cache; the least recently used one is dropped.
const SPEEDS: usize = 16;

/// A model at the speeds that were requested.
#[derive(Debug)]
pub(super) struct Model {
    own: Arc<Engine>,
    /// The cached engines by the bits of the speed, the most recently used at the end.
    others: Mutex<Vec<(u64, Arc<Engine>)>>,
}

impl Model {
    pub(super) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self { own: Arc::new(engine.independent()), others: Mutex::default() })
    }

    /// The engine at the model's own speed.
    pub(super) fn own(&self) -> &Arc<Engine> {
        &self.own
    }

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
