//! Contexts (inputs) of the bandits that decide depth, before scaling.

use dht_dynamic::router::ExitView;

use super::setup::Setup;
use crate::error::Result;
use crate::features::{Rows, pooled, signals_of};

/// Computes the contexts (bandit inputs) of samples at an exit, before scaling: the pooled hidden state, then the
/// signals of the exit (entropy, margin, length). The settings may omit one of the two.
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
