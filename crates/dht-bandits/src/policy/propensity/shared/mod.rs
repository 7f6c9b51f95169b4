//! Propensities of arms that are scored by one draw of shared weights, so that their values are correlated Gaussians.
//!
//! Arm a has the value m_a + g_a'z, with z ~ N(0, I) drawn once for all arms. For more than two arms, the probability
//! that an arm is the best is an orthant probability, which has no closed form. On a line z = w + c·u, with c ~ N(0, 1)
//! and w ⟂ u, the values are linear in c and their crossings are known, so the probability is exact. It is averaged
//! over points w of a quasi-random lattice with random shifts (Genz & Bretz 2009, chapter 4), whose spread gives the
//! standard error.
//!
//! For each arm, u is selected so that the arm's value rises relative to all others, if such a u exists. It exists for
//! every arm that some draw makes the best, since the best arm of a linear model is a vertex of the convex hull of the
//! arms' features. On every line, the arm is then the best from some c on, and its probability is positive.

mod crossings;
mod draw;
mod lattice;
mod lines;

pub(crate) use draw::{inclusion_of_shared, inclusion_of_shared_arms};
pub(crate) use lines::SharedDraw;
