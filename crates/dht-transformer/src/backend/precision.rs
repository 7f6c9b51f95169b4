//! The numbers that products are computed in.

use std::fmt;
use std::str::FromStr;

use crate::backend::cpu::has_int8_products;

/// The numbers that the products of encoder layers are computed in, in inference on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Single precision, 32 bits.
    #[default]
    F32,
    /// Eight-bit integers with exact sums ("dynamic quantisation"): each output's weights are rounded to the multiples −127 … 127 of
    /// its largest over 127, each token's states likewise while the model runs. Embeddings, attention scores, norms, poolers and
    /// classifiers stay in single precision, and so do the stored weights.
    ///
    /// Answers differ a little from those in single precision; an evaluation says what that costs. Their bits depend neither on the
    /// other texts of a batch nor on which integer instructions the processor has.
    Int8,
}

impl Precision {
    const ALL: [(Self, &str); 2] = [(Self::F32, "f32"), (Self::Int8, "int8")];

    /// Whether this processor has instructions for it; without them [`Int8`](Self::Int8) (AVX-512 VNNI) is slower than
    /// single precision.
    pub fn is_accelerated(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Int8 => has_int8_products(),
        }
    }
}

/// `f32` or `int8`.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(precision, _)| precision == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(precision, _)| *precision).ok_or_else(|| format!("expected f32 or int8, not {text:?}"))
    }
}
