//! Gaussians in information form: the precision and the moment (precision × mean), which add up over independent
//! evidence. Includes conversion from and to a factored covariance.

use serde::{Deserialize, Serialize};

use super::parts::FactoredGaussian;
use crate::clock::add_counts;
use crate::error::{Error, Result};
use crate::validate::{LARGEST_SUM, check_finite, check_part, check_sum};

/// Natural parameters of a Gaussian over weights: the precision and precision × mean, with the number of updates.
/// Merging independent evidence about the same weights adds them.
///
/// For a full covariance, `precision` is its upper triangle, column by column; for a diagonal one, its diagonal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NaturalParameters {
    /// Precision of the weights.
    pub precision: Vec<f64>,
    /// Precision times the mean.
    pub moment: Vec<f64>,
    /// Number of updates from which the parameters were learned.
    pub updates: u64,
}

impl NaturalParameters {
    /// Returns zero evidence. The arguments are the lengths of the `precision` and `moment` vectors.
    pub(crate) fn zero(precision: usize, moment: usize) -> Self {
        Self { precision: vec![0.0; precision], moment: vec![0.0; moment], updates: 0 }
    }

    /// Returns self + factor·other, element by element.
    ///
    /// # Errors
    /// Fails if a sum overflows.
    pub(crate) fn plus(&self, factor: f64, other: &Self) -> Result<Self> {
        let sum = |what, left: &[f64], right: &[f64]| -> Result<Vec<f64>> {
            let sum: Vec<_> = left.iter().zip(right).map(|(a, b)| a + factor * b).collect();
            check_finite(what, &sum, left.len())?;
            Ok(sum)
        };
        Ok(Self {
            precision: sum("precision", &self.precision, &other.precision)?,
            moment: sum("moment", &self.moment, &other.moment)?,
            updates: if factor < 0.0 {
                self.updates.saturating_sub(other.updates)
            } else {
                add_counts("updates of the arm", self.updates, other.updates)?
            },
        })
    }

    /// Returns decay·self + (1 − decay)·prior: the learned evidence loses weight, and the prior keeps its weight.
    pub(crate) fn decayed(&self, decay: f64, prior: &Self) -> Self {
        let mix =
            |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(a, b)| decay * a + (1.0 - decay) * b).collect();
        Self {
            precision: mix(&self.precision, &prior.precision),
            moment: mix(&self.moment, &prior.moment),
            updates: self.updates,
        }
    }
}

/// Information form of one arm: precision A (upper triangle, column by column) and moment b.
#[derive(Debug, Clone)]
pub(crate) struct Information {
    pub(crate) gram: Vec<f64>,
    pub(crate) moment: Vec<f64>,
    /// Upper bound on the diagonal of the precision A and on |b|. With it, most updates need not read A and b for a
    /// range check.
    bound: f64,
}

/// Saved information form of one arm: precision A and moment b.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InformationState {
    /// Upper triangle of the precision A = λI + Σ w xx', column by column and with the diagonal, for observations x
    /// with weights w.
    pub gram: Vec<f64>,
    /// Moment b = Σ w r x, for observations x with rewards r and weights w.
    pub moment: Vec<f64>,
}

impl Information {
    pub(crate) fn zero(dimension: usize) -> Self {
        Self { gram: vec![0.0; dimension * (dimension + 1) / 2], moment: vec![0.0; dimension], bound: 0.0 }
    }

    pub(crate) fn new(gram: Vec<f64>, moment: Vec<f64>) -> Self {
        let of_moment =
            moment.iter().enumerate().map(|(coordinate, value)| gram[diagonal(coordinate)].abs().max(value.abs()));
        let bound = of_moment.fold(0.0, f64::max);
        Self { gram, moment, bound }
    }

    pub(crate) fn prior(dimension: usize, precision: f64) -> Self {
        let mut prior = Self::zero(dimension);
        (0..dimension).for_each(|coordinate| prior.add_diagonal(coordinate, precision));
        prior
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        if factor != 1.0 {
            self.gram.iter_mut().chain(&mut self.moment).for_each(|value| *value *= factor);
        }
    }

    /// Fails if learning an observation would make the precision A or the moment b too large. Both are first multiplied
    /// by `decay`. Returns the new bound on A and b; A's diagonal bounds its other entries.
    pub(crate) fn check_added(&self, context: &[f64], reward: f64, weight: f64, decay: f64) -> Result<f64> {
        let largest = context.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        // Rounding adds less than the factor of 2 that remains.
        let bound = decay * self.bound + (weight * largest).abs() * largest.max(reward.abs());
        if bound <= 0.5 * LARGEST_SUM {
            return Ok(bound);
        }
        let mut bound: f64 = 0.0;
        for (coordinate, (value, moment)) in context.iter().zip(&self.moment).enumerate() {
            let weighted = weight * value;
            let square = decay * self.gram[diagonal(coordinate)] + weighted * value;
            let moment = decay * moment + weighted * reward;
            check_sum("diagonal of A", square)?;
            check_sum("moment b", moment)?;
            bound = bound.max(square.abs()).max(moment.abs());
        }
        Ok(bound)
    }

    /// Adds an observation that [`check_added`](Self::check_added) accepted. `bound` is the bound that it returned.
    pub(crate) fn add(&mut self, context: &[f64], reward: f64, weight: f64, bound: f64) {
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
        self.bound = bound;
    }

    pub(crate) fn add_diagonal(&mut self, coordinate: usize, amount: f64) {
        self.gram[diagonal(coordinate)] += amount;
        self.bound += amount.abs();
    }

    pub(crate) fn natural_parameters(&self, updates: u64) -> NaturalParameters {
        NaturalParameters { precision: self.gram.clone(), moment: self.moment.clone(), updates }
    }

    pub(crate) fn state(&self) -> InformationState {
        InformationState { gram: self.gram.clone(), moment: self.moment.clone() }
    }
}

impl InformationState {
    pub(crate) fn check(&self, dimension: usize, index: usize) -> Result<()> {
        check_part("gram matrix of arm", index, &self.gram, dimension * (dimension + 1) / 2, false)?;
        check_part("moment of arm", index, &self.moment, dimension, false)?;
        (0..dimension).try_for_each(|coordinate| {
            check_sum("diagonal of A", self.gram[diagonal(coordinate)])?;
            check_sum("moment b", self.moment[coordinate])
        })
    }
}

/// Index of a diagonal entry in a packed upper triangle, column by column.
fn diagonal(coordinate: usize) -> usize {
    coordinate * (coordinate + 3) / 2
}

/// Index of a column's first entry in a packed upper triangle, column by column.
fn packed(column: usize) -> usize {
    column * (column + 1) / 2
}

/// Number of columns of U⁻¹ and A that are computed together, so that inputs are read once for several columns.
const TOGETHER: usize = 8;

/// Converts a factored covariance U·D·Uᵀ and mean θ to information form, in O(d³). The packed precision is A =
/// (UDUᵀ)⁻¹ = U⁻ᵀD⁻¹U⁻¹ and the moment b = Aθ. Whole columns are computed, since they are contiguous in memory.
pub(crate) fn information_of(parts: &FactoredGaussian) -> Information {
    let dimension = parts.mean.len();
    let inverse = inverse_of(parts);
    // A_ij = Σ_{k≤i} W_ki W_kj/D_k for i ≤ j, W = U⁻¹.
    let mut gram = vec![0.0; packed(dimension)];
    let mut scaled = vec![0.0; TOGETHER * dimension];
    for first in (0..dimension).step_by(TOGETHER) {
        let last = (first + TOGETHER).min(dimension);
        for column in first..last {
            let weights = inverse[packed(column)..=packed(column) + column].iter().zip(&parts.diagonal);
            let into = &mut scaled[(column - first) * dimension..];
            into.iter_mut().zip(weights).for_each(|(scaled, (weight, variance))| *scaled = weight / variance);
        }
        for row in 0..last {
            let left = &inverse[packed(row)..][..=row];
            for column in first.max(row)..last {
                gram[packed(column) + row] = dot(left, &scaled[(column - first) * dimension..][..=row]);
            }
        }
    }
    let mut moment = vec![0.0; dimension];
    for column in 0..dimension {
        for row in 0..=column {
            let entry = gram[packed(column) + row];
            moment[column] += entry * parts.mean[row];
            if row < column {
                moment[row] += entry * parts.mean[column];
            }
        }
    }
    Information::new(gram, moment)
}

/// Computes U⁻¹, packed with its unit diagonal. Each column w is found by back substitution, from the last row k to the
/// first: w −= w_k·(column k of U).
fn inverse_of(parts: &FactoredGaussian) -> Vec<f64> {
    let dimension = parts.mean.len();
    // The packed strict triangle of U starts at j(j−1)/2.
    let upper = |column: usize| &parts.upper[column * column.saturating_sub(1) / 2..][..column];
    let mut inverse = vec![0.0; packed(dimension)];
    for first in (0..dimension).step_by(TOGETHER) {
        let last = (first + TOGETHER).min(dimension);
        for column in first..last {
            let entries = &mut inverse[packed(column)..][..=column];
            entries[column] = 1.0;
            entries.iter_mut().zip(upper(column)).for_each(|(entry, value)| *entry = -value);
        }
        for k in (1..last).rev() {
            let from = upper(k);
            for column in first.max(k + 1)..last {
                let (entries, rest) = inverse[packed(column)..].split_at_mut(k);
                let weight = rest[0];
                if weight != 0.0 {
                    entries.iter_mut().zip(from).for_each(|(entry, value)| *entry -= weight * value);
                }
            }
        }
    }
    inverse
}

/// Dot product of two vectors, in eight independent sums.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let (mut sums, ends) = ([0.0; 8], left.len() - left.len() % 8);
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(left).zip(right) {
            *sum += a * b;
        }
    }
    let rest: f64 = left[ends..].iter().zip(&right[ends..]).fold(0.0, |sum, (a, b)| sum + a * b);
    sums.iter().sum::<f64>() + rest
}

/// Converts a precision A and moment b to the mean A⁻¹b and factors U and D of the covariance A⁻¹, in O(d³). The
/// decomposition A = LELᵀ gives U = L⁻ᵀ and D = E⁻¹.
///
/// # Errors
/// Fails if the matrix A is not positive definite.
pub(crate) fn parts_of(gram: &[f64], moment: &[f64]) -> Result<FactoredGaussian> {
    let dimension = moment.len();
    // The part of L below its unit diagonal is stored as its transpose, packed by columns: column i holds L_i0 …
    // L_i,i−1.
    let mut lower = gram.to_vec();
    let mut pivots = vec![0.0; dimension];
    for column in 0..dimension {
        for row in 0..column {
            let (before, current) = lower.split_at_mut(packed(column));
            let other = &before[packed(row)..][..row];
            // At this point current[k] holds L_ck·E_k for k < row.
            let sum: f64 = current[..row].iter().zip(other).map(|(a, b)| a * b).sum();
            current[row] -= sum;
        }
        let current = &mut lower[packed(column)..][..=column];
        let mut pivot = current[column];
        for (entry, before) in current[..column].iter_mut().zip(&pivots) {
            let scaled = *entry / before;
            pivot -= scaled * *entry;
            *entry = scaled;
        }
        if !(pivot > 0.0 && pivot.is_finite()) {
            return Err(Error::NotPositiveDefinite { what: "precision", pivot: column, value: pivot });
        }
        pivots[column] = pivot;
    }
    // U = L⁻ᵀ: row i of L⁻¹ is −L_i,j − Σ_{j<k<i} L_ik (L⁻¹)_kj, which is column i of U.
    let mut upper = vec![0.0; dimension * dimension.saturating_sub(1) / 2];
    for column in 1..dimension {
        let (before, current) = upper.split_at_mut(column * (column - 1) / 2);
        let row_of_lower = &lower[packed(column)..][..column];
        current[..column].iter_mut().zip(row_of_lower).for_each(|(entry, value)| *entry = -value);
        for k in 1..column {
            let factor = row_of_lower[k];
            let inverse = &before[k * (k - 1) / 2..][..k];
            current[..k].iter_mut().zip(inverse).for_each(|(entry, value)| *entry -= factor * value);
        }
    }
    let diagonal: Vec<f64> = pivots.iter().map(|pivot| 1.0 / pivot).collect();
    let mut mean = vec![0.0; dimension];
    for column in 0..dimension {
        let entries = &upper[column * column.saturating_sub(1) / 2..][..column];
        let projected: f64 = moment[column] + entries.iter().zip(moment).map(|(a, b)| a * b).sum::<f64>();
        let step = diagonal[column] * projected;
        entries.iter().zip(&mut mean).for_each(|(entry, value)| *value += entry * step);
        mean[column] += step;
    }
    if let Some(index) = mean.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { what: "mean", index, value: mean[index] });
    }
    Ok(FactoredGaussian { mean, diagonal, upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_made_from_information_gives_the_information_back() {
        for dimension in [1, 2, 5, 8, 9, 17, 40] {
            let mut information = Information::prior(dimension, 0.5);
            for round in 0..3 * dimension {
                let context: Vec<f64> = (0..dimension).map(|j| ((round * 7 + j * 3) as f64).sin()).collect();
                let reward = round as f64 * 0.1;
                let bound = information.check_added(&context, reward, 1.0, 1.0).unwrap();
                information.add(&context, reward, 1.0, bound);
            }
            assert!(Information::new(information.gram.clone(), information.moment.clone()).bound <= information.bound);
            let parts = parts_of(&information.gram, &information.moment).unwrap();
            let again = information_of(&parts);
            for (left, right) in information.gram.iter().zip(&again.gram) {
                assert!((left - right).abs() < 1e-10, "{left} {right}");
            }
            for (left, right) in information.moment.iter().zip(&again.moment) {
                assert!((left - right).abs() < 1e-10, "{left} {right}");
            }
        }
        assert!(matches!(parts_of(&[-1.0], &[0.0]), Err(Error::NotPositiveDefinite { pivot: 0, .. })));
    }

    #[test]
    fn a_bound_that_is_reached_is_taken_anew() {
        let mut information = Information::prior(2, 1.0);
        // Squares of 1e125 add up to four tenths of the largest sum. After that, a decay of ½ applies in each update.
        let add = |information: &mut Information, weight: f64, decay: f64| {
            let context = [1e75, 1e-3];
            let bound = information.check_added(&context, 0.0, weight, decay)?;
            information.scale(decay);
            information.add(&context, 0.0, weight, bound);
            Ok::<(), Error>(())
        };
        add(&mut information, 4e99, 1.0).unwrap();
        add(&mut information, 4e99, 1.0).unwrap();
        assert!(matches!(add(&mut information, 4e99, 1.0), Err(Error::TooLarge { what: "diagonal of A", .. })));
        add(&mut information, 4e99, 0.5).unwrap();
        let [first, second] = [information.gram[0], information.gram[2]];
        assert!((first / 8e249 - 1.0).abs() < 1e-12 && second < 2e95, "{first:e} {second:e}");
    }
}
