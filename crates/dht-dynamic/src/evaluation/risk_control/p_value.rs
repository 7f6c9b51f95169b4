//! p-values and upper bounds of a risk, from the losses of calibration texts.

use super::risk::Risk;

/// Number of bisection steps in the search for an upper bound.
const STEPS: usize = 30;
/// Maximum bet in the betting test, as a share of the bet with which a single loss of 1 would take all wealth.
const LARGEST: f64 = 0.75;
/// Loss of the imaginary text that [`Losses::with_errors`] adds to the observed texts, so that a few texts without a
/// loss prove little.
const UNSEEN: f64 = 0.12;
/// Variance of the losses that the betting test assumes before the first text. It has the weight of one observation.
const PRIOR_VARIANCE: f64 = 0.25;

/// Losses of the calibration texts, from −1 to 1, in the order of the texts. If `rows` exceeds the number of values,
/// the values are repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Losses<'a> {
    values: &'a [f64],
    rows: usize,
}

impl<'a> Losses<'a> {
    pub(super) fn new(values: &'a [f64]) -> Self {
        Self { values, rows: values.len() }
    }

    /// Extends the losses to `rows` texts by repeating the observed values.
    pub(super) fn repeated(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    pub(super) fn rows(self) -> usize {
        self.rows
    }

    fn iter(self) -> impl Iterator<Item = f64> {
        self.values.iter().cycle().take(self.rows).copied()
    }

    fn sum(self) -> f64 {
        let (whole, rest) = (self.rows / self.values.len().max(1), self.rows % self.values.len().max(1));
        whole as f64 * self.values.iter().sum::<f64>() + self.values[..rest].iter().sum::<f64>()
    }

    pub(super) fn mean(self) -> f64 {
        self.sum() / self.rows.max(1) as f64
    }

    /// Mean loss plus `errors` standard errors. Mean and standard error include an imaginary text with the loss
    /// [`UNSEEN`].
    pub(super) fn with_errors(self, errors: f64) -> f64 {
        let (rows, values) = (self.rows.max(1) as f64, self.values.len().max(1) as f64);
        let mean = (self.sum() + UNSEEN) / (rows + 1.0);
        let squares: f64 = self.values.iter().map(|loss| (loss - mean).powi(2)).sum();
        let variance = (squares * rows / values + (UNSEEN - mean).powi(2)) / rows;
        mean + errors * (variance / (rows + 1.0)).sqrt()
    }

    /// Upper limit of the expected loss by conformal risk control: (n·R̂ + 1)/(n + 1), where R̂ is the mean of the n
    /// losses.
    pub(super) fn conformal(self) -> f64 {
        (self.sum() + 1.0) / (self.rows as f64 + 1.0)
    }

    /// p-value, or an upper bound on it, for the hypothesis that the risk is `most` or more. `delta` is the
    /// significance level of the test.
    ///
    /// For the disagreement, which is a proportion, the p-value is the exact binomial tail P(Bin(n, most) ≤ number of
    /// losses).
    ///
    /// For the other risks, whose losses lie between −1 and 1, the test is a betting test (Waudby-Smith and Ramdas
    /// 2024). Before each text, a gambler bets that the mean loss is below `most`. The size of the bet depends only on
    /// earlier texts. The gambler's wealth is Π (1 + bᵢ·(most − lossᵢ)), which is a supermartingale if the risk is
    /// `most` or more. The bets are the predictable plug-in bets bᵢ = √(2·ln(1/δ)/(n·σ̂²ᵢ₋₁)), with δ = `delta` and the
    /// variance σ̂² of the earlier losses. The p-value is the reciprocal of the largest wealth.
    pub(super) fn p_value(self, risk: Risk, most: f64, delta: f64) -> f64 {
        match risk {
            Risk::Disagreement => self.binomial_tail(most),
            Risk::AccuracyLoss | Risk::Regret => self.largest_wealth(most, delta).recip().min(1.0),
        }
    }

    fn binomial_tail(self, share: f64) -> f64 {
        let rows = self.rows as f64;
        let odds = (share / (1.0 - share)).ln();
        // ln of the probability of k losses, from k = 0 on.
        let mut log = rows * (1.0 - share).ln();
        let mut tail = log.exp();
        for k in 0..self.sum() as u64 {
            let k = k as f64;
            log += ((rows - k) / (k + 1.0)).ln() + odds;
            tail += log.exp();
        }
        tail.min(1.0)
    }

    fn largest_wealth(self, most: f64, delta: f64) -> f64 {
        let (ruin, aim) = (1.0 / (1.0 - most), 2.0 * (1.0 / delta).ln() / self.rows.max(1) as f64);
        let (mut wealth, mut largest) = (1.0_f64, 1.0_f64);
        let (mut seen, mut sum, mut squares) = (1.0, 0.0, PRIOR_VARIANCE);
        for loss in self.iter() {
            let bet = (aim * seen / squares).sqrt().min(LARGEST * ruin);
            wealth *= 1.0 + bet * (most - loss);
            largest = largest.max(wealth);
            // Stop before the wealth overflows: the p-value is practically 0.
            if wealth > 1e300 {
                break;
            }
            sum += loss;
            seen += 1.0;
            squares += (loss - sum / seen).powi(2);
        }
        largest
    }

    /// Upper confidence bound of the risk: the smallest limit for which the p-value is at most `delta`.
    pub(super) fn upper_bound(self, risk: Risk, delta: f64) -> f64 {
        let (mut low, mut high) = (self.mean().max(0.0), 1.0);
        for _ in 0..STEPS {
            let middle = f64::midpoint(low, high);
            if self.p_value(risk, middle, delta) <= delta { high = middle } else { low = middle }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn p_values_are_those_computed_by_hand() {
        let differing =
            |lost: usize, rows: usize| -> Vec<f64> { (0..rows).map(|row| f64::from(u8::from(row < lost))).collect() };
        let of = |lost, rows, share| Losses::new(&differing(lost, rows)).p_value(Risk::Disagreement, share, 0.05);
        assert!((of(0, 10, 0.3) - 0.7f64.powi(10)).abs() < 1e-12);
        // .7¹⁰ + 10·.3·.7⁹ + 45·.09·.7⁸
        let two = 0.7f64.powi(10) + 3.0 * 0.7f64.powi(9) + 4.05 * 0.7f64.powi(8);
        assert!((of(2, 10, 0.3) - two).abs() < 1e-12);
        // The rule of three: 0 of n losses bound the share by about 3/n.
        let bound = Losses::new(&[0.0; 1000]).upper_bound(Risk::Disagreement, 0.05);
        assert!((bound - 0.00299).abs() < 1e-4, "{bound}");
        // Two texts at a limit of ½: both bets are the largest, .75/.5 = 1.5. A gain makes 1 + 1.5·1.5 of 1, a loss
        // then a quarter of it.
        let wealth = |losses: &[f64]| Losses::new(losses).largest_wealth(0.5, 0.05);
        assert!((wealth(&[-1.0]) - 3.25).abs() < 1e-12 && (wealth(&[-1.0, 1.0]) - 3.25).abs() < 1e-12);
        assert!((wealth(&[1.0, -1.0]) - 1.0).abs() < 1e-12);
        let repeated = Losses::new(&[1.0, 0.0, -1.0]).repeated(8);
        assert_eq!((repeated.iter().count(), repeated.sum()), (8, 1.0));
        // With .12: the mean is 1.12/5, and the squares are 2·.276² + 2·.224² + .104² = .26352.
        let bound = Losses::new(&[0.5, 0.0, 0.0, 0.5]).with_errors(2.0);
        assert!((bound - 0.224 - 2.0 * (0.26352f64 / 20.0).sqrt()).abs() < 1e-12, "{bound}");
        // Without a loss the bound is 2·.12/(n + 1), so that 80 texts show .3 points.
        let bound = |rows: usize| Losses::new(&vec![0.0; rows]).with_errors(1.0);
        assert!(bound(78) > 0.003 && bound(80) <= 0.003, "{} {}", bound(78), bound(80));
    }

    #[test]
    fn the_p_value_keeps_its_level_and_has_high_power() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut rejected = |[lost, gained]: [f64; 2], risk, most| {
            let mut rejected = 0;
            for _ in 0..2_000 {
                let mut draw = || {
                    let drawn: f64 = rng.random();
                    f64::from(i8::from(drawn < lost) - i8::from((lost..lost + gained).contains(&drawn)))
                };
                let losses: Vec<f64> = (0..1_000).map(|_| draw()).collect();
                rejected += u32::from(Losses::new(&losses).p_value(risk, most, 0.05) <= 0.05);
            }
            f64::from(rejected) / 2_000.0
        };
        // Four standard errors of a rate of .05 are .02.
        let bounded = rejected([0.03, 0.02], Risk::AccuracyLoss, 0.01);
        assert!((0.005..0.055).contains(&bounded), "{bounded}");
        let exact = rejected([0.02, 0.0], Risk::Disagreement, 0.02);
        assert!((0.02..0.07).contains(&exact), "{exact}");
        // 3.6 and 4 standard errors below the limit.
        let power = rejected([0.01, 0.012], Risk::AccuracyLoss, 0.015);
        assert!(power > 0.8, "{power}");
        let power = rejected([0.006, 0.0], Risk::Disagreement, 0.02);
        assert!(power > 0.95, "{power}");
    }
}
