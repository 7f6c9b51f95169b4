//! Propensities: the probability with which a policy chooses each arm, and methods for computing it.
//!
//! | values of arms | method | error |
//! |---|---|---|
//! | functions of the scores (UCB, ε-greedy, SquareCB) | counting, ties shared | rounding |
//! | softmax, one arm | closed form | rounding |
//! | independent draws (Thompson sampling, softmax in slates) | quadrature in one dimension | at most 1e-9 |
//! | one draw of shared weights | exact along lines, averaged over lines | a standard error for each arm |
//!
//! If all arms share weights, a direction in the space of features is ignored if the arms differ along it by less than
//! 1e-13 of the largest difference between two arms.

mod beta;
mod independent;
mod law;
mod plackett_luce;
mod ranks;
mod shared;
mod single;

pub(crate) use independent::{inclusion, inclusion_of};
pub(crate) use law::Law;
pub(crate) use plackett_luce::{LARGEST_SLATE, inclusion_of_first};
pub(crate) use ranks::{point_inclusion_of, rank_weights};
pub(crate) use shared::{SharedDraw, inclusion_of_shared, inclusion_of_shared_arms};
pub(crate) use single::{ClosedForm, FreeScore, independent_propensities, independent_propensity, laws};
