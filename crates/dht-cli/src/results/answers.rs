//! Answers of a model to texts, with their cost, for a table of results.

use dht_dynamic::evaluation::Stages;
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::transformer::{EncodedDataset, Task};
use dht_dynamic::{DynamicModel, Evaluation, LogProbabilities, Predictor, Route, evaluate};

use crate::acceleration::BATCH;
use crate::error::Result;

/// Maximum number of texts whose answers at all exits are in memory at once.
pub(super) const ROWS_TOGETHER: usize = 1 << 14;

/// Answers of a model to texts: predicted classes with probabilities, or label probabilities. Also the FLOPs and layers
/// of each answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Predicted class of each text. For a multi-label model, 0 or 1 for each text and label, text after text.
    pub labels: Vec<u32>,
    /// Probability of each predicted class; empty for a multi-label model.
    pub probabilities: Vec<f32>,
    /// Probability of each label, by text; empty unless the model is multi-label.
    pub of_labels: Vec<Vec<f32>>,
    /// FLOPs of each text.
    pub flops: Vec<u64>,
    /// Number of layers that ran for each text.
    pub depths: Vec<usize>,
}

impl Answers {
    /// Runs a model on texts. Returns its answers and the seconds that it took.
    pub(super) fn of_pass(model: &dyn Predictor, texts: &EncodedDataset) -> Result<(Self, f64)> {
        let evaluation = evaluate(model, texts, BATCH)?;
        let depths = evaluation.routes.iter().map(Route::depth).collect();
        let Evaluation { labels, probabilities, row_flops: flops, .. } = evaluation;
        let (probabilities, of_labels) = match texts.samples.iter().any(|sample| !sample.targets.is_empty()) {
            true => (Vec::new(), probabilities),
            false => (labels.iter().zip(probabilities).map(|(class, p)| p[*class as usize]).collect(), Vec::new()),
        };
        Ok((Self { labels, probabilities, of_labels, flops, depths }, evaluation.seconds))
    }

    /// Sum of FLOPs over all texts.
    pub(super) fn total_flops(&self) -> u64 {
        self.flops.iter().sum()
    }

    /// Mean number of layers that ran for a text.
    pub(super) fn mean_layers(&self) -> f64 {
        self.depths.iter().sum::<usize>() as f64 / self.depths.len().max(1) as f64
    }

    /// Computes the answers at several speeds (exit thresholds) from one pass through all layers. If a speed is `None`,
    /// the last exit answers alone. The model's router must follow a [rule](dht_dynamic::Router::rule).
    pub(super) fn of_one_pass(
        model: &DynamicModel,
        speeds: &[Option<f64>],
        texts: &EncodedDataset,
        rows_together: usize,
    ) -> Result<Vec<Self>> {
        model.check(texts)?;
        let mut all = vec![Self::default(); speeds.len()];
        for start in (0..texts.len()).step_by(rows_together) {
            let part = texts.select(start..texts.len().min(start + rows_together))?;
            let exits = model.model().exit_log_probabilities(&part, BATCH)?;
            let Some(alone) = exits.last().cloned() else { continue };
            let stages = StageAnswers { texts: &part, stages: &model.stacked(&part, exits)?, alone: &alone };
            all.iter_mut().zip(stages.at_speeds(model, speeds)?).for_each(|(all, part)| all.append(part));
        }
        Ok(all)
    }

    /// Computes the answers at several speeds (exit thresholds) from out-of-fold log-probabilities: those of each text
    /// come from exits that were fitted without it.
    pub(super) fn of_out_of_fold(
        model: &DynamicModel,
        speeds: &[Option<f64>],
        texts: &EncodedDataset,
        answers: &OutOfFold,
    ) -> Result<Vec<Self>> {
        StageAnswers { texts, stages: &answers.stages, alone: &answers.alone }.at_speeds(model, speeds)
    }

    /// Appends the answers to further texts.
    fn append(&mut self, other: Self) {
        self.labels.extend(other.labels);
        self.probabilities.extend(other.probabilities);
        self.of_labels.extend(other.of_labels);
        self.flops.extend(other.flops);
        self.depths.extend(other.depths);
    }
}

/// Log-probabilities of texts at all stages of a dynamic model: the n-gram classifier and the exits after layers.
struct StageAnswers<'a> {
    texts: &'a EncodedDataset,
    stages: &'a [LogProbabilities],
    /// Log-probabilities at the last exit, without the n-gram model.
    alone: &'a LogProbabilities,
}

impl StageAnswers<'_> {
    /// Computes the answers at each speed (exit threshold). If a speed is `None`, the last exit answers alone.
    fn at_speeds(&self, model: &DynamicModel, speeds: &[Option<f64>]) -> Result<Vec<Answers>> {
        let depths: Vec<usize> = model.depths().collect();
        let stages = Stages::of_answers(model, self.texts, self.stages)?;
        let is_of_labels = model.model().outputs().task() == Task::Labels;
        let probability =
            |table: &LogProbabilities, row: usize, class: u32| table.row(row)[class as usize].exp() as f32;
        let none = |_: &usize| !is_of_labels;
        let answers = |speed: &Option<f64>| match speed {
            Some(speed) => {
                let at = stages.at(*speed);
                let routing = at.stages.iter().map(|stage| model.router().flops(*stage));
                let flops = stages.row_flops(*speed, &at).into_iter().zip(routing).map(|(own, routing)| own + routing);
                let rows = at.stages.iter().enumerate().filter(|_| is_of_labels);
                Answers {
                    of_labels: rows.map(|(row, stage)| self.stages[*stage].probabilities_of(row)).collect(),
                    flops: flops.collect(),
                    depths: at.stages.iter().map(|stage| depths[*stage]).collect(),
                    probabilities: (0..self.texts.len())
                        .filter(none)
                        .map(|row| probability(&self.stages[at.stages[row]], row, at.labels[row]))
                        .collect(),
                    labels: at.labels,
                }
            }
            None => Answers {
                labels: self.alone.labels(),
                of_labels: if is_of_labels { self.alone.probabilities() } else { Vec::new() },
                probabilities: (0..self.texts.len())
                    .filter(none)
                    .zip(self.alone.labels())
                    .map(|(row, class)| probability(self.alone, row, class))
                    .collect(),
                flops: self.texts.lengths().into_iter().map(|tokens| model.full_flops(tokens)).collect(),
                depths: vec![depths.last().copied().unwrap_or_default(); self.texts.len()],
            },
        };
        Ok(speeds.iter().map(answers).collect())
    }
}

#[cfg(test)]
mod tests {
    use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
    use dht_dynamic::router::LeavingRule;
    use dht_dynamic::transformer::Pooling;
    use dht_toys::planted;

    use super::*;

    #[test]
    fn one_pass_gives_the_answers_of_a_pass_at_each_speed() -> Result<()> {
        let classifier = planted::full_model(Pooling::Mean);
        let (training, held_out, test) = (planted::task(300, 1), planted::task(120, 7), planted::task(90, 9));
        let with_ngrams = AccelerateSettings::default();
        for settings in [
            AccelerateSettings { rule: LeavingRule::Entropy, ngram: None, ..with_ngrams.clone() },
            AccelerateSettings { rule: LeavingRule::Patience, ..with_ngrams.clone() },
            with_ngrams,
        ] {
            let texts = Texts::new(&training).with_held_out(&held_out);
            let model = accelerate(classifier, texts, &settings, &mut dht_toys::rng(5))?.model;
            let mut speeds: Vec<Option<f64>> = [0.0, 0.1, 0.2, 0.4, 0.7].map(Some).to_vec();
            speeds.push(None);
            let answers = Answers::of_one_pass(&model, &speeds, &test, 40)?;
            assert!(answers.windows(2).any(|pair| pair[0].depths != pair[1].depths), "{answers:?}");
            for (speed, answers) in speeds.iter().zip(answers) {
                let expected = match speed {
                    Some(speed) => Answers::of_pass(&model.with_speed(*speed)?, &test)?,
                    None => Answers::of_pass(&model.classifier_at(classifier.encoder().layers())?, &test)?,
                };
                let pairs = answers.probabilities.iter().zip(&expected.0.probabilities);
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "at {speed:?}, {:?}", settings.rule);
                let expected = Answers { probabilities: answers.probabilities.clone(), ..expected.0 };
                assert_eq!(answers, expected, "at {speed:?}, {:?}", settings.rule);
            }
        }
        Ok(())
    }
}
