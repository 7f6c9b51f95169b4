//! Dropout from a counter-based random generator. Masks are not stored, and do not depend on the batch of a sample.

use super::real::Real;

/// Place of a dropout in the model. Each place has its own dropout masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropoutSite {
    Embedding,
    AttentionProbabilities { layer: usize },
    AttentionOutput { layer: usize },
    FeedForwardOutput { layer: usize },
}

impl DropoutSite {
    fn code(self) -> u32 {
        match self {
            Self::Embedding => 0,
            Self::AttentionProbabilities { layer } => 1 + 3 * layer as u32,
            Self::AttentionOutput { layer } => 2 + 3 * layer as u32,
            Self::FeedForwardOutput { layer } => 3 + 3 * layer as u32,
        }
    }
}

/// Dropout at one place of the model in one training step. Each value is set to 0 with `probability`; the others are
/// scaled by 1/(1 − probability).
///
/// A random number decides about each value. It comes from the counter-based generator Philox-4x32-10 (Salmon et al.
/// 2011). The key is the seed; the counter is (column block, token and site, sample, step). So the mask is the same if
/// samples are batched differently, after a run is resumed, and on another device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    probability: f64,
    seed: u64,
    step: u32,
    site: u32,
}

impl Dropout {
    /// Creates a dropout, or returns `None` for a probability of 0.
    pub(crate) fn new(probability: f64, seed: u64, step: u32, site: DropoutSite) -> Option<Self> {
        (probability > 0.0).then(|| Self { probability, seed, step, site: site.code() })
    }

    /// Constants from which kernels of other devices compute the same dropout masks: the two words of the generator's
    /// key, the site, the step, the threshold, and the scale of the values that are not dropped.
    #[cfg(feature = "cuda")]
    pub(crate) fn words(self) -> ([u32; 5], f32) {
        let (threshold, scale) = (self.threshold(), 1.0 / (1.0 - self.probability));
        ([self.seed as u32, (self.seed >> 32) as u32, self.site, self.step, threshold], scale as f32)
    }

    /// Threshold of a 32-bit random number: a value is dropped if its random number is below the threshold.
    #[inline(always)]
    fn threshold(self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }

    /// Multiplies `row` by the dropout mask of a sample and token. `lane` distinguishes several rows of the same token,
    /// such as attention heads.
    #[inline(always)]
    pub(crate) fn apply<T: Real>(&self, sample: u64, token: usize, lane: usize, row: &mut [T]) {
        let scale = T::from_f64(1.0 / (1.0 - self.probability));
        let threshold = self.threshold();
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let position = (token as u32) | (self.site << 16);
        let first = (lane as u32) << 16;
        for (group, values) in row.chunks_mut(4 * LANES).enumerate() {
            let words = philox(first + (group * LANES) as u32, [position, sample as u32, self.step], key);
            for (values, words) in values.chunks_mut(LANES).zip(&words) {
                for (value, word) in values.iter_mut().zip(words) {
                    *value = if *word >= threshold { *value * scale } else { T::ZERO };
                }
            }
        }
    }
}

/// Number of counters that the random generator processes in parallel, so that its rounds are vectorised.
const LANES: usize = 16;

/// Computes random words by Philox-4x32-10, four words for each of the counters (first + lane, rest…).
#[inline(always)]
fn philox(first: u32, rest: [u32; 3], key: [u32; 2]) -> [[u32; LANES]; 4] {
    let mut state = [[0u32; LANES], [rest[0]; LANES], [rest[1]; LANES], [rest[2]; LANES]];
    for (lane, word) in state[0].iter_mut().enumerate() {
        *word = first + lane as u32;
    }
    let [mut key0, mut key1] = key;
    for _ in 0..10 {
        let [mut x0, mut x1, mut x2, mut x3] = state;
        for lane in 0..LANES {
            let product0 = u64::from(x0[lane]) * 0xD251_1F53;
            let product1 = u64::from(x2[lane]) * 0xCD9E_8D57;
            let (high1, low1) = ((product1 >> 32) as u32, product1 as u32);
            let (high0, low0) = ((product0 >> 32) as u32, product0 as u32);
            x0[lane] = high1 ^ x1[lane] ^ key0;
            x1[lane] = low1;
            x2[lane] = high0 ^ x3[lane] ^ key1;
            x3[lane] = low0;
        }
        state = [x0, x1, x2, x3];
        key0 = key0.wrapping_add(0x9E37_79B9);
        key1 = key1.wrapping_add(0xBB67_AE85);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the known answers for philox4x32-10 in the file `kat_vectors` of the Random123 library.
    #[test]
    fn philox_gives_the_published_words() {
        let zero = philox(0, [0, 0, 0], [0, 0]);
        let words = [zero[0][0], zero[1][0], zero[2][0], zero[3][0]];
        assert_eq!(words, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let pi = philox(0x243f_6a88, [0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        let words = [pi[0][0], pi[1][0], pi[2][0], pi[3][0]];
        assert_eq!(words, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    /// Expected dropout mask in hexadecimal digits. A digit stands for four columns, the first in its lowest bit; a bit
    /// is 1 if the column's value is not dropped. Tests of other devices' kernels read this constant, too.
    const MASK: &str = "b31b5802039c91f97bb0060e9205ff2add";

    #[test]
    fn a_mask_has_the_bits_that_other_devices_compute() {
        let dropout = Dropout::new(0.5, 0x0123_4567_89AB_CDEF, 3, DropoutSite::AttentionOutput { layer: 1 }).unwrap();
        let mut row = vec![1f32; 4 * MASK.len()];
        dropout.apply(7, 2, 0, &mut row);
        let digit = |four: &[f32]| four.iter().rev().fold(0, |digit, value| 2 * digit + u32::from(*value != 0.0));
        let bits: String = row.chunks(4).filter_map(|four| char::from_digit(digit(four), 16)).collect();
        assert_eq!(bits, MASK);
    }

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let dropout = Dropout::new(0.3, 7, 1, DropoutSite::Embedding).unwrap();
        let (mut dropped, mut sum, count) = (0, 0.0, 200 * 100);
        for token in 0..200 {
            let mut row = vec![1.0f64; 100];
            dropout.apply(5, token, 0, &mut row);
            dropped += row.iter().filter(|x| **x == 0.0).count();
            sum += row.iter().sum::<f64>();
        }
        // The tolerance is 5 standard deviations of a binomial distribution with 20,000 draws, which gives one false
        // alarm in two million.
        assert!((dropped as f64 / count as f64 - 0.3).abs() < 5.0 * (0.21f64 / count as f64).sqrt());
        assert!((sum / count as f64 - 1.0).abs() < 0.03);
    }

    #[test]
    fn masks_differ_between_samples_tokens_places_steps_and_heads() {
        let row = |dropout: Dropout, sample, token, lane| {
            let mut row = vec![1.0f32; 64];
            dropout.apply(sample, token, lane, &mut row);
            row
        };
        let site = DropoutSite::AttentionOutput { layer: 3 };
        let base = Dropout::new(0.5, 7, 1, site).unwrap();
        let reference = row(base, 1, 2, 0);
        assert_eq!(reference, row(base, 1, 2, 0));
        assert_ne!(reference, row(base, 2, 2, 0));
        assert_ne!(reference, row(base, 1, 3, 0));
        assert_ne!(reference, row(base, 1, 2, 1));
        assert_ne!(reference, row(Dropout::new(0.5, 7, 2, site).unwrap(), 1, 2, 0));
        assert_ne!(reference, row(Dropout::new(0.5, 8, 1, site).unwrap(), 1, 2, 0));
        let other = DropoutSite::FeedForwardOutput { layer: 3 };
        assert_ne!(reference, row(Dropout::new(0.5, 7, 1, other).unwrap(), 1, 2, 0));
    }
}
