//! Standardisation of the target numbers of a regression.

use dht_dynamic::transformer::{EncodedDataset, TextClassifier};

use crate::error::Result;

/// Parameter names of a classifier's last layer: weight and bias.
const LAST: [&str; 2] = ["classifier.weight", "classifier.bias"];

/// Mean and standard deviation of a regression's target numbers y. The model is trained on standardised numbers z = (y
/// − mean) / deviation. Without them, its outputs would stay near 0, because biases start at 0 and the learning rates
/// of fine-tuning are low.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetScale {
    mean: f64,
    /// Standard deviation of the targets; 1 if all are equal.
    deviation: f64,
}

impl TargetScale {
    /// Computes mean and standard deviation of the numbers of `train`.
    pub fn new(train: &EncodedDataset) -> Self {
        let numbers = || train.samples.iter().flat_map(|sample| &sample.targets).copied().map(f64::from);
        let count = numbers().count().max(1) as f64;
        let mean = numbers().sum::<f64>() / count;
        let deviation = (numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
        Self { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }

    /// Copies rows with standardised numbers.
    pub fn standardised(&self, data: &EncodedDataset) -> EncodedDataset {
        let mut data = data.clone();
        for number in data.samples.iter_mut().flat_map(|sample| &mut sample.targets) {
            *number = ((f64::from(*number) - self.mean) / self.deviation) as f32;
        }
        data
    }

    /// Folds mean and deviation into the last layer of a regression that was trained on standardised numbers, so that
    /// it predicts original numbers.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) if the device cannot copy the parameters.
    pub fn fold_into(&self, regression: &TextClassifier) -> Result<()> {
        let parameters = regression.encoder().parameters();
        let mut values = parameters.values_where(|name| LAST.contains(&name))?;
        for (name, offset) in LAST.into_iter().zip([0.0, self.mean]) {
            let layer = values.get_mut(name).into_iter().flat_map(|stored| &mut stored.values);
            layer.for_each(|value| *value = (f64::from(*value) * self.deviation + offset) as f32);
        }
        Ok(parameters.update_values(values)?)
    }
}
