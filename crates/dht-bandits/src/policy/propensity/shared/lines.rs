//! Lines through the space of weights, along which the values of arms with shared weights are compared. The lines for
//! each arm have a direction of their own.

use super::crossings::Direction;

/// Joint Gaussian distribution of all arms' values under one draw of shared weights. An arm with mean m and
/// coefficients g has the value m + g·z, where z ~ N(0, I) is the same for all arms.
#[derive(Debug, Clone)]
pub(crate) struct SharedDraw {
    /// Means m, one for each arm.
    pub(crate) means: Vec<f64>,
    /// Coefficients g, shape (arms, d), row-major. For a standard normal draw z, an arm's value deviates from its mean
    /// by g·z.
    pub(crate) rows: Vec<f64>,
}

/// Largest number of steps in the iterative search for the direction of an arm's lines.
const STEPS: usize = 400;

/// Coefficients of the arms (see [`SharedDraw`]), in as few coordinates as possible. Only differences between arms
/// matter, and these differences span at most arms − 1 dimensions.
pub(super) struct Lines {
    pub(super) means: Vec<f64>,
    pub(super) rows: Vec<f64>,
    pub(super) rank: usize,
}

impl Lines {
    /// Computes coordinates for the arms' coefficients by pivoted Gram–Schmidt orthogonalisation, after centring.
    /// Centring removes the part that all arms share, which has no effect on the order of the arms.
    pub(super) fn new(draw: &SharedDraw) -> Self {
        let count = draw.means.len();
        let dimension = draw.rows.len() / count.max(1);
        let mut centred = draw.rows.clone();
        for column in 0..dimension {
            let mean = (0..count).map(|arm| draw.rows[arm * dimension + column]).sum::<f64>() / count as f64;
            (0..count).for_each(|arm| centred[arm * dimension + column] -= mean);
        }
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let mut left = centred.clone();
        let mut largest = 0.0f64;
        while basis.len() < dimension.min(count.saturating_sub(1)) {
            let norms = left.chunks_exact(dimension).map(|row| dot(row, row).sqrt());
            let Some((pivot, norm)) = norms.enumerate().max_by(|left, right| left.1.total_cmp(&right.1)) else { break };
            largest = largest.max(norm);
            if norm <= 1e-13 * largest || norm == 0.0 {
                break;
            }
            let unit: Vec<f64> = left[pivot * dimension..][..dimension].iter().map(|value| value / norm).collect();
            for row in left.chunks_exact_mut(dimension) {
                let along = dot(row, &unit);
                row.iter_mut().zip(&unit).for_each(|(value, unit)| *value -= along * unit);
            }
            basis.push(unit);
        }
        // Equal rows get equal coordinates, bit for bit.
        let rows = centred.chunks_exact(dimension.max(1)).flat_map(|row| basis.iter().map(move |unit| dot(row, unit)));
        Self { means: draw.means.clone(), rows: rows.collect(), rank: basis.len() }
    }

    fn row(&self, arm: usize) -> &[f64] {
        &self.rows[arm * self.rank..][..self.rank]
    }

    /// Direction along which the value of this arm rises faster than the values of all others, if one exists. It points
    /// to the point of least norm in the convex hull of the normalised row differences (Gilbert 1966), which maximises
    /// the smallest angle.
    pub(super) fn direction(&self, arm: usize) -> Direction {
        let count = self.means.len();
        let differences: Vec<Vec<f64>> = (0..count)
            .filter(|other| self.row(*other) != self.row(arm))
            .map(|other| {
                let difference: Vec<f64> = self.row(arm).iter().zip(self.row(other)).map(|(a, b)| a - b).collect();
                let norm = dot(&difference, &difference).sqrt();
                difference.iter().map(|value| value / norm).collect()
            })
            .collect();
        let mut point = vec![0.0; self.rank];
        for difference in &differences {
            point.iter_mut().zip(difference).for_each(|(value, part)| *value += part / differences.len() as f64);
        }
        // The point moves towards only a few of the differences. Their products with all others are stored, so that a
        // step costs one operation for each difference.
        let mut gram: Vec<Option<Vec<f64>>> = vec![None; differences.len()];
        let mut products: Vec<f64> = differences.iter().map(|difference| dot(&point, difference)).collect();
        let mut square = dot(&point, &point);
        for _ in 0..STEPS {
            let lowest = products.iter().copied().enumerate().min_by(|left, right| left.1.total_cmp(&right.1));
            let Some((vertex, least)) = lowest else { break };
            if least >= 0.95 * square || square < 1e-24 {
                break;
            }
            let away = square - 2.0 * least + 1.0;
            let step = ((square - least) / away).clamp(0.0, 1.0);
            point.iter_mut().zip(&differences[vertex]).for_each(|(value, part)| *value += step * (part - *value));
            let row = gram[vertex]
                .get_or_insert_with(|| differences.iter().map(|other| dot(other, &differences[vertex])).collect());
            products.iter_mut().zip(row).for_each(|(product, new)| *product += step * (*new - *product));
            square = dot(&point, &point);
        }
        let norm = dot(&point, &point).sqrt();
        let mut u = vec![0.0; self.rank];
        if norm > 1e-12 {
            u.iter_mut().zip(&point).for_each(|(u, value)| *u = value / norm);
        } else {
            u[0] = 1.0;
        }
        Direction::new(arm, (0..count).map(|other| dot(self.row(other), &u)).collect(), u)
    }
}

pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}
