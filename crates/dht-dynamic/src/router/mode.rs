//! Modes of routing decisions.

use rand::Rng;

/// Mode of routing decisions, with the generator of a mode that draws.
pub enum Mode<'a> {
    /// Random decisions, drawn from this generator.
    Random(&'a mut dyn Rng),
    /// Decisions by the learned scores with exploration, which may draw from this generator.
    Explore(&'a mut dyn Rng),
    /// Decisions by the learned scores without exploration. Nothing is drawn, so that a decision is a function of the
    /// text.
    Exploit,
}

impl Mode<'_> {
    /// Returns whether decisions are those of inference.
    pub fn is_exploit(&self) -> bool {
        matches!(self, Self::Exploit)
    }
}
