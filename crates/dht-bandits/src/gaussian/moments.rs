//! Mean and variance, or mean and standard deviation, of one arm's expected reward in one context.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::validate::check_scalar;

/// Mean and standard deviation (width) of one arm's expected reward in one context.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Expected reward; for a logistic model, its log-odds.
    pub mean: f64,
    /// Standard deviation of the expected reward, before it is multiplied by the exploration factor α.
    pub width: f64,
}

impl Score {
    /// Fails if the mean or the width is not finite.
    #[inline]
    pub(crate) fn checked(self) -> Result<Self> {
        check_scalar("width", self.width)?;
        check_scalar("mean", self.mean)?;
        Ok(self)
    }
}

/// Mean θ'x and variance x'Px of one arm's expected reward in one context x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Moments {
    pub(crate) fn score(self) -> Score {
        Score { mean: self.mean, width: self.variance.sqrt() }
    }
}
