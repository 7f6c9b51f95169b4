//! The bandits of a search: they decide depth and heads.
//!
//! | here | in the paper | it chooses |
//! |---|---|---|
//! | depth bandit ([`depth`]) | UCB_L | an exit, in a tree search |
//! | joint bandit ([`depth`]) | UCB_cp | a route, in an integrated search |
//! | head-count bandit ([`head_counts`]) | UCB_H | how many heads a sample keeps in a group of layers |
//! | head-set bandit ([`head_sets`]) | TSB | which heads |
//!
//! Each observes contexts until their scaling is fixed (the warm-up), and learns from then on. With a rolling scaling there is
//! no warm-up: each observes a batch and learns from it.

mod depth;
mod exits;
mod front;
mod gain;
mod head_counts;
mod head_rewards;
mod head_sets;
mod heads;
mod linear;
mod setup;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::features::{ArmFeatures, Rows, pooled, signals};
use crate::routing::StageView;

pub(crate) use depth::DepthRouter;
pub use exits::{Decided, ExitBandits};
pub(crate) use gain::GainRouter;
pub(crate) use heads::BanditHeads;
pub(crate) use setup::Setup;

/// The raw contexts of samples at an exit: the pooled state, then the exit's signals, where the settings have them. Gives
/// the signals alone too.
fn contexts(setup: &Setup, view: &StageView<'_>) -> Result<(Rows, Rows)> {
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

fn to_state(what: &str, state: &impl Serialize) -> Result<Value> {
    serde_json::to_value(state).map_err(|source| Error::State { what: what.into(), source })
}

fn of_state<S: DeserializeOwned>(what: &str, state: Value) -> Result<S> {
    serde_json::from_value(state).map_err(|source| Error::State { what: what.into(), source })
}

/// Refuses stored features of arms where the contexts have none, and none where they are `needed`.
fn check_arm_features(setup: &Setup, stored: Option<&ArmFeatures>, needed: bool) -> Result<()> {
    let wanted = setup.settings.context.has_arm_features();
    match stored {
        None if wanted && needed => Err(Error::setting("arm features", "those of the paper's contexts", "none")),
        Some(features) if !wanted || !features.fit(&setup.space, setup.options().len()) => {
            Err(Error::setting("arm features", "those of this space's arms", "others"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod tests;
