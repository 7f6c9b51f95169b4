//! Propensities of arms scored by one draw of shared weights: correlated Gaussian values.
//!
//! The values are m_a + g_a'z with z ~ N(0, I) and one row g_a per arm. No closed form exists for more than two arms:
//! the probability of the best is that of an orthant. Along a line z = w + c·u, with c ~ N(0, 1) and w ⟂ u, the values
//! are linear in c, their crossings are known, and the probability is exact. The mean over w is taken over a lattice
//! with random shifts (Genz & Bretz 2009, chapter 4), whose spread gives the standard error.
//!
//! For each arm, u is selected so that its value rises relative to all others, if such a u exists. It exists for every
//! arm that one draw can make the best, since the best arm of a linear model is a vertex of the convex hull of the
//! arms' features. The arm is then the best from some c on along every line, and its probability is positive on each.

mod crossings;
mod draw;
mod lattice;
mod lines;

pub(crate) use draw::{inclusion_of_shared, inclusion_of_shared_arms};
pub(crate) use lines::SharedDraw;
