//! Conversion of regression data to several labels for training, and back. Each label is whether the number is above a
//! cut between two levels.

use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{NumberLevels, TextModel};
use dht_dynamic::transformer::{Dataset, EncodedDataset};

use crate::error::Result;
use crate::texts::{EncodedSplits, TextSplits};

/// Original target numbers of rows. During training, labels replace them: whether the number is above each cut between
/// two levels.
pub(super) struct NumberRows {
    levels: NumberLevels,
    /// Name of the numeric target.
    quantity: Vec<String>,
    train: Vec<f32>,
    validation: Vec<f32>,
    test: Vec<f32>,
}

impl NumberRows {
    /// Replaces the number of each row by labels: whether the number is above each cut between two levels.
    pub(super) fn replace(levels: NumberLevels, texts: &mut TextSplits, encoded: &mut EncodedSplits) -> Self {
        let quantity = texts.train.labels.clone();
        let TextSplits { train, validation, calibration, test, .. } = texts;
        for data in [Some(train), Some(validation), calibration.as_mut(), test.as_mut()].into_iter().flatten() {
            let Dataset { labels, examples, .. } = data;
            *labels = levels.labels();
            for example in examples {
                example.targets = example.targets.first().map_or_else(Vec::new, |number| levels.targets(*number));
            }
        }
        let numbers = |data: &EncodedDataset| -> Vec<f32> {
            data.samples.iter().flat_map(|sample| sample.targets.iter().copied()).collect()
        };
        let (train, validation) = (numbers(&encoded.train), numbers(&encoded.validation));
        let test = encoded.test.as_ref().map_or_else(Vec::new, numbers);
        let EncodedSplits { train: first, validation: second, calibration, test: last } = encoded;
        for data in [Some(first), Some(second), calibration.as_mut(), last.as_mut()].into_iter().flatten() {
            *data = levels.encode(data);
        }
        Self { levels, quantity, train, validation, test }
    }

    /// Levels of the numbers.
    pub(super) fn levels(&self) -> &NumberLevels {
        &self.levels
    }

    /// Restores the numbers of the scored rows, and stores the levels in the model.
    pub(super) fn restore(
        self,
        model: TextModel,
        encoded: &mut EncodedSplits,
        out_of_fold: Option<&mut OutOfFold>,
    ) -> Result<TextModel> {
        let restore = |data: &mut EncodedDataset, numbers: &mut dyn Iterator<Item = f32>| {
            data.labels.clone_from(&self.quantity);
            for (sample, number) in data.samples.iter_mut().zip(numbers) {
                sample.targets = vec![number];
            }
        };
        if let Some(answers) = out_of_fold {
            // These are the training rows, followed by the validation rows.
            let mut numbers = self.train.iter().chain(&self.validation).copied();
            restore(&mut answers.texts, &mut numbers);
        }
        restore(&mut encoded.train, &mut self.train.iter().copied());
        restore(&mut encoded.validation, &mut self.validation.iter().copied());
        if let Some(test) = &mut encoded.test {
            restore(test, &mut self.test.iter().copied());
        }
        let quantity = self.quantity.first().map_or("number", String::as_str);
        Ok(model.with_levels(self.levels, quantity)?)
    }
}
