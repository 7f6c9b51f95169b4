//! Ridge statistics in information form: A and b, which add.

use crate::error::Result;
use crate::factor_state::check_part;
use serde::{Deserialize, Serialize};

/// A (its upper triangle, column by column) and b of one arm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Information {
    pub(crate) gram: Vec<f64>,
    pub(crate) moment: Vec<f64>,
}

/// A and b of one arm as they are saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InformationState {
    /// The upper triangle of A = λI + Σ w xx' with its diagonal, column by column.
    pub gram: Vec<f64>,
    /// b = Σ w r x.
    pub moment: Vec<f64>,
}

impl Information {
    pub(crate) fn zero(dimension: usize) -> Self {
        Self { gram: vec![0.0; dimension * (dimension + 1) / 2], moment: vec![0.0; dimension] }
    }

    pub(crate) fn prior(dimension: usize, lambda: f64) -> Self {
        let mut prior = Self::zero(dimension);
        (0..dimension).for_each(|coordinate| prior.add_diagonal(coordinate, lambda));
        prior
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        if factor != 1.0 {
            self.gram.iter_mut().chain(&mut self.moment).for_each(|value| *value *= factor);
        }
    }

    pub(crate) fn add(&mut self, context: &[f64], reward: f64, weight: f64) {
        let mut rest = &mut self.gram[..];
        for (column, &value) in context.iter().enumerate() {
            let (entries, next) = rest.split_at_mut(column + 1);
            rest = next;
            let weighted = weight * value;
            for (entry, &other) in entries.iter_mut().zip(context) {
                *entry += weighted * other;
            }
            self.moment[column] += weighted * reward;
        }
    }

    pub(crate) fn add_diagonal(&mut self, coordinate: usize, amount: f64) {
        self.gram[coordinate * (coordinate + 3) / 2] += amount;
    }

    pub(crate) fn state(&self) -> InformationState {
        InformationState { gram: self.gram.clone(), moment: self.moment.clone() }
    }

    pub(crate) fn from_state(dimension: usize, index: usize, state: &InformationState) -> Result<Self> {
        check_part("gram matrix of arm", index, &state.gram, dimension * (dimension + 1) / 2, false)?;
        check_part("moment of arm", index, &state.moment, dimension, false)?;
        Ok(Self { gram: state.gram.clone(), moment: state.moment.clone() })
    }
}
