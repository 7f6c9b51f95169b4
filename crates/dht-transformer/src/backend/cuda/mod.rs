//! Custom CUDA kernels, and the sublayers that use them. There are kernels for the end of a sublayer (bias, dropout,
//! residual, norm), for bias and activation, attention of packed rows, row selection, dropout and AdamW. candle
//! computes the matrix products.
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
