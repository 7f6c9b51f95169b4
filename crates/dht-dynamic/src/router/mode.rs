//! Modes of routing decisions.

use rand::Rng;

/// Mode of routing decisions: random, by learned scores with exploration, or by learned scores alone. Modes with
/// randomness hold their generator.
pub enum Mode<'a> {
    /// Random decisions, drawn from this generator.
    Random(&'a mut dyn Rng),
    /// Decisions by the scores that the router learned, with exploration, which may draw from this generator.
    Explore(&'a mut dyn Rng),
    /// Decisions by the scores that the router learned, without exploration, as in inference. No random numbers are
    /// drawn, so a decision depends only on the text.
    Exploit,
}

impl Mode<'_> {
    /// Returns whether decisions are made as in inference, without randomness.
    pub fn is_exploit(&self) -> bool {
        matches!(self, Self::Exploit)
    }
}
