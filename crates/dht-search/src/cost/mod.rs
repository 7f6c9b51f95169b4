//! Cost of a route, as a share of the full model's cost.
//!
//! # What is counted
//!
//! FLOPs are counted for matrix products, two for each multiply-add, at the true length of each text.
//!
//! **Counted as executed**:
//!
//! - the products of the layers, at the width that remains after pruning, and of every exit that read a text, forward
//!   and backward. The attention that the backward pass recomputes is included. Gradients of frozen weights are not
//!   computed and not counted;
//! - the second pass through the base layers in training with queues, where samples wait for others of the same depth;
//! - pre-passes without gradient, which compute the contexts of the bandits;
//! - passes before training that compute arm features (inputs of the bandits);
//! - the passes of a teacher model over the training texts;
//! - passes of held-out texts, from which only the bandits learn.
//!
//! **Counted by formula and separately**: the routers, with scoring for each decision and an update for each reward
//! ([`Router::flops`](dht_dynamic::Router::flops), [`Learner::learn`](crate::Learner::learn)). If several samples share
//! one head set, its selection is counted for each sample.
//!
//! **Not counted** are:
//!
//! - softmax, norms, activations, biases, residual additions, dropout, losses and gate gradients;
//! - embedding look-ups;
//! - pooling and normalisation of contexts;
//! - the optimiser;
//! - tokenising;
//! - evaluations on validation texts during training, and evaluations of controls;
//! - calibration of a speed, which selects the speed for a budget of FLOPs;
//! - the training of a teacher, which the caller must add to compare results;
//! - on a GPU, the padding of attention to the longest text of a group.
//!
//! Wall-clock times include everything that the process does.

pub(crate) mod cost_model;
mod flops;
mod layer_head;
mod measured;
mod own_cost;

pub(crate) use cost_model::CostModel;
pub(crate) use dht_dynamic::route::WidthCoupling;
pub use flops::FlopsCost;
pub use layer_head::LayerHeadCount;
pub use measured::{LayerSeconds, MeasuredCost};
pub use own_cost::{OwnCost, RouteCost};
