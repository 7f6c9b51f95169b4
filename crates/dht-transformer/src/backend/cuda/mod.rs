//! Custom CUDA kernels: the end of a sublayer (bias, dropout, residual, norm), bias and activation, attention of packed
//! rows, rows by number, dropout and AdamW; and the sublayers that use them. Matrix products are candle's.
//!
//! The kernels are checked against their formulas on a CPU (`scripts/check-kernels`); `docs/gpu.md` reports the runs on
//! a GPU.

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
