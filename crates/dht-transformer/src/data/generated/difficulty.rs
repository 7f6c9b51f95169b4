//! Difficulty levels of generated reviews.

/// Difficulty of a generated review: how many words a model must combine to find its verdict (praise or complaint).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difficulty {
    /// One opinion word and no negation. Half of the texts are easy.
    Easy,
    /// One opinion and at least one negation, which inverts the opinion or belongs to a clause without an opinion. A
    /// fifth of the texts are of middle difficulty.
    Middle,
    /// Three or five judgements, some of them negated. The majority of the judgements determines the verdict. Three
    /// tenths of the texts are hard.
    Hard,
}
