//! Interoperation with `candle_nn`: models as modules, the optimiser, padded batches.
//!
//! # Which way the gradients go
//!
//! The fused operations of the CPU hand the gradients of weights to the [`ForwardContext`](crate::ForwardContext), and not
//! to candle's graph. A loop of candle's own has three ways to them:
//!
//! | the loop | the forward runs in | speed on a CPU |
//! |---|---|---|
//! | `optimizer.step(&ctx.grad_store(&loss, parameters)?)` | [`ForwardContext::training`](crate::ForwardContext::training) | fused |
//! | `optimizer.backward_step(&loss)` | [`ForwardContext::in_candle_graph`](crate::ForwardContext::in_candle_graph) | candle's operations |
//! | `optimizer.backward_step(&loss)` | a [`GraphModule`], which is a `candle_nn::ModuleT` | candle's operations |
//!
//! `loss.backward()` on a fused forward would lose gradients, and is refused with an error that says so.
//!
//! # Where the values live
//!
//! [`Encoder::from_var_builder`](crate::Encoder::from_var_builder) and
//! [`TextClassifier::from_var_builder`](crate::TextClassifier::from_var_builder) share the variables of a `VarMap` and copy
//! the tensors of a file; [`Parameters::put_into`](crate::tensors::Parameters::put_into) puts the variables of any model of
//! this crate into a `VarMap`. Either way there is one copy of each value, which candle's optimisers, [`VarAdamW`],
//! `VarMap::save` and `VarMap::load` see.

mod module;
mod optimizer;
mod padding;

pub use module::GraphModule;
pub use optimizer::VarAdamW;
pub use padding::{pad, unpad};
