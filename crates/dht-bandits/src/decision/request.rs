//! Requests: a context, and the available actions.

#[cfg(feature = "nalgebra")]
use nalgebra::{Dim, IsContiguous, Storage, Vector};

use crate::arm::{ArmId, Available};
use crate::error::{Error, Result};
use crate::validate::{check_finite_numbers, check_length, check_not_sparse};

/// Request to a policy: a context, and the available actions. Slices, vectors, arrays and nalgebra's vectors become
/// requests by `into`.
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
    /// Context of the round, which does not depend on the choice.
    pub context: &'a [f64],
    pub(crate) actions: Actions<'a>,
}

/// Available arms, and their features if they have any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Actions<'a> {
    /// Every arm of the policy.
    All,
    /// Only the arms of this list.
    Only(&'a [ArmId]),
    /// Every arm except those of this list.
    Except(&'a [ArmId]),
    /// Only the listed arms, each with its features.
    Featured(Featured<'a>),
}

/// Arms with one row of features each. Rows have equal length, which is checked at construction.
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

    /// Ids of the arms.
    pub(crate) fn ids(&self) -> &'a [ArmId] {
        self.ids
    }

    /// Number of features of an arm.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Features of the arm at this position of [`ids`](Self::ids).
    pub(crate) fn row(&self, position: usize) -> Option<&'a [f64]> {
        self.features.chunks_exact(self.width).nth(position)
    }

    /// All features, shape (arms, width), row-major.
    pub(crate) fn rows(&self) -> &'a [f64] {
        self.features
    }

    /// Features of the arm at a position of [`ids`](Self::ids). The position must be below the number of arms.
    pub(crate) fn at(&self, position: usize) -> &'a [f64] {
        &self.features[position * self.width..][..self.width]
    }
}

impl<'a> Request<'a> {
    /// Creates a request in which every arm is available.
    pub const fn new(context: &'a [f64]) -> Self {
        Self { context, actions: Actions::All }
    }

    /// Replaces the context, for policies that scale it before an inner policy sees it.
    #[must_use]
    pub const fn with_context<'b>(self, context: &'b [f64]) -> Request<'b>
    where
        'a: 'b,
    {
        Request { context, actions: self.actions }
    }

    /// Restricts the request to these arms. They form a set: order and repetition do not matter (slates refuse
    /// repetition).
    pub const fn only(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Only(ids), ..self }
    }

    /// Restricts the request to every arm except these. Removed arms may be listed, since they are excluded permanently
    /// and a caller cannot know which arms a merge has removed. An arm that never existed is refused: the id is wrong,
    /// and the policy could choose the arm that the caller meant to exclude.
    pub const fn except(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Except(ids), ..self }
    }

    /// Restricts the request to these arms, and adds the features of each arm. `features` is row-major, shape (arms,
    /// `width`). [`Disjoint`](crate::policy::Disjoint) policies ignore the features. [`Hybrid`](crate::policy::Hybrid)
    /// policies and policies with shared weights need them.
    ///
    /// # Errors
    /// * Fails if there are no arms, or if the width is zero.
    /// * Fails if the number of features is not arms × width, or if a feature is not finite.
    pub fn featured(self, ids: &'a [ArmId], features: &'a [f64], width: usize) -> Result<Self> {
        Ok(Self { actions: Actions::Featured(Featured::new(ids, features, width)?), ..self })
    }

    /// Arms that the request lists. `None` if every arm, or every arm except some, is available.
    pub fn ids(&self) -> Option<&'a [ArmId]> {
        match self.actions {
            Actions::Only(ids) => Some(ids),
            Actions::Featured(featured) => Some(featured.ids),
            Actions::All | Actions::Except(_) => None,
        }
    }

    /// Features of the arm at this position of [`ids`](Self::ids), if arms have features.
    pub fn features(&self, position: usize) -> Option<&'a [f64]> {
        match self.actions {
            Actions::Featured(featured) => featured.row(position),
            _ => None,
        }
    }

    /// Returns whether the request makes this arm available. The policy need not have the arm.
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

/// Converts contiguous nalgebra vectors: of any length, fixed or dynamic, owned or columns of a matrix.
#[cfg(feature = "nalgebra")]
impl<'a, D: Dim, S: Storage<f64, D> + IsContiguous> From<&'a Vector<f64, D, S>> for Request<'a> {
    fn from(context: &'a Vector<f64, D, S>) -> Self {
        Self::new(context.as_slice())
    }
}

impl<'a> Actions<'a> {
    /// Set of available arms, without features.
    pub(crate) fn available(&self) -> Available<'a> {
        match self {
            Self::All => Available::All,
            Self::Only(ids) => Available::Only(ids),
            Self::Except(ids) => Available::Except(ids),
            Self::Featured(featured) => Available::Only(featured.ids),
        }
    }

    /// Features of the arms, of any width.
    ///
    /// # Errors
    /// Fails if the request has no features.
    pub(crate) fn any_features(&self) -> Result<Featured<'a>> {
        match self {
            Self::Featured(featured) => Ok(*featured),
            _ => Err(Error::NeedsFeatures { width: 1 }),
        }
    }

    /// Features of the arms, if they have this width.
    ///
    /// # Errors
    /// Fails if the request has no features, features of another width, or sparse features.
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
