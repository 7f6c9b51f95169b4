//! Modes of routing decisions: random, exploration or exploitation.

use rand::Rng;

/// Mode of routing decisions: random, by learned scores with exploration, or by learned scores alone.
pub enum Mode<'a> {
    /// Random decisions, drawn from the random number generator.
    Random(&'a mut dyn Rng),
    /// Decisions by the scores that the router has learned, with exploration. They may use the random number generator.
    Explore(&'a mut dyn Rng),
    /// Decisions by the scores that the router has learned, without exploration, as in inference. They use no random
    /// numbers, so that they depend only on the text.
    Exploit,
}

impl Mode<'_> {
    /// Returns whether decisions are made as in inference, without randomness.
    pub fn is_exploit(&self) -> bool {
        matches!(self, Self::Exploit)
    }
}
