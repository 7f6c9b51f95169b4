//! Interactions: products of the columns of a context and of an arm's features.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::validate::{check_finite, check_length};

/// Interactions: appends products of columns to the row (context, features of an arm).
///
/// Policies whose arms share one weight vector need such products to use a context. Without them, the context adds the
/// same value to the score of every arm and cannot change their order. With them, it can (Vowpal Wabbit's `-q`). The
/// expanded row is
///
/// x = (row, row_i·row_j for each pair of groups, i of the first and j of the second),  row = (context, features).
///
/// A group paired with itself gives each product once, squares included. The expansion is dense: a pair of groups of
/// n_a and n_b columns adds n_a·n_b values, and a full covariance of d values has O(d²) entries. Scale all columns to
/// about 1 first, because products of large values dominate. A context column with the constant 1 acts as an intercept.
///
/// ```
/// use dht_bandits::features::Interactions;
///
/// // Two values of context with three features of an arm: 2 + 3 + 2 × 3.
/// let all = Interactions::new(2, 3)?;
/// assert_eq!(all.dimension(), 11);
/// let groups = [("user", 0..2), ("topic", 2..4), ("price", 4..5)];
/// let some = Interactions::with_groups(2, 3, &groups, &[("user", "topic")])?;
/// assert_eq!(some.expand(&[1.0, 2.0], &[3.0, 4.0, 9.0])?, [1.0, 2.0, 3.0, 4.0, 9.0, 3.0, 4.0, 6.0, 8.0]);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Columns", into = "Columns")]
pub struct Interactions {
    context: usize,
    features: usize,
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    context: usize,
    features: usize,
    pairs: Vec<[usize; 4]>,
}

fn refused<T>(problem: String) -> Result<T> {
    Err(Error::Settings { problem: format!("interactions: {problem}") })
}

impl Interactions {
    /// Creates interactions of every value of the context with every feature of the arm. `context` is the length of a
    /// context, and `features` the number of features of an arm.
    ///
    /// # Errors
    /// Fails if a length is zero, or if an expanded row has more than 16,777,216 values.
    pub fn new(context: usize, features: usize) -> Result<Self> {
        check_length("context", context)?;
        check_length("features of an arm", features)?;
        Self::between(context, features, vec![(0..context, context..context + features)])
    }

    /// Creates interactions between pairs of named column groups. A group is a range of columns of the row (context,
    /// features), counted from 0. The groups `context` and `features` are predefined.
    ///
    /// # Errors
    /// * [`Error::Settings`] if a name is unknown or defined twice, or if a group is empty or beyond the last column.
    /// * [`Error::Settings`] if there are no pairs, or if a pair is listed twice.
    /// * [`Error::Settings`] if the two groups of a pair overlap but are not equal.
    /// * Fails if an expanded row has more than 16,777,216 values.
    pub fn with_groups<S: AsRef<str>>(
        context: usize,
        features: usize,
        groups: &[(S, Range<usize>)],
        pairs: &[(S, S)],
    ) -> Result<Self> {
        let columns = context.saturating_add(features);
        let defined = [("context", 0..context), ("features", context..columns)];
        let named = || groups.iter().map(|(name, range)| (name.as_ref(), range));
        let all: Vec<_> = defined.iter().map(|(name, range)| (*name, range)).chain(named()).collect();
        for (position, (name, range)) in named().enumerate() {
            if all[..position + defined.len()].iter().any(|(other, _)| *other == name) {
                return refused(format!("the group {name:?} is defined twice"));
            }
            if range.is_empty() || range.end > columns {
                let (from, to) = (range.start, range.end);
                return refused(format!("the group {name:?} is {from} to {to}, expected columns from 0 to {columns}"));
            }
        }
        let find = |group: &S| {
            let group = group.as_ref();
            match all.iter().find(|(name, _)| *name == group) {
                Some((_, range)) => Ok((*range).clone()),
                None => {
                    let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                    refused(format!("the group {group:?} is unknown, expected one of {names}"))
                }
            }
        };
        let pairs = pairs.iter().map(|(left, right)| Ok((find(left)?, find(right)?))).collect::<Result<Vec<_>>>()?;
        Self::between(context, features, pairs)
    }

    fn between(context: usize, features: usize, pairs: Vec<(Range<usize>, Range<usize>)>) -> Result<Self> {
        let columns = context.saturating_add(features);
        if pairs.is_empty() {
            return refused("there is no pair of groups, expected at least one".to_owned());
        }
        for (position, (left, right)) in pairs.iter().enumerate() {
            let (from, to, other_from, other_to) = (left.start, left.end, right.start, right.end);
            if left.is_empty() || right.is_empty() || to.max(other_to) > columns {
                return refused(format!("pair {position} has an empty group, or one beyond column {columns}"));
            }
            if left != right && from.max(other_from) < to.min(other_to) {
                let problem = format!("the groups of pair {position} overlap, expected the same or separate ones");
                return refused(problem);
            }
            let same = |other: &(Range<usize>, Range<usize>)| {
                (&other.0, &other.1) == (left, right) || (&other.0, &other.1) == (right, left)
            };
            if pairs[..position].iter().any(same) {
                return refused(format!("pair {position} is given twice"));
            }
        }
        let interactions = Self { context, features, pairs };
        check_length("expanded row", interactions.dimension())?;
        Ok(interactions)
    }

    /// Returns the same interactions for contexts that have `columns` additional columns at their end.
    ///
    /// # Errors
    /// Fails if a group contains both the last column of the context and the first feature, or if an expanded row is
    /// too long.
    pub(crate) fn with_columns_inserted(&self, columns: usize) -> Result<Self> {
        let moved = |group: &Range<usize>| match () {
            () if group.end <= self.context || columns == 0 => Ok(group.clone()),
            () if group.start >= self.context => Ok(group.start + columns..group.end + columns),
            () => refused("a group has columns of both context and features, expected two groups".to_owned()),
        };
        let pairs = self.pairs.iter().map(|(left, right)| Ok((moved(left)?, moved(right)?))).collect::<Result<_>>()?;
        Self::between(self.context.saturating_add(columns), self.features, pairs)
    }

    /// Expected length of a context.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Expected number of features of an arm.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Length of an expanded row: context, features and products.
    pub fn dimension(&self) -> usize {
        let products = |(left, right): &(Range<usize>, Range<usize>)| match left == right {
            true => left.len().saturating_mul(left.len().saturating_add(1)) / 2,
            false => left.len().saturating_mul(right.len()),
        };
        let row = self.context.saturating_add(self.features);
        self.pairs.iter().map(products).fold(row, usize::saturating_add)
    }

    /// Returns the row of context, features of an arm, and products.
    ///
    /// # Errors
    /// Fails if the context or the features have the wrong length or a value that is not finite.
    pub fn expand(&self, context: &[f64], features: &[f64]) -> Result<Vec<f64>> {
        check_finite("context", context, self.context)?;
        check_finite("features of an arm", features, self.features)?;
        let mut row = [context, features].concat();
        self.append_products(&mut row, 0);
        Ok(row)
    }

    /// Pairs of columns that are multiplied, in the order of the products in the expanded row.
    pub(crate) fn products(&self) -> Vec<(usize, usize)> {
        let mut products = Vec::new();
        for (left, right) in &self.pairs {
            for i in left.clone() {
                let others = if left == right { i..right.end } else { right.clone() };
                products.extend(others.map(|j| (i, j)));
            }
        }
        products
    }

    /// Appends the products to a row that holds context and features from index `start` to its end.
    pub(crate) fn append_products(&self, row: &mut Vec<f64>, start: usize) {
        for (left, right) in &self.pairs {
            for i in left.clone() {
                // A group paired with itself multiplies each column with itself and later columns.
                let others = if left == right { i..right.end } else { right.clone() };
                for j in others {
                    row.push(row[start + i] * row[start + j]);
                }
            }
        }
    }
}

impl From<Interactions> for Columns {
    fn from(Interactions { context, features, pairs }: Interactions) -> Self {
        let pairs = pairs.into_iter().map(|(left, right)| [left.start, left.end, right.start, right.end]).collect();
        Self { context, features, pairs }
    }
}

impl TryFrom<Columns> for Interactions {
    type Error = Error;

    fn try_from(Columns { context, features, pairs }: Columns) -> Result<Self> {
        let pairs = pairs.into_iter().map(|[from, to, other_from, other_to]| (from..to, other_from..other_to));
        Self::between(context, features, pairs.collect())
    }
}
