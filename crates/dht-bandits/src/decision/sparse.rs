//! Sparse contexts: the values of a context that are not zero, with their indices.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Request;
use crate::error::{Error, Result};
use crate::validate::{LARGEST, SPARSE, check_bounded, check_memory, check_parameter};

/// Largest number of bits of a feature index.
const MOST_BITS: u32 = 28;

/// Number of values before the first pair of a stored sparse context. They are a marker (the smallest `f64`), the
/// feature space, and the number of pairs.
const HEADER: usize = 3;

/// Feature space of a sparse context: the indices 0 to 2^bits − 1 and the features that they stand for. Feature hashers
/// with different settings have different feature spaces. A policy accepts contexts of only one feature space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpace {
    bits: u32,
    fingerprint: u32,
}

impl FeatureSpace {
    /// Creates the feature space of the indices 0 to 2^`bits` − 1, whose meaning the caller defines.
    ///
    /// # Errors
    /// Fails if `bits` is not from 1 to 28.
    pub fn new(bits: u32) -> Result<Self> {
        Self::with_fingerprint(bits, 0)
    }

    /// Creates the feature space of a hasher, identified by a 24-bit fingerprint of the hasher's settings.
    pub(crate) fn with_fingerprint(bits: u32, fingerprint: u32) -> Result<Self> {
        check_parameter("bits", f64::from(bits), (1..=MOST_BITS).contains(&bits), "from 1 to 28")?;
        Ok(Self { bits, fingerprint: fingerprint & 0x00ff_ffff })
    }

    /// Number of feature indices, 2^bits.
    pub fn size(self) -> usize {
        1 << self.bits
    }

    /// Number of bits of a feature index.
    pub fn bits(self) -> u32 {
        self.bits
    }

    pub(crate) fn check(self) -> Result<()> {
        Self::with_fingerprint(self.bits, self.fingerprint).map(drop)
    }

    fn code(self) -> f64 {
        f64::from(self.fingerprint) * 32.0 + f64::from(self.bits)
    }

    fn from_code(code: f64) -> Option<Self> {
        let number = code as u64;
        let (bits, fingerprint) = ((number % 32) as u32, (number / 32) as u32);
        let space = Self { bits, fingerprint };
        (space.code() == code && (1..=MOST_BITS).contains(&bits) && fingerprint < 1 << 24).then_some(space)
    }
}

impl fmt::Display for FeatureSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "2^{} indices of ", self.bits)?;
        if self.fingerprint == 0 {
            write!(formatter, "the caller")
        } else {
            write!(formatter, "hasher {:06x}", self.fingerprint)
        }
    }
}

/// Sparse context: pairs of index and value by ascending index. All other values are zero.
///
/// It converts to a [`Request`] by `into`. A decision or log stores it as a list of numbers, like a dense context. The
/// list begins with the smallest `f64`, which a dense context must not contain. The feature space, the number of pairs,
/// and the pairs follow. Code that stores, sends or evaluates decisions therefore needs no special case. Policies that
/// need every value return an error for a sparse context.
///
/// ```
/// use dht_bandits::exploration::SquareCb;
/// use dht_bandits::features::{FeatureSpace, SparseContext};
/// use dht_bandits::policy::SparsePolicy;
/// use dht_bandits::{Policy, posterior::DiagonalLaplace};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let space = FeatureSpace::new(18)?;
/// let context = SparseContext::new(space, [(7, 1.0), (90_210, 0.5)])?;
/// let mut policy = SparsePolicy::new(space, 3, DiagonalLaplace::default(), SquareCb::new(100.0))?;
/// let decision = policy.decide(&(&context).into(), &mut ChaCha8Rng::seed_from_u64(7))?;
/// policy.learn(&decision, 1.0)?;
/// assert!(SparseContext::new(space, [(7, 1.0), (7, 0.5)]).is_err());
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparseContext {
    values: Vec<f64>,
}

impl SparseContext {
    /// Creates a sparse context from pairs of index and value, by ascending index.
    ///
    /// # Errors
    /// * [`Error::SparseIndex`] if an index is not below the size of the space.
    /// * [`Error::SparseOrder`] if indices do not ascend, or if an index occurs twice.
    /// * [`Error::NotFinite`] or [`Error::TooLarge`] if a value is not finite or beyond ±1e100.
    pub fn new(space: FeatureSpace, pairs: impl IntoIterator<Item = (u32, f64)>) -> Result<Self> {
        let pairs = pairs.into_iter();
        let mut values = Vec::with_capacity(HEADER + 2 * pairs.size_hint().0);
        values.extend([SPARSE, space.code(), 0.0]);
        for (index, value) in pairs {
            values.extend([f64::from(index), value]);
        }
        values[2] = ((values.len() - HEADER) / 2) as f64;
        check_sparse(&values)?;
        Ok(Self { values })
    }

    /// Creates a sparse context from pairs that are sorted by index. Indices must be in range and may repeat: values
    /// with the same index are added.
    ///
    /// # Errors
    /// Fails if a sum is beyond ±1e100.
    pub(crate) fn from_sorted(space: FeatureSpace, pairs: &[(u32, f64)]) -> Result<Self> {
        let mut values = vec![0.0; HEADER + 2 * pairs.len()];
        // A branch would be mispredicted for repeated words. Without one, each pair is written over the previous pair
        // or after it.
        let (mut count, mut last) = (0, u32::MAX);
        for &(index, value) in pairs {
            let is_new = index != last;
            count += usize::from(is_new);
            let place = &mut values[HEADER + 2 * count - 2..][..2];
            place[0] = f64::from(index);
            place[1] += value;
            last = index;
        }
        values.truncate(HEADER + 2 * count);
        (values[0], values[1], values[2]) = (SPARSE, space.code(), count as f64);
        let sums = values[HEADER..].chunks_exact(2);
        if !sums.clone().fold(true, |fits, pair| fits & (pair[1].abs() <= LARGEST)) {
            sums.into_iter().try_for_each(|pair| check_bounded("feature", pair[1]))?;
        }
        Ok(Self { values })
    }

    /// Reads a sparse context from the list of numbers by which a decision or log row stores it.
    ///
    /// # Errors
    /// * Fails if the numbers are not a sparse context.
    /// * Fails as [`new`](Self::new) does.
    pub fn from_values(values: &[f64]) -> Result<Self> {
        check_sparse(values)?;
        Ok(Self { values: values.to_vec() })
    }

    /// Feature space to which the indices belong.
    pub fn space(&self) -> FeatureSpace {
        // Each constructor checks the code.
        FeatureSpace::from_code(self.values[1]).unwrap_or(FeatureSpace { bits: 1, fingerprint: 0 })
    }

    /// Pairs of index and value, by ascending index.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (u32, f64)> + '_ {
        let count = self.values[2] as usize;
        self.values[HEADER..HEADER + 2 * count].chunks_exact(2).map(|pair| (pair[0] as u32, pair[1]))
    }

    /// List of numbers by which decisions and logs store the context. [`from_values`](Self::from_values) reads it.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Converts the context, without a copy, to the list of numbers by which decisions and logs store it.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// Builds the feature matrix of several actions for [`Request::featured`]. Rows are padded to equal length. Returns
    /// the row-major values and the row length.
    ///
    /// # Errors
    /// Fails if memory cannot be allocated.
    pub fn rows<'c>(actions: impl IntoIterator<Item = &'c Self> + Clone) -> Result<(Vec<f64>, usize)> {
        let lengths = actions.clone().into_iter().map(|context| context.values.len());
        let (count, width) = lengths.fold((0usize, 0), |(count, width), length| (count + 1, width.max(length)));
        check_memory("features of the actions", count.checked_mul(width))?;
        let mut rows = Vec::with_capacity(count * width);
        for (position, context) in actions.into_iter().enumerate() {
            rows.extend_from_slice(&context.values);
            rows.resize((position + 1) * width, 0.0);
        }
        Ok((rows, width))
    }
}

impl<'a> From<&'a SparseContext> for Request<'a> {
    fn from(context: &'a SparseContext) -> Self {
        Self::new(&context.values)
    }
}

/// Parses the list of numbers by which a sparse context is stored. Returns its feature space and its pairs.
///
/// # Errors
/// Fails as [`SparseContext::from_values`] does.
pub(crate) fn check_sparse(values: &[f64]) -> Result<(FeatureSpace, &[f64])> {
    let malformed = |problem: &str| Err(Error::NotSparse { problem: problem.to_owned() });
    let [mark, code, count, rest @ ..] = values else {
        return malformed("it is shorter than a sparse context's header");
    };
    if *mark != SPARSE {
        return malformed("it is a list of all values");
    }
    let Some(space) = FeatureSpace::from_code(*code) else { return malformed("its feature space is damaged") };
    let pairs = *count as usize;
    if pairs as f64 != *count || pairs > rest.len() / 2 {
        return malformed("its number of pairs is damaged");
    }
    let (pairs, padding) = rest.split_at(2 * pairs);
    if padding.iter().any(|value| *value != 0.0) {
        return malformed("values follow its last pair");
    }
    // All pairs are checked in one pass without a branch. The invalid pair is searched for only if there is one.
    let (size, mut least, mut fits) = (space.size() as u32, 0, true);
    for pair in pairs.chunks_exact(2) {
        let index = pair[0] as u32;
        fits &= f64::from(index) == pair[0] && index >= least && index < size && pair[1].abs() <= LARGEST;
        least = index.wrapping_add(1);
    }
    if fits { Ok((space, pairs)) } else { Err(fault(space, pairs)) }
}

fn fault(space: FeatureSpace, pairs: &[f64]) -> Error {
    let mut before = None;
    for (position, pair) in pairs.chunks_exact(2).enumerate() {
        let (index, value) = (pair[0], pair[1]);
        let number = index as u64;
        if number as f64 != index || number >= space.size() as u64 {
            return Error::SparseIndex { position, index, size: space.size() };
        }
        if let Some(before) = before.filter(|before| *before >= number) {
            return Error::SparseOrder { position, index: number, before };
        }
        if let Err(error) = check_bounded("value of a sparse context", value) {
            return error;
        }
        before = Some(number);
    }
    Error::NotSparse { problem: "its pairs are damaged".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_survives_its_code() {
        for bits in 1..=MOST_BITS {
            for fingerprint in [0, 1, 0x00ff_ffff] {
                let space = FeatureSpace { bits, fingerprint };
                assert_eq!(FeatureSpace::from_code(space.code()), Some(space));
            }
        }
        for code in [-1.0, 0.0, 31.0, 0.5, f64::NAN, f64::INFINITY, 32.0 * f64::from(1 << 24) + 1.0] {
            assert_eq!(FeatureSpace::from_code(code), None, "{code}");
        }
    }
}
