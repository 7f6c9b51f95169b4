//! Latency model: predicts the seconds of a classifier from the sizes of its layers.

use dht_transformer::flops::LayerSizes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Latency model of a classifier: predicts seconds from the sizes of the layers, for a fixed number of texts of a fixed
/// length.
///
/// A layer takes x·((e_q + e_k)·A + e_v·B) + α·A + β·B + φ·f + κ seconds, with fitted coefficients x, α, β, φ and κ.
/// e_q, e_k and e_v are the numbers of input dimensions of Q, K and V. A and B are the numbers of query and value
/// dimensions, summed over all heads. f is the number of feed-forward neurons. The FLOPs of a layer have the same form.
/// Different costs in seconds and FLOPs are therefore due to the machine.
///
/// ```
/// use dht_nas::transformer::flops::LayerSizes;
/// use dht_nas::Latency;
///
/// let latency = Latency {
///     product: 1e-9, query_key: 0.0, value: 0.0, neuron: 1e-6, layer: 1e-4, fixed: 1e-3, error: 0.0,
/// };
/// let layer = LayerSizes {
///     hidden: 8, query_inputs: 8, key_inputs: 8, value_inputs: 8, query_key: 8, value: 8, ffn: 100,
/// };
/// // 10⁻⁹·(16·8 + 8·8) + 10⁻⁶·100 + 10⁻⁴ for the layer, and 10⁻³ outside.
/// assert!((latency.seconds(&[layer]) - (1.92e-7 + 1e-4 + 1e-4 + 1e-3)).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Coefficient x: seconds for each product of an input dimension and an output dimension of Q, K or V.
    pub product: f64,
    /// Coefficient α: seconds for each dimension of the queries, in all heads.
    pub query_key: f64,
    /// Coefficient β: seconds for each dimension of the values, in all heads.
    pub value: f64,
    /// Coefficient φ: seconds for each feed-forward neuron.
    pub neuron: f64,
    /// Coefficient κ: constant seconds for each layer.
    pub layer: f64,
    /// Seconds outside the layers, the same for all architectures.
    pub fixed: f64,
    /// Mean relative error of the fit, |predicted − measured| / measured seconds.
    pub error: f64,
}

impl Latency {
    /// Fits a latency model to measurements, each with the layer sizes of a model and its seconds. Coefficients are not
    /// negative. The fit minimises the squared relative error.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there are fewer measurements than coefficients.
    /// * [`Error::Argument`] if a measurement is not above 0 seconds.
    pub fn fit(measured: &[(Vec<LayerSizes>, f64)]) -> Result<Self> {
        let rows: Vec<[f64; TERMS]> = measured.iter().map(|(layers, _)| terms(layers)).collect();
        if measured.len() < TERMS {
            return Err(Error::argument("measured", format!("{TERMS} models or more"), measured.len()));
        }
        if let Some((_, seconds)) = measured.iter().find(|(_, seconds)| !(*seconds > 0.0 && seconds.is_finite())) {
            return Err(Error::argument("measured", "seconds above 0", seconds));
        }
        let scaled: Vec<[f64; TERMS]> =
            rows.iter().zip(measured).map(|(row, (_, seconds))| row.map(|term| term / seconds)).collect();
        let fitted = non_negative_least_squares(&scaled);
        let [product, query_key, value, neuron, layer, fixed] = fitted;
        let off = scaled.iter().map(|row| (dot(row, &fitted) - 1.0).abs());
        let error = off.sum::<f64>() / measured.len() as f64;
        Ok(Self { product, query_key, value, neuron, layer, fixed, error })
    }

    /// Checks the coefficients, for example after loading them.
    ///
    /// # Errors
    /// [`Error::Argument`] if a coefficient is below 0 or not finite, or if no coefficient is above 0.
    pub fn check(&self) -> Result<()> {
        let coefficients = [
            ("latency.product", self.product),
            ("latency.query_key", self.query_key),
            ("latency.value", self.value),
            ("latency.neuron", self.neuron),
            ("latency.layer", self.layer),
            ("latency.fixed", self.fixed),
        ];
        let mut numbers = coefficients.into_iter().chain([("latency.error", self.error)]);
        if let Some((field, value)) = numbers.find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
            return Err(Error::argument(field, "a finite number, at least 0", value));
        }
        match coefficients.iter().any(|(_, value)| *value > 0.0) {
            true => Ok(()),
            false => Err(Error::argument("latency", "at least one coefficient above 0", "0 in each")),
        }
    }

    /// Predicts the seconds of a model with these layers.
    pub fn seconds(&self, layers: &[LayerSizes]) -> f64 {
        dot(&terms(layers), &[self.product, self.query_key, self.value, self.neuron, self.layer, self.fixed])
    }
}

const TERMS: usize = 6;

/// Factors of the latency model. The predicted seconds of a model with these layers are the sum of coefficients times
/// factors.
fn terms(layers: &[LayerSizes]) -> [f64; TERMS] {
    let sum = |of: &dyn Fn(&LayerSizes) -> usize| layers.iter().map(of).sum::<usize>() as f64;
    [
        sum(&|it| (it.query_inputs + it.key_inputs) * it.query_key + it.value_inputs * it.value),
        sum(&|it| it.query_key),
        sum(&|it| it.value),
        sum(&|it| it.ffn),
        layers.len() as f64,
        1.0,
    ]
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fits the latency model: finds the non-negative coefficients β with the smallest ‖X·β − 1‖², by coordinate descent. X
/// has the rows `rows`.
fn non_negative_least_squares(rows: &[[f64; TERMS]]) -> [f64; TERMS] {
    const SWEEPS: usize = 20_000;
    let (mut fitted, mut left) = ([0.0; TERMS], vec![1.0; rows.len()]);
    let squares: [f64; TERMS] = std::array::from_fn(|term| rows.iter().map(|row| row[term] * row[term]).sum());
    for _ in 0..SWEEPS {
        for term in (0..TERMS).filter(|term| squares[*term] > 0.0) {
            let slope: f64 = rows.iter().zip(&left).map(|(row, left)| row[term] * left).sum();
            let moved = (fitted[term] + slope / squares[term]).max(0.0) - fitted[term];
            fitted[term] += moved;
            rows.iter().zip(&mut left).for_each(|(row, left)| *left -= moved * row[term]);
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_fit_finds_what_made_the_seconds() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let planted = Latency {
            product: 3e-9,
            query_key: 2e-6,
            value: 0.0,
            neuron: 1.5e-6,
            layer: 4e-4,
            fixed: 1e-3,
            error: 0.0,
        };
        let mut measured: Vec<(Vec<LayerSizes>, f64)> = (0..20)
            .map(|_| {
                let mut up_to = |most: usize| rng.random_range(1..=most);
                let sizes = LayerSizes {
                    hidden: 64,
                    query_inputs: up_to(64),
                    key_inputs: up_to(64),
                    value_inputs: up_to(64),
                    query_key: up_to(64),
                    value: up_to(64),
                    ffn: up_to(256),
                };
                let layers = vec![sizes; 3];
                let seconds = planted.seconds(&layers);
                (layers, seconds)
            })
            .collect();
        measured.push((Vec::new(), planted.fixed));
        let fitted = Latency::fit(&measured).unwrap();
        for (layers, seconds) in &measured {
            assert_relative_eq!(fitted.seconds(layers), *seconds, max_relative = 1e-3);
        }
        assert_relative_eq!(fitted.neuron, planted.neuron, max_relative = 1e-2);
        assert_relative_eq!(fitted.fixed, planted.fixed, max_relative = 1e-3);
        assert!(fitted.error < 1e-3 && fitted.value < 1e-8);
    }

    #[test]
    fn seconds_that_cannot_be_are_refused() {
        let measured = |seconds: f64| vec![(Vec::new(), seconds); TERMS];
        assert!(Latency::fit(&measured(1.0)).is_ok());
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Latency::fit(&measured(wrong)), Err(Error::Argument { .. })), "{wrong}");
        }
        assert!(matches!(Latency::fit(&measured(1.0)[..TERMS - 1]), Err(Error::Argument { .. })));
    }

    #[test]
    fn coefficients_that_no_model_costs_are_refused() {
        let right =
            Latency { product: 1e-9, query_key: 0.0, value: 0.0, neuron: 0.0, layer: 0.0, fixed: 0.0, error: 0.0 };
        right.check().unwrap();
        type Change = fn(&mut Latency, f64);
        let changes: [(&str, Change); TERMS + 1] = [
            ("latency.product", |it, value| it.product = value),
            ("latency.query_key", |it, value| it.query_key = value),
            ("latency.value", |it, value| it.value = value),
            ("latency.neuron", |it, value| it.neuron = value),
            ("latency.layer", |it, value| it.layer = value),
            ("latency.fixed", |it, value| it.fixed = value),
            ("latency.error", |it, value| it.error = value),
        ];
        for (name, change) in changes {
            for value in [-1e-12, f64::NAN, f64::INFINITY] {
                let mut wrong = right;
                change(&mut wrong, value);
                let error = wrong.check().unwrap_err().to_string();
                assert_eq!(error, format!("{name} is {value}, expected a finite number, at least 0"));
            }
        }
        let error = Latency { product: 0.0, error: 0.5, ..right }.check().unwrap_err();
        assert!(matches!(&error, Error::Argument { name: "latency", .. }), "{error}");
    }
}
