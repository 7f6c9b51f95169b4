//! Bandits of a search, which decide depth and heads.
//!
//! | bandit | name in the DHT paper | what it selects |
//! |---|---|---|
//! | depth bandit ([`depth`]) | UCB_L | an exit, in a tree search |
//! | joint bandit ([`depth`]) | UCB_cp | a route, in an integrated search |
//! | head-count bandit ([`head_counts`]) | UCB_H | the number of heads that a sample keeps in a group of layers |
//! | head-set bandit ([`head_sets`]) | TSB | the heads |
//!
//! During the warm-up, each bandit only observes contexts (its inputs), to compute the statistics that scale them. Then
//! these statistics are frozen and the bandit learns. With rolling statistics there is no warm-up: each bandit observes
//! and learns from every batch.

mod contexts;
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
mod stored;

pub(crate) use depth::DepthRouter;
pub use exits::{Decided, ExitBandits};
pub(crate) use gain::GainRouter;
pub(crate) use heads::BanditHeads;
pub(crate) use setup::Setup;

#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod tests;
