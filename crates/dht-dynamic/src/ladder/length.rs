//! Selects the maximum text length, in tokens, by trials on the frozen encoder.

use std::time::Instant;

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::ladder::{BUDGET_PASSES, cost};
use super::length_choice::{LengthChoice, LengthTrial};
use super::report::Rung;
use super::settings::LadderSettings;
use crate::error::Result;
use crate::exit::ExitKind;
use crate::exit_model::{ExitModel, ExitSettings};
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, LastExit, LinearExits, Texts};
use crate::log_probabilities::LogProbabilities;
use crate::outputs::{Outputs, row_weights, truth_of};

/// Critical value of a one-sided 5 % test, in standard errors. The test decides whether a length has a higher mean loss
/// than the longest length.
const EVIDENCE: f64 = 1.64;
/// Maximum share of the budget and of the time limit that all length trials together may use.
const SHARE: f64 = 0.25;
/// Number of texts that are run to estimate the time of the length trials.
const PROBE: usize = 32;
/// Minimum number of texts for selecting the length by trials.
const LEAST: usize = 100;

/// Selects the shortest maximum text length whose loss is not significantly above the loss at the longest length.
///
/// `lengths` has a sample of the training texts, truncated at each length, shortest length first. `training` has all
/// training texts, truncated at the shortest length. The trial of a length runs the frozen encoder over the sample, and
/// cross-fits a regression on the last layer: each text is answered by a regression that was fitted without it. A
/// length is rejected if its mean loss exceeds that of the longest length by more than 1.64 standard errors of the
/// paired difference.
///
/// Without trials, the shortest length is selected. No trials run for fewer than 100 texts or fewer than two lengths,
/// or if only rung 0 may be trained, which needs no encoder. No trials run either if they would take more than a
/// quarter of the budget or the time of the training run.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if the number of class weights differs from the number of classes;
/// errors of the encoder and the fits.
pub fn choose_length(
    classifier: &TextClassifier,
    training: &EncodedDataset,
    lengths: &[(usize, EncodedDataset)],
    settings: &LadderSettings,
    seed: u64,
    watch: &mut dyn FnMut(&LengthTrial),
) -> Result<LengthChoice> {
    settings.exits.check_class_weights(classifier)?;
    let shortest = lengths.first().map_or(0, |(length, _)| *length);
    let mut choice = LengthChoice { max_length: shortest, trials: Vec::new() };
    let [(_, first), shorter @ .., (longest, texts)] = lengths else { return Ok(choice) };
    let trials = Trials { classifier, settings: &settings.exits, seed };
    if settings.most < Rung::Frozen || texts.len() < LEAST || !trials.fit_into(settings, training, lengths)? {
        return Ok(choice);
    }
    let mut run = |max_length: usize, texts: &EncodedDataset| -> Result<Vec<f64>> {
        let (trial, losses) = trials.run(max_length, texts)?;
        watch(&trial);
        choice.trials.push(trial);
        Ok(losses)
    };
    let of_first = run(shortest, first)?;
    let of_longest = run(*longest, texts)?;
    let mut selected = *longest;
    if !exceed(&of_first, &of_longest) {
        selected = shortest;
    } else {
        for (length, texts) in shorter {
            if !exceed(&run(*length, texts)?, &of_longest) {
                selected = *length;
                break;
            }
        }
    }
    choice.max_length = selected;
    Ok(choice)
}

/// Returns whether the mean of `losses` is significantly above the mean of `others`. The test is paired and one-sided.
fn exceed(losses: &[f64], others: &[f64]) -> bool {
    let differences: Vec<f64> = losses.iter().zip(others).map(|(loss, other)| loss - other).collect();
    let rows = differences.len().max(2) as f64;
    let mean = differences.iter().sum::<f64>() / rows;
    let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (rows - 1.0);
    mean > EVIDENCE * (variance / rows).sqrt()
}

/// Inputs that are the same for the trial of every length.
struct Trials<'a> {
    classifier: &'a TextClassifier,
    settings: &'a AccelerateSettings,
    seed: u64,
}

impl Trials<'_> {
    /// Estimates whether all length trials together use at most a quarter ([`SHARE`]) of the run's budget and time.
    fn fit_into(
        &self,
        settings: &LadderSettings,
        training: &EncodedDataset,
        lengths: &[(usize, EncodedDataset)],
    ) -> Result<bool> {
        let forward = |texts: &EncodedDataset| cost(self.classifier, texts, |_| 0);
        let flops: u64 = lengths.iter().map(|(_, texts)| forward(texts)).sum();
        if let Some(budget) = settings.budget {
            let pass = cost(self.classifier, training, |load| self.classifier.backward_flops(load).0);
            let left = BUDGET_PASSES * budget * pass as f64 - forward(training) as f64;
            if flops as f64 > SHARE * left {
                return Ok(false);
            }
        }
        let Some((time, (_, longest))) = settings.time.zip(lengths.last()) else { return Ok(true) };
        let start = Instant::now();
        let probe = longest.select(0..PROBE.min(longest.len()))?;
        self.answers(&probe)?;
        let seconds = start.elapsed().as_secs_f64() * flops as f64 / forward(&probe).max(1) as f64;
        Ok(seconds <= SHARE * time.as_secs_f64())
    }

    /// Runs the trial of one maximum length. Returns its scores, and the loss of each text.
    fn run(&self, max_length: usize, texts: &EncodedDataset) -> Result<(LengthTrial, Vec<f64>)> {
        let start = Instant::now();
        let (answers, flops) = self.answers(texts)?;
        let (labels, class_weights) = (truth_of(texts), self.settings.class_weights.as_deref());
        let mut losses = answers.losses(&labels);
        if let Some(weights) = row_weights(&labels, class_weights) {
            losses.iter_mut().zip(weights).for_each(|(loss, weight)| *loss *= weight);
        }
        let trial = LengthTrial {
            max_length,
            accuracy: answers.score(&labels),
            loss: answers.weighted_loss(&labels, class_weights),
            flops,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((trial, losses))
    }

    /// Cross-fits a logistic regression on the encoder's last layer. Returns its out-of-fold log-probabilities and the
    /// FLOPs.
    fn answers(&self, texts: &EncodedDataset) -> Result<(LogProbabilities, u64)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let settings = AccelerateSettings { side: None, least_held_out: usize::MAX, ..self.settings.clone() };
        let model = last_exit(self.classifier, &settings, &mut rng)?;
        let texts = FitTexts::new(Texts::new(texts), &settings, &mut rng)?;
        let states = ExitStates::read(&model, &texts, LastExit::Regression, &settings, &mut |_| {})?;
        let LinearExits { mut answers, flops, .. } = LinearExits::fit(&model, &texts, &states, &settings, &mut |_| {})?;
        let answers = answers.pop().ok_or_else(|| crate::error::Error::argument("exits", "at least one", 0))?;
        Ok((answers, flops + states.flops))
    }
}

/// Builds a model with a single exit, a linear classifier after the encoder's last layer.
pub(super) fn last_exit(
    classifier: &TextClassifier,
    settings: &AccelerateSettings,
    rng: &mut ChaCha8Rng,
) -> Result<ExitModel> {
    let (encoder, last) = (classifier.encoder(), classifier.classifier());
    let outputs = Outputs::new(classifier.task(), last.classes())?;
    let exit = ExitSettings {
        depths: vec![encoder.layers()],
        kind: ExitKind::Linear,
        pooling: settings.pooling,
        last_pooling: Some(last.pooling()),
        shared: false,
    };
    ExitModel::new(encoder.truncated(encoder.layers())?, exit, outputs, rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_exceed_others_only_with_evidence() {
        let others: Vec<f64> = (0..400).map(|row| f64::from(row % 7)).collect();
        let with = |rise: f64, noise: f64| -> Vec<f64> {
            let noise = |row: usize| if row.is_multiple_of(2) { noise } else { -noise };
            others.iter().enumerate().map(|(row, loss)| loss + rise + noise(row)).collect()
        };
        // Noise of ±1 on 400 texts has a standard error of 1/20.
        assert!(exceed(&with(0.09, 1.0), &others) && !exceed(&with(0.07, 1.0), &others));
        assert!(exceed(&with(0.001, 0.0), &others), "no noise");
        assert!(!exceed(&others, &others) && !exceed(&with(-0.5, 1.0), &others));
    }
}
