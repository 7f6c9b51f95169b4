//! Requests to a policy: a context, and the arms that are available.

#[cfg(feature = "nalgebra")]
use nalgebra::{Dim, IsContiguous, Storage, Vector};

use crate::arm::{ArmId, Available};
use crate::error::{Error, Result};
use crate::validate::{check_finite_numbers, check_length, check_not_sparse};

/// Input of a policy's choice: a context, and the arms that are available. Slices, vectors, arrays and nalgebra's
/// vectors convert by `into` to a request in which every arm is available.
///
/// ```
/// use dht_bandits::{ArmId, Request};
///
/// let context = [1.0, 0.2];
/// let ids = [0, 3].map(ArmId::new);
/// assert!(Request::new(&context).allows(ArmId::new(7)));
/// assert!(!Request::new(&context).only(&ids).allows(ArmId::new(7)));
/// assert!(Request::new(&context).except(&ids).allows(ArmId::new(7)));
/// // Two arms with three features each, row by row.
/// let request = Request::new(&context).featured(&ids, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 3)?;
/// assert_eq!((request.ids(), request.features(1)), (Some(&ids[..]), Some(&[0.4, 0.5, 0.6][..])));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request<'a> {
    /// Context: feature values that describe the situation and are the same for every arm.
    pub context: &'a [f64],
    pub(crate) actions: Actions<'a>,
}

/// Arms available in a request, with their features if they have any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Actions<'a> {
    All,
    /// Only the listed arms.
    Only(&'a [ArmId]),
    /// Every arm except the listed ones.
    Except(&'a [ArmId]),
    /// Only the listed arms, each with a feature vector.
    Featured(Featured<'a>),
}

/// Available arms with one feature vector each. All vectors have the same length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Featured<'a> {
    ids: &'a [ArmId],
    // (arms, width), row-major.
    features: &'a [f64],
    width: usize,
}

impl<'a> Featured<'a> {
    fn new(ids: &'a [ArmId], features: &'a [f64], width: usize) -> Result<Self> {
        check_length("width of the features", width)?;
        if ids.is_empty() {
            return Err(Error::NoArms { arms: 0 });
        }
        check_finite_numbers("features", features, ids.len().saturating_mul(width))?;
        Ok(Self { ids, features, width })
    }

    pub(crate) fn ids(&self) -> &'a [ArmId] {
        self.ids
    }

    /// Length of each arm's feature vector.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Feature vector of the arm at an index of [`ids`](Self::ids).
    pub(crate) fn row(&self, position: usize) -> Option<&'a [f64]> {
        self.features.chunks_exact(self.width).nth(position)
    }

    /// Feature vectors of all arms, shape (arms, width), row-major.
    pub(crate) fn rows(&self) -> &'a [f64] {
        self.features
    }

    /// Feature vector of the arm at an index of [`ids`](Self::ids). The index must be below the number of arms.
    pub(crate) fn at(&self, position: usize) -> &'a [f64] {
        &self.features[position * self.width..][..self.width]
    }
}

impl<'a> Request<'a> {
    /// Creates a request from a context, with every arm available.
    pub const fn new(context: &'a [f64]) -> Self {
        Self { context, actions: Actions::All }
    }

    /// Returns the same request with another context. Policies that scale contexts use this to call an inner policy.
    #[must_use]
    pub const fn with_context<'b>(self, context: &'b [f64]) -> Request<'b>
    where
        'a: 'b,
    {
        Request { context, actions: self.actions }
    }

    /// Makes only the arms in `ids` available. Order and repetition do not matter, except that a request for a slate
    /// (several arms at once) must not list an arm twice.
    pub const fn only(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Only(ids), ..self }
    }

    /// Makes every arm available except those in `ids`. Removed arms may be listed: the caller need not know which arms
    /// another policy removed before a merge. An arm that never existed is an error, because the id is then wrong and
    /// the policy might choose the arm that should be excluded.
    pub const fn except(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Except(ids), ..self }
    }

    /// Makes only the arms in `ids` available, and gives each of them a feature vector. `features` is row-major, shape
    /// (arms, `width`). [`Hybrid`](crate::policy::Hybrid) policies and policies with shared weights need features of
    /// arms. [`Disjoint`](crate::policy::Disjoint) policies ignore them.
    ///
    /// # Errors
    /// * Fails if there are no arms, or if the width is zero.
    /// * Fails if the number of features is not arms × width, or if a feature is not finite.
    pub fn featured(self, ids: &'a [ArmId], features: &'a [f64], width: usize) -> Result<Self> {
        Ok(Self { actions: Actions::Featured(Featured::new(ids, features, width)?), ..self })
    }

    /// Arms to which the request is restricted. `None` if every arm, or every arm except some, is available.
    pub fn ids(&self) -> Option<&'a [ArmId]> {
        match self.actions {
            Actions::Only(ids) => Some(ids),
            Actions::Featured(featured) => Some(featured.ids),
            Actions::All | Actions::Except(_) => None,
        }
    }

    /// Feature vector of the arm at index `position` of [`ids`](Self::ids). `None` if arms have no features.
    pub fn features(&self, position: usize) -> Option<&'a [f64]> {
        match self.actions {
            Actions::Featured(featured) => featured.row(position),
            _ => None,
        }
    }

    /// Returns whether the request makes this arm available. The policy does not have to contain the arm.
    pub fn allows(&self, arm: ArmId) -> bool {
        match self.actions {
            Actions::Except(ids) => !ids.contains(&arm),
            _ => self.ids().is_none_or(|ids| ids.contains(&arm)),
        }
    }
}

impl<'a> From<&'a [f64]> for Request<'a> {
    fn from(context: &'a [f64]) -> Self {
        Self::new(context)
    }
}

impl<'a> From<&'a Vec<f64>> for Request<'a> {
    fn from(context: &'a Vec<f64>) -> Self {
        Self::new(context)
    }
}

impl<'a, const N: usize> From<&'a [f64; N]> for Request<'a> {
    fn from(context: &'a [f64; N]) -> Self {
        Self::new(context)
    }
}

/// Converts a contiguous nalgebra vector: of fixed or dynamic length, owned, or a column of a matrix.
#[cfg(feature = "nalgebra")]
impl<'a, D: Dim, S: Storage<f64, D> + IsContiguous> From<&'a Vector<f64, D, S>> for Request<'a> {
    fn from(context: &'a Vector<f64, D, S>) -> Self {
        Self::new(context.as_slice())
    }
}

impl<'a> Actions<'a> {
    pub(crate) fn available(&self) -> Available<'a> {
        match self {
            Self::All => Available::All,
            Self::Only(ids) => Available::Only(ids),
            Self::Except(ids) => Available::Except(ids),
            Self::Featured(featured) => Available::Only(featured.ids),
        }
    }

    /// Feature vectors of the available arms, of any length.
    ///
    /// # Errors
    /// Fails if the request has no features.
    pub(crate) fn any_features(&self) -> Result<Featured<'a>> {
        match self {
            Self::Featured(featured) => Ok(*featured),
            _ => Err(Error::NeedsFeatures { width: 1 }),
        }
    }

    /// Feature vectors of the available arms, which must have the length `width`.
    ///
    /// # Errors
    /// Fails if the request has no features, features of another length, or sparse features.
    pub(crate) fn features(&self, width: usize) -> Result<Featured<'a>> {
        if let Self::Featured(featured) = self {
            check_not_sparse(featured.features)?;
        }
        match self {
            Self::Featured(featured) if featured.width == width => Ok(*featured),
            Self::Featured(featured) => {
                Err(Error::Dimension { what: "features of an arm", expected: width, got: featured.width })
            }
            _ => Err(Error::NeedsFeatures { width }),
        }
    }
}
