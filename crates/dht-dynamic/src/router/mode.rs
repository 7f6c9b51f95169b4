//! Modes of routing decisions.

/// Mode of routing decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Random decisions.
    Random,
    /// Decisions by the learned scores, with exploration.
    Explore,
    /// Decisions by the learned scores, without exploration.
    Exploit,
}
