//! How decisions are made.

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At random.
    Random,
    /// By the learned scores, with exploration.
    Explore,
    /// By the learned scores, without exploration.
    Exploit,
}
