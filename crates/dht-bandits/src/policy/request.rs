//! Requests: a context, and the available actions.

use crate::arm::{ArmId, Available};
use crate::error::{Error, Result};
use crate::validate::{check_finite, check_length};
#[cfg(feature = "nalgebra")]
use nalgebra::{Dim, IsContiguous, Storage, Vector};

/// Request to a policy: a context, and the available actions. Slices, vectors, arrays and nalgebra's vectors become
/// requests by `into`.
///
/// ```
/// use dht_bandits::{Actions, ArmId, Request, policy::Featured};
///
/// let context = [1.0, 0.2];
/// let ids = [0, 3].map(ArmId::new);
/// assert_eq!(Request::new(&context).actions, Actions::All);
/// assert_eq!(Request::new(&context).only(&ids).actions, Actions::Only(&ids));
/// // Two arms with three features each, row by row.
/// let features = Featured::new(&ids, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 3)?;
/// assert_eq!(Request::new(&context).featured(features).actions, Actions::Featured(features));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request<'a> {
    /// Context of this round, independent of the choice.
    pub context: &'a [f64],
    /// Available actions.
    pub actions: Actions<'a>,
}

/// Available arms, and their features if they have any.
///
/// Without features this is a set: order and repetition do not matter (slates refuse repetition).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Actions<'a> {
    /// Every arm.
    All,
    /// These arms and no other.
    Only(&'a [ArmId]),
    /// Every arm except these. Removed arms may be listed: they are excluded for good, and a caller cannot know which
    /// ones a merge has removed. An arm that never existed is refused: it is a wrong id, and the intended arm could
    /// then be chosen.
    Except(&'a [ArmId]),
    /// These arms, with the features of each. [`Disjoint`](crate::policy::Disjoint) policies ignore the features;
    /// [`Hybrid`](crate::policy::Hybrid) policies and those with shared weights need them.
    Featured(Featured<'a>),
}

/// Arms with features, a row of equal length for each, checked at construction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Featured<'a> {
    ids: &'a [ArmId],
    // (arms, width), row-major.
    features: &'a [f64],
    width: usize,
}

impl<'a> Featured<'a> {
    /// Creates arms with features: `features` is row-major, shape (arms, `width`).
    ///
    /// # Errors
    /// No arm; a width of zero; a number of features that differs from arms × width; a feature that is not finite.
    pub fn new(ids: &'a [ArmId], features: &'a [f64], width: usize) -> Result<Self> {
        check_length("width of the features", width)?;
        if ids.is_empty() {
            return Err(Error::NoArms { arms: 0 });
        }
        check_finite("features", features, ids.len().saturating_mul(width))?;
        Ok(Self { ids, features, width })
    }

    /// The arms.
    pub fn ids(&self) -> &'a [ArmId] {
        self.ids
    }

    /// Number of features of an arm.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Features of the arm at this position.
    pub fn row(&self, position: usize) -> Option<&'a [f64]> {
        self.features.chunks_exact(self.width).nth(position)
    }

    /// All features, shape (arms, width), row-major.
    pub(crate) fn rows(&self) -> &'a [f64] {
        self.features
    }

    /// Features of the arm at a position below the number of arms.
    pub(crate) fn at(&self, position: usize) -> &'a [f64] {
        &self.features[position * self.width..][..self.width]
    }
}

impl<'a> Request<'a> {
    /// Creates a request in which every arm is available.
    pub const fn new(context: &'a [f64]) -> Self {
        Self { context, actions: Actions::All }
    }

    /// Restricts the request to these arms.
    pub const fn only(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Only(ids), ..self }
    }

    /// Restricts the request to every arm except these.
    pub const fn except(self, ids: &'a [ArmId]) -> Self {
        Self { actions: Actions::Except(ids), ..self }
    }

    /// Restricts the request to these arms, with features.
    pub const fn featured(self, features: Featured<'a>) -> Self {
        Self { actions: Actions::Featured(features), ..self }
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

/// Conversion from contiguous nalgebra vectors: of any length, fixed or dynamic, owned or columns of a matrix.
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

    /// Features, if they have this width.
    ///
    /// # Errors
    /// No features, or features of another width.
    pub(crate) fn features(&self, width: usize) -> Result<Featured<'a>> {
        match self {
            Self::Featured(featured) if featured.width == width => Ok(*featured),
            Self::Featured(featured) => {
                Err(Error::Dimension { what: "features of an arm", expected: width, got: featured.width })
            }
            _ => Err(Error::NeedsFeatures { width }),
        }
    }
}
