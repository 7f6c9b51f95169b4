//! The raw contexts of the depth bandits.

use super::setup::Setup;
use crate::error::Result;
use crate::features::{Rows, pooled, signals};
use crate::routing::router::StageView;

/// Returns the raw contexts of samples at an exit: the pooled state, then the exit's signals, if the settings include
/// them. Also returns the signals alone.
pub(super) fn contexts(setup: &Setup, view: &StageView<'_>) -> Result<(Rows, Rows)> {
    let signals = match view.logits.filter(|_| setup.settings.context.has_signals()) {
        Some(logits) => signals(logits, view.hidden.spans().lengths())?,
        None => Vec::new(),
    };
    let mut contexts = vec![Vec::new(); view.members.len()];
    if setup.settings.context.has_state() {
        [contexts] = pooled(view.hidden, [&setup.depth_pool])?;
    }
    for (context, signals) in contexts.iter_mut().zip(&signals) {
        context.extend_from_slice(signals);
    }
    Ok((contexts, signals))
}
