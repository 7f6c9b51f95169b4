//! Convex fits: logistic and ridge regression, with an L-BFGS solver.

mod folds;
mod matrix;
mod minimize;
mod penalties;
mod regression;
mod rows;
mod scaling;
mod smoothed_targets;
mod standardisation;
mod tiles;
mod view;

pub(crate) use folds::stratified_folds;
pub(crate) use matrix::FeatureMatrix;
#[cfg(test)]
pub(crate) use matrix::MULTIPLY_ADDS;
pub(crate) use minimize::{Function, Minimum, minimize};
pub(crate) use penalties::best_penalty;
pub(crate) use regression::{FitSettings, LinearModel, RowTargets};
pub(crate) use rows::{MEMORY, Rows};
pub(crate) use smoothed_targets::SmoothedTargets;
pub(crate) use standardisation::Standardisation;
