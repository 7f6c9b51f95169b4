//! Parameter groups: factors on the weight decay and learning rate of each parameter.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::tensors::{ParameterId, Parameters};

/// Factors on the optimiser's settings for one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multipliers {
    /// Factor on the weight decay.
    pub decay: f64,
    /// Factor on the learning rate.
    pub rate: f64,
    /// `true` if the gradient is clipped together with the others. Otherwise it is not clipped and does not contribute
    /// to the norm. Use `false` for parameters with a separate loss, such as the variables of an architecture search.
    pub clipped: bool,
}

impl Multipliers {
    /// Multipliers of 1, which leave the settings unchanged.
    pub const ONE: Self = Self { decay: 1.0, rate: 1.0, clipped: true };
}

/// Parameter groups: the [`Multipliers`] of each parameter of a model, in the order of [`Parameters`].
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use dht_transformer::{tensors::Parameters, train::optim::{Multipliers, ParameterGroups}};
///
/// let mut parameters = Parameters::new(&Device::Cpu);
/// let zero = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
/// let bias = parameters.insert("encoder.layer.0.output.dense.bias", &zero)?;
/// let head = parameters.insert("classifier.weight", &zero)?;
/// let groups = ParameterGroups::standard(&parameters).with_layer_decay(0.9)?;
/// assert_eq!(groups.get(bias.id()), Multipliers { decay: 0.0, rate: 0.9, clipped: true });
/// assert_eq!(groups.get(head.id()), Multipliers::ONE);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ParameterGroups {
    names: Vec<String>,
    multipliers: Vec<Multipliers>,
}

impl ParameterGroups {
    /// Assigns multipliers by parameter name.
    pub fn by_name(parameters: &Parameters, multipliers: impl Fn(&str) -> Multipliers) -> Self {
        let names: Vec<String> = parameters.iter().map(|(_, name, _)| name.to_owned()).collect();
        let multipliers = names.iter().map(|name| multipliers(name)).collect();
        Self { names, multipliers }
    }

    /// Sets the weight decay of biases (`bias`, `….bias`, `…_bias.weight`) and layer norms (names with `LayerNorm`) to
    /// zero, as in the training of BERT (Devlin et al. 2019). Other parameters use the settings unchanged.
    pub fn standard(parameters: &Parameters) -> Self {
        Self::by_name(parameters, |name| {
            let is_bias = name == "bias" || name.ends_with(".bias") || name.ends_with("_bias.weight");
            let spared = is_bias || name.contains("LayerNorm");
            Multipliers { decay: if spared { 0.0 } else { 1.0 }, ..Multipliers::ONE }
        })
    }

    /// Applies layer-wise learning-rate decay: multiplies the learning rate by `factor` once for each layer between a
    /// parameter and the output heads (Clark et al. 2020, ELECTRA, appendix B). With L layers, the rate is multiplied
    /// by factor^(L − i) for layer i (`….layer.i.…` or `….layers.i.…`, from 0), by factor^(L + 1) for embeddings (names
    /// with `embeddings`), and by 1 for everything else.
    ///
    /// # Errors
    /// [`Error::Argument`] if `factor` is not in (0, 1].
    pub fn with_layer_decay(mut self, factor: f64) -> Result<Self> {
        if !(factor > 0.0 && factor <= 1.0) {
            return Err(Error::argument("layer_decay", "a number in (0, 1]", factor.to_string()));
        }
        let layers: BTreeSet<u16> = self.names.iter().filter_map(|name| layer(name)).collect();
        let layers = layers.last().map_or(0, |&last| i32::from(last) + 1);
        for (name, multipliers) in self.names.iter().zip(&mut self.multipliers) {
            let below_the_top = match layer(name) {
                Some(index) => layers - i32::from(index),
                None if name.contains("embeddings") => layers + 1,
                None => 0,
            };
            multipliers.rate *= factor.powi(below_the_top);
        }
        Ok(self)
    }

    /// Multipliers of a parameter.
    pub fn get(&self, id: ParameterId) -> Multipliers {
        self.multipliers[id.index()]
    }

    pub(crate) fn as_slice(&self) -> &[Multipliers] {
        &self.multipliers
    }
}

fn layer(name: &str) -> Option<u16> {
    let mut parts = name.split('.');
    parts.by_ref().find(|part| matches!(*part, "layer" | "layers"))?;
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    fn parameters(names: &[&str]) -> Parameters {
        let mut parameters = Parameters::new(&Device::Cpu);
        for name in names {
            parameters.insert(*name, &Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap()).unwrap();
        }
        parameters
    }

    #[test]
    fn biases_and_norms_do_not_decay_and_all_else_does() {
        let names = ["a.bias", "bias", "a.LayerNorm.weight", "a.LayerNorm.bias", "a.weight", "a.bias_table", "unbias"];
        let groups = ParameterGroups::standard(&parameters(&names));
        let decays: Vec<f64> = groups.as_slice().iter().map(|multipliers| multipliers.decay).collect();
        assert_eq!(decays, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn learning_rates_decay_by_one_factor_per_layer_downwards() {
        let names = [
            "bert.embeddings.word_embeddings.weight",
            "bert.encoder.layer.0.output.dense.weight",
            "bert.encoder.layer.1.output.dense.weight",
            "bert.encoder.layer.2.output.dense.weight",
            "exits.0.weight",
            "classifier.weight",
        ];
        let groups = ParameterGroups::standard(&parameters(&names)).with_layer_decay(0.5).unwrap();
        let rates: Vec<f64> = groups.as_slice().iter().map(|multipliers| multipliers.rate).collect();
        assert_eq!(rates, [0.0625, 0.125, 0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn an_impossible_layer_decay_is_refused() {
        for factor in [0.0, -1.0, 1.5, f64::NAN] {
            let groups = ParameterGroups::standard(&parameters(&["a"]));
            assert!(matches!(groups.with_layer_decay(factor), Err(Error::Argument { name: "layer_decay", .. })));
        }
    }
}
