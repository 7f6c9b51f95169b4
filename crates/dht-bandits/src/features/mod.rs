//! Features: conversion of raw values to contexts. [`Normalizer`] scales values, [`PyramidPool`] pools tensors, and
//! [`Interactions`] multiplies columns. [`FeatureHasher`] converts named strings and numbers to a [`SparseContext`].

mod hasher;
mod interactions;
mod murmur;
pub(crate) mod normalizer;
mod pyramid_pool;

pub use crate::decision::{FeatureSpace, SparseContext};
pub use hasher::FeatureHasher;
pub use interactions::Interactions;
pub(crate) use normalizer::Normalizer;
pub use pyramid_pool::PyramidPool;
