//! Modes of routing decisions: random, exploring or exploiting.

use rand::Rng;

/// Mode of routing decisions: random, by learned scores with exploration, or by learned scores alone.
pub enum Mode<'a> {
    /// Random decisions, drawn from the random number generator.
    Random(&'a mut dyn Rng),
    /// Decisions by the router's learned scores, with exploration, which may draw from the random number generator.
    Explore(&'a mut dyn Rng),
    /// Decisions by the router's learned scores, without exploration, as in inference. No random numbers are drawn, so
    /// a decision depends only on the text.
    Exploit,
}

impl Mode<'_> {
    /// Returns whether decisions are made as in inference, without randomness.
    pub fn is_exploit(&self) -> bool {
        matches!(self, Self::Exploit)
    }
}
