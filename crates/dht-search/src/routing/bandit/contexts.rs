//! Contexts (inputs) of the depth bandits, before scaling.

use dht_dynamic::router::ExitView;

use super::setup::Setup;
use crate::error::Result;
use crate::features::{Rows, pooled, signals_of};

/// Computes the raw contexts of samples at an exit: the pooled hidden state and the exit's signals (entropy, margin,
/// length). The settings can leave out either.
pub(super) fn contexts(setup: &Setup, view: &ExitView<'_>) -> Result<Rows> {
    let mut contexts = vec![Vec::new(); view.members.len()];
    if setup.settings.context.has_state() {
        [contexts] = pooled(view.needed_hidden()?, [&setup.depth_pool])?;
    }
    if let Some(answers) = view.answers.filter(|_| setup.settings.context.has_signals()) {
        for ((context, logs), tokens) in contexts.iter_mut().zip(answers.rows()).zip(view.lengths()) {
            context.extend(signals_of(logs, tokens));
        }
    }
    Ok(contexts)
}
