//! Interoperation with `candle_nn`: models as modules, AdamW as a `candle_nn` optimiser, and padded batches.
//!
//! # Gradients
//!
//! Fused CPU operations store the gradients of weights in the [`ForwardContext`](crate::ForwardContext), not in
//! candle's graph. A candle training loop can obtain the gradients in three ways:
//!
//! | call in the loop | context of the forward pass | operations on a CPU |
//! |---|---|---|
//! | `optimizer.step(&ctx.grad_store(&loss, parameters)?)` | [`ForwardContext::training`](crate::ForwardContext::training) | fused, which is fastest |
//! | `optimizer.backward_step(&loss)` | [`ForwardContext::in_candle_graph`](crate::ForwardContext::in_candle_graph) | candle's |
//! | `optimizer.backward_step(&loss)` | created by a [`GraphModule`], which is a `candle_nn::ModuleT` | candle's |
//!
//! `loss.backward()` after a fused forward pass would lose gradients, and returns an error.
//!
//! # Values
//!
//! [`Encoder::from_var_builder`](crate::Encoder::from_var_builder) and
//! [`TextClassifier::from_var_builder`](crate::TextClassifier::from_var_builder) share the variables of a `VarMap`, and
//! copy the tensors of a file. [`Parameters::put_into`](crate::tensors::Parameters::put_into) inserts the variables of
//! any model of this crate into a `VarMap`. A model and a `VarMap` that share variables have one copy of each value.
//! Candle's optimisers, [`VarAdamW`], `VarMap::save` and `VarMap::load` read and write that copy.

mod module;
mod optimizer;
mod padding;

pub use module::GraphModule;
pub use optimizer::VarAdamW;
