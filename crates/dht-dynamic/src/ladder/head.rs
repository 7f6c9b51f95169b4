//! Fits the last layer of a classifier on the hidden states of its frozen encoder. For models without early exits, such
//! as regression models, this is the training step before fine-tuning (rung 1).

use std::collections::BTreeMap;

use dht_transformer::storage::StoredTensor;
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Task, TextClassifier};

use crate::error::{Error, Result};
use crate::fit::AccelerateSettings;
use crate::logistic::{
    FeatureMatrix, FitSettings, LinearModel, RowTargets, Rows, SmoothedTargets, Standardisation, best_penalty,
};
use crate::prediction::Predictor;

/// Gradient norm at which a fit stops; the same value as for linear exits.
const TOLERANCE: f64 = 3e-3;

/// Parameter names of the last layer of a classifier: its weight and its bias.
const LAST: [&str; 2] = ["classifier.weight", "classifier.bias"];

/// Result of [`fit_head`]: the selected regularisation, and the cost in FLOPs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HeadFit {
    /// Selected inverse penalty C: weight of the loss relative to the L2 penalty on the weights.
    pub c: f64,
    /// FLOPs of the encoder's forward pass and of all fits.
    pub flops: u64,
}

/// Fits the last layer of a classifier on the pooled states of its frozen encoder, and sets the weights of the layer.
///
/// The task decides the fit: a logistic regression for classes, one logistic regression per label for multi-label
/// texts, and a ridge regression for numbers. The inverse penalty C, the weight of the loss relative to the penalty, is
/// selected from [`AccelerateSettings::c`] by the loss on the validation texts. Of the other settings, only the batch
/// size is used.
///
/// Fine-tuning needs fewer passes from the fitted weights than from random weights. If there are many labels, and few
/// texts have each of them, a random layer first has to learn that most labels do not apply.
///
/// # Errors
/// * [`Error::Argument`] if a setting is out of range, if there is no validation text, or if the classifier pools by a
///   trained pooler layer, whose fit is not convex.
/// * Errors of the encoder.
pub fn fit_head(
    classifier: &TextClassifier,
    training: &EncodedDataset,
    validation: &EncodedDataset,
    settings: &AccelerateSettings,
) -> Result<HeadFit> {
    settings.check()?;
    if validation.is_empty() {
        return Err(Error::argument("validation texts", "at least one", "none"));
    }
    let (encoder, outputs) = (classifier.encoder(), classifier.classifier().classes());
    let (depths, pooling) = ([encoder.layers()], classifier.classifier().pooling());
    let width = encoder.block_shape().hidden;
    let states = |data: &EncodedDataset| -> Result<Rows> {
        let mut rows = Rows::zeros(data.len(), width, false)?;
        let states = encoder.pooled_states(data, &depths, pooling, settings.batch_size)?;
        states.iter().flatten().enumerate().try_for_each(|(row, state)| rows.set(row, state))?;
        Ok(rows)
    };
    let (states, others) = (states(training)?, states(validation)?);
    let passes = [training, validation].map(|data| classifier.full_flops_of(data));
    let scaling = Standardisation::new(&states, None)?;
    let features = |states| FeatureMatrix::of_rows(states, None, &scaling);
    let (features, others) = (features(&states), features(&others));

    let (of_training, of_validation) = (Targets::new(training), Targets::new(validation));
    let (task, all) = (classifier.task(), (0..training.len()).collect::<Vec<_>>());
    let targets = SmoothedTargets::new(of_training.of(task), &all, outputs);
    let (mut start, mut flops) = (None, passes.iter().sum::<u64>());
    let (best, model) = best_penalty(settings.c.len(), |at| {
        let fit = FitSettings { c: settings.c[at], tolerance: TOLERANCE, row_weights: None };
        let (model, minimum) = LinearModel::fit(&features, targets.as_targets(), outputs, fit, start.take())?;
        flops += minimum.flops + others.flops(outputs);
        start = Some(minimum);
        Ok((model.mean_loss(&others, of_validation.of(task))?, model))
    })?;
    let (weights, bias) = model.unscaled(&scaling).into_parameters();
    let transposed = (0..outputs).flat_map(|output| weights.iter().skip(output).step_by(outputs).copied()).collect();
    let parameters = encoder.parameters();
    let mut values = BTreeMap::new();
    for (name, new) in LAST.into_iter().zip([transposed, bias]) {
        let shape = parameters.var(parameters.id(name)?).dims().to_vec();
        values.insert(name.to_owned(), StoredTensor { shape, values: new });
    }
    parameters.update_values(values)?;
    Ok(HeadFit { c: settings.c[best], flops })
}

/// Mean [loss](TextClassifier::loss) of a classifier on labelled texts. This loss decides between a classifier with
/// only a fitted last layer and a fine-tuned classifier.
///
/// # Errors
/// Errors of the encoder.
pub fn mean_loss(classifier: &TextClassifier, texts: &EncodedDataset, batch_size: usize) -> Result<f64> {
    let (ctx, mut sum) = (ForwardContext::inference(), 0.0);
    for rows in PackedBatch::longest_first(&texts.lengths(), batch_size)? {
        let loss = classifier.loss(&texts.batch(&rows)?, &ctx)?;
        sum += rows.len() as f64 * f64::from(loss.to_scalar::<f32>()?);
    }
    Ok(sum / texts.len().max(1) as f64)
}

/// Training targets of a data set, for any task: class indices, or numbers.
struct Targets {
    classes: Vec<u32>,
    /// Numeric targets of all texts, concatenated: 0 or 1 for each label, or the value that a regression predicts.
    values: Vec<f32>,
}

impl Targets {
    fn new(data: &EncodedDataset) -> Self {
        let values = data.samples.iter().flat_map(|sample| sample.targets.iter().copied()).collect();
        Self { classes: data.samples.iter().map(|sample| sample.label).collect(), values }
    }

    fn of(&self, task: Task) -> RowTargets<'_> {
        match task {
            Task::Class => RowTargets::Classes(&self.classes),
            Task::Labels => RowTargets::Labels(&self.values),
            Task::Number => RowTargets::Numbers(&self.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use dht_toys::{reviews, rng};
    use dht_transformer::{Objective, Pooling, Sample};

    use super::*;

    /// Reviews with three binary labels: positive, negative (the opposite), and one that applies to no text.
    fn labelled(rows: usize, seed: u64) -> EncodedDataset {
        let mut data = reviews::data(rows, seed);
        let targets = |sample: &Sample| vec![sample.label as f32, 1.0 - sample.label as f32, 0.0];
        data.samples.iter_mut().for_each(|sample| sample.targets = targets(sample));
        data.labels = ["good", "bad", "neither"].map(String::from).to_vec();
        data
    }

    #[test]
    fn a_fitted_layer_answers_better_than_a_random_one() -> Result<()> {
        let (training, validation, settings) = (labelled(300, 1), labelled(100, 2), AccelerateSettings::default());
        let encoder = reviews::encoder(&mut rng(1));
        let model = TextClassifier::for_task(Task::Labels, encoder, 3, Pooling::Mean, &mut rng(2))?;
        let before = mean_loss(&model, &validation, 32)?;
        let fitted = fit_head(&model, &training, &validation, &settings)?;
        let after = mean_loss(&model, &validation, 32)?;
        assert!(after < 0.8 * before && fitted.flops > 0, "{after} and {before}");
        assert!(settings.c.contains(&fitted.c));
        // The label without texts stays unlikely, and finite.
        let answers = model.probabilities_of_all(&validation, 32)?;
        assert!(answers.iter().all(|answer| (1e-5..0.1).contains(&answer[2])), "{:?}", answers[0]);
        // The two labels that exclude each other have probabilities that sum to 1, as two classes have.
        assert!(answers.iter().all(|answer| (answer[0] + answer[1] - 1.0).abs() < 1e-3), "{:?}", answers[0]);
        Ok(())
    }

    #[test]
    fn a_number_is_fitted_by_ridge_regression() -> Result<()> {
        let number = |mut data: EncodedDataset| {
            data.samples.iter_mut().for_each(|sample| sample.targets = vec![sample.label as f32]);
            data.labels = vec!["stars".into()];
            data
        };
        let (training, validation) = (number(reviews::data(300, 1)), number(reviews::data(100, 2)));
        let encoder = reviews::encoder(&mut rng(1));
        let model = TextClassifier::for_task(Task::Number, encoder, 1, Pooling::Cls, &mut rng(2))?;
        let before = model.score(&validation, 32)?;
        fit_head(&model, &training, &validation, &AccelerateSettings::default())?;
        let after = model.score(&validation, 32)?;
        assert!(after > before + 0.2, "{after} and {before}");
        let pooler =
            TextClassifier::for_task(Task::Number, reviews::encoder(&mut rng(1)), 1, Pooling::Pooler, &mut rng(2))?;
        assert!(fit_head(&pooler, &training, &validation, &AccelerateSettings::default()).is_err());
        Ok(())
    }
}
