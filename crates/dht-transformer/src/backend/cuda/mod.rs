//! The project's own kernels for CUDA: the end of a sublayer (bias, dropout, residual, norm), bias and activation, attention of
//! packed rows, rows by number, dropout and AdamW; and the sublayers made of them. Products of matrices are candle's.
//!
//! The kernels are checked against their formulas on a CPU (`scripts/check-kernels`); `docs/gpu.md` says what was run on a card.

mod activation;
mod adamw;
mod attention;
mod backend;
mod graph;
mod keys;
mod launch;
mod norm;
mod rows;
mod squares;
mod sublayer;

pub(crate) use backend::Cuda;
