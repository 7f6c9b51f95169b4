//! Columns that are appended to a context after it has been normalised.

use crate::error::Result;
use crate::validate::{check_length, check_parameter};

/// Appends a constant 1 to the context, so that a linear policy has an intercept.
pub fn with_bias(context: &[f64]) -> Vec<f64> {
    let mut longer = Vec::with_capacity(context.len() + 1);
    longer.extend_from_slice(context);
    longer.push(1.0);
    longer
}

/// Appends `categories` columns to the context: 1 at `category` and 0 elsewhere.
///
/// # Errors
/// No category or more than 16,777,216; a category that is not below `categories`.
pub fn with_one_hot(context: &[f64], category: usize, categories: usize) -> Result<Vec<f64>> {
    check_length("categories", categories)?;
    check_parameter("category", category as f64, category < categories, "below the number of categories")?;
    let mut longer = Vec::with_capacity(context.len() + categories);
    longer.extend_from_slice(context);
    longer.resize(context.len() + categories, 0.0);
    longer[context.len() + category] = 1.0;
    Ok(longer)
}
