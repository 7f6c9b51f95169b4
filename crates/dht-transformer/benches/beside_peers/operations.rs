//! Seconds by kind of operation. Each kernel opens a trace-level span, and a subscriber adds up the time inside of the
//! spans.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// Open spans of this thread: the start of each, and the time spent in spans inside of it.
    static OPEN: RefCell<Vec<(Instant, Duration)>> = const { RefCell::new(Vec::new()) };
}

/// Time inside of spans by name, without the time of nested spans.
#[derive(Clone, Default)]
pub struct Times {
    names: Arc<Mutex<Vec<&'static str>>>,
    totals: Arc<Mutex<BTreeMap<&'static str, Duration>>>,
}

impl Times {
    /// Installs the subscriber for all threads of this process.
    pub fn install() -> Result<Self, tracing::dispatcher::SetGlobalDefaultError> {
        let times = Self::default();
        tracing::subscriber::set_global_default(times.clone())?;
        Ok(times)
    }

    /// Sets all times to 0.
    pub fn clear(&self) {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Seconds by name, summed over threads.
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.iter().map(|(name, time)| (*name, time.as_secs_f64())).collect()
    }
}

impl Subscriber for Times {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("dht_transformer")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = span.metadata().name();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        Id::from_non_zero_u64(NonZeroU64::MIN.saturating_add(place as u64))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        OPEN.with_borrow_mut(|open| open.push((Instant::now(), Duration::ZERO)));
    }

    fn exit(&self, id: &Id) {
        let Some((start, within)) = OPEN.with_borrow_mut(Vec::pop) else { return };
        let whole = start.elapsed();
        OPEN.with_borrow_mut(|open| open.iter_mut().last().into_iter().for_each(|outer| outer.1 += whole));
        let name = self.names.lock().unwrap_or_else(PoisonError::into_inner)[id.into_u64() as usize - 1];
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals.entry(name).or_default() += whole.saturating_sub(within);
    }
}
