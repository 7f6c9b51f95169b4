//! Scores and costs of a model on labelled texts, as rows of a table.

use std::time::Instant;

use dht_dynamic::evaluation::InPrecision;
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::train::metrics::{
    Confusion, Correlation, LabelCounts, LabelThresholds, average_precision, quadratic_kappa,
};
use dht_dynamic::transformer::{EncodedDataset, Precision, Task, TextClassifier};
use dht_dynamic::{DynamicModel, Predictor};
use serde::Serialize;

use super::answers::{Answers, ROWS_TOGETHER};
use super::speed::{on_routes, rate, texts_per_second};
use super::table::Table;
use crate::acceleration::BATCH;
use crate::error::{Error, Result};

/// Limits of the cost for which a table of results has a row, as shares of the full model's FLOPs.
const COSTS: [f64; 5] = [0.05, 0.1, 0.2, 0.35, 0.5];

/// Row of a table of results: scores and costs of a model at one speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// Name of the model and its speed.
    pub name: String,
    /// Accuracy; `None` unless the model predicts one class for each text.
    pub accuracy: Option<f64>,
    /// Macro F1 of classes or labels, or Pearson's correlation of numbers.
    pub score: f64,
    /// Further metrics of multi-label and regression models. Also the metric that the literature reports for the data
    /// set, if it is neither `accuracy` nor `score`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricValue>,
    /// Cost: FLOPs divided by the full model's FLOPs.
    pub cost: f64,
    /// Mean number of layers that ran for a text.
    pub mean_layers: f64,
    /// Tokenised texts per second, in batches of 64. Training texts are timed up to the exit of their out-of-fold
    /// answer, because the model would be more certain about them, and faster, than about unseen texts.
    pub texts_per_second: f64,
}

impl ResultRow {
    /// Computes the row of a regression model, without a name. Also returns the predicted numbers.
    fn of_numbers(classifier: &TextClassifier, texts: &EncodedDataset) -> Result<(Self, Vec<Vec<f32>>)> {
        let start = Instant::now();
        let answers = classifier.probabilities_of_all(texts, BATCH)?;
        let seconds = start.elapsed().as_secs_f64();
        let (score, metrics) = MetricValue::of_numbers(&targets(texts), &answers)?;
        let row = Self {
            name: String::new(),
            accuracy: None,
            score,
            metrics,
            cost: 1.0,
            mean_layers: classifier.encoder().layers() as f64,
            texts_per_second: rate(texts.len(), seconds),
        };
        Ok((row, answers))
    }
}

fn targets(texts: &EncodedDataset) -> Vec<Vec<f32>> {
    texts.samples.iter().map(|sample| sample.targets.clone()).collect()
}

/// Table of results, with the answers of the model at its default speed.
#[derive(Debug, Clone)]
pub struct Results {
    /// Rows of the table, one for each speed.
    pub rows: Vec<ResultRow>,
    /// Answers at the default speed, which the row of [`own_row`] scores.
    pub answers: OwnAnswers,
}

/// Answers of a model at its default speed, by type of task.
#[derive(Debug, Clone)]
pub enum OwnAnswers {
    /// One class for each text.
    Classes(Answers),
    /// Probabilities of all labels, or one predicted number, for each text.
    Values(Vec<Vec<f32>>),
}

/// Metric and its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricValue {
    /// Name of the metric.
    pub metric: String,
    /// Value of the metric.
    pub value: f64,
}

impl MetricValue {
    /// Computes a metric of a classifier. `None` for accuracy and macro F1, which every table has, and for metrics of
    /// multi-label and regression tasks.
    fn of_classes(metric: Option<Metric>, confusion: &Confusion, labels: &[String]) -> Option<Self> {
        match metric? {
            Metric::Matthews => Some(Self { metric: "MCC".into(), value: confusion.matthews() }),
            // The class is identified by its name, or by its number on the hub.
            Metric::F1 { class } => {
                let index = labels.iter().position(|label| label == class).or((labels.len() == 2).then_some(1))?;
                Some(Self { metric: format!("F1 of {}", labels[index]), value: confusion.f1(index).unwrap_or(0.0) })
            }
            _ => None,
        }
    }

    fn new(metric: &str, value: f64) -> Self {
        Self { metric: metric.into(), value }
    }

    /// Computes Pearson's correlation of predicted numbers, and further metrics. They include the quadratic weighted
    /// kappa of rounded predictions if the true numbers are a small range of integers.
    fn of_numbers(truth: &[Vec<f32>], answers: &[Vec<f32>]) -> Result<(f64, Vec<Self>)> {
        let numbers = |rows: &[Vec<f32>]| rows.iter().flatten().copied().map(f64::from).collect::<Vec<f64>>();
        let (truth, predicted) = (numbers(truth), numbers(answers));
        let correlation = Correlation::from_values(&truth, &predicted)?;
        let mean = |of: fn(f64) -> f64| {
            let errors = truth.iter().zip(&predicted).map(|(truth, predicted)| of(truth - predicted));
            errors.sum::<f64>() / truth.len().max(1) as f64
        };
        let mut metrics = vec![
            Self::new("RMSE", mean(|error| error * error).sqrt()),
            Self::new("MAE", mean(f64::abs)),
            Self::new("Spearman", correlation.spearman),
        ];
        let (least, most) = truth.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
        if truth.iter().all(|number| number.fract() == 0.0) && most - least < MOST_RATINGS {
            let rated: Vec<f64> = predicted.iter().map(|number| number.round().clamp(least, most)).collect();
            metrics.extend(quadratic_kappa(&truth, &rated)?.map(|kappa| Self::new("quadratic kappa", kappa)));
        }
        Ok((correlation.pearson, metrics))
    }

    /// Computes the macro F1 of predicted labels, and further metrics.
    fn of_labels(
        truth: &[Vec<f32>],
        answers: &[Vec<f32>],
        thresholds: Option<&LabelThresholds>,
    ) -> Result<(f64, Vec<Self>)> {
        let labels = truth.first().map_or(0, Vec::len);
        let even = LabelThresholds::even(labels);
        let counts = LabelCounts::of_thresholds(truth, answers, thresholds.unwrap_or(&even))?;
        let precision = |label: usize| -> Result<Option<f64>> {
            let has: Vec<bool> = truth.iter().map(|row| row[label] >= 0.5).collect();
            let scores: Vec<f32> = answers.iter().map(|row| row[label]).collect();
            Ok(average_precision(&has, &scores)?)
        };
        let precisions: Vec<f64> =
            (0..labels).filter_map(|label| precision(label).transpose()).collect::<Result<_>>()?;
        let metrics = [
            ("micro F1", counts.micro_f1()),
            ("subset accuracy", counts.exact()),
            ("average precision", precisions.iter().sum::<f64>() / precisions.len().max(1) as f64),
        ];
        Ok((counts.macro_f1(), metrics.map(|(metric, value)| Self::new(metric, value)).to_vec()))
    }
}

/// Range of the true numbers (largest minus smallest) below which integers are treated as ratings.
const MOST_RATINGS: f64 = 20.0;

/// Name of the table row for a dynamic model at its default speed (exit threshold).
const AT_ITS_SPEED: &str = "at its speed";
/// Prefix of the names of table rows for a dynamic model with a limited cost.
const COST_UP_TO: &str = "cost up to ";

/// Computes a table of scores and costs of a model on labelled texts. Its rows are the last exit alone, all layers
/// combined with the n-gram model, the model at its default speed, and the model at several costs. `precision` is the
/// numerical precision of the layers. If the texts were used in training, `out_of_fold` has the answers to score.
///
/// # Errors
/// [`Error::Transformer`] or [`Error::Dynamic`] if the model fails; [`Error::Argument`] if the precision is not f32 and
/// the model is a regression model.
pub fn results(
    model: &TextModel,
    precision: Precision,
    texts: &EncodedDataset,
    metric: Option<Metric>,
    out_of_fold: Option<&OutOfFold>,
) -> Result<Results> {
    let is_regression = matches!(&model.model, ServedModel::Classifier(own) if own.task() == Task::Number);
    if precision != Precision::F32 && is_regression {
        return Err(Error::argument("precision", "f32 for a model of numbers", precision));
    }
    let full: u64 = texts.lengths().into_iter().map(|tokens| model.model.full_flops(tokens)).sum();
    let TableModels { names, models } = TableModels::of(model)?;
    let outputs = model.output_texts(texts);
    let (rates, mut answers) = match &model.model {
        ServedModel::Classifier(classifier) if is_regression => {
            let (row, values) = ResultRow::of_numbers(classifier, texts)?;
            let name = names.into_iter().map(|(name, _)| name).next().unwrap_or_default();
            return Ok(Results { rows: vec![ResultRow { name, ..row }], answers: OwnAnswers::Values(values) });
        }
        ServedModel::Dynamic(dynamic)
            if precision == Precision::F32 && dynamic.router().rule().is_some() && dynamic.speed().is_some() =>
        {
            let answers = answers_of_one_pass(dynamic, &models, &outputs, out_of_fold)?;
            let rates = match out_of_fold {
                Some(_) => {
                    let routed = models.iter().zip(&answers).map(|(model, answers)| match model {
                        ServedModel::Dynamic(model) => on_routes(model, &outputs, answers),
                        other => other.clone(),
                    });
                    texts_per_second(&routed.collect::<Vec<_>>(), &answers, &outputs, full)?
                }
                None => texts_per_second(&models, &answers, &outputs, full)?,
            };
            (rates, answers)
        }
        _ => {
            let (mut answers, mut rates) = (Vec::new(), Vec::new());
            let packed = InPrecision::new(&model.model, precision);
            for own in &models {
                let (own, seconds) = Answers::of_pass(&packed.with_model(own), &outputs)?;
                answers.push(own);
                rates.push(rate(texts.len(), seconds));
            }
            (rates, answers)
        }
    };
    let rows = rows_of(model, &answers, &rates, texts, metric, full)?;
    let own = names.iter().find(|(name, _)| name == AT_ITS_SPEED).or(names.first()).map_or(0, |(_, at)| *at);
    let rows = names.into_iter().map(|(name, at)| ResultRow { name, ..rows[at].clone() }).collect();
    let own = answers.swap_remove(own);
    let answers = match model.task() {
        Task::Labels => OwnAnswers::Values(own.of_labels),
        Task::Number => OwnAnswers::Values(numbers(model, &own)),
        Task::Class => OwnAnswers::Classes(own),
    };
    Ok(Results { rows, answers })
}

/// Predicts a number for each text from the probabilities of the model's [levels](TextModel::levels).
fn numbers(model: &TextModel, answers: &Answers) -> Vec<Vec<f32>> {
    let number = |probabilities: &Vec<f32>| model.levels.iter().map(|levels| levels.number(probabilities)).collect();
    answers.of_labels.iter().map(number).collect()
}

/// Computes the answers of each model in a table, from one pass through all layers or from out-of-fold answers.
fn answers_of_one_pass(
    dynamic: &DynamicModel,
    models: &[ServedModel],
    texts: &EncodedDataset,
    out_of_fold: Option<&OutOfFold>,
) -> Result<Vec<Answers>> {
    let speeds: Vec<Option<f64>> = models.iter().map(ServedModel::speed).collect();
    match out_of_fold {
        Some(answers) => Answers::of_out_of_fold(dynamic, &speeds, texts, answers),
        None => Answers::of_one_pass(dynamic, &speeds, texts, ROWS_TOGETHER),
    }
}

/// Distinct models whose scores a table of results shows. Several rows can show the same model.
struct TableModels {
    /// Name of each row, with the index of its model.
    names: Vec<(String, usize)>,
    models: Vec<ServedModel>,
}

impl TableModels {
    fn of(model: &TextModel) -> Result<Self> {
        let mut own = Self { names: Vec::new(), models: Vec::new() };
        let (ServedModel::Dynamic(dynamic), Some(_)) = (&model.model, model.model.speed()) else {
            own.add("all layers".into(), model.model.clone());
            return Ok(own);
        };
        if let Ok(alone) = dynamic.classifier_at(model.model.shape().layers) {
            own.add("the encoder alone".into(), alone.into());
        }
        own.add("all layers".into(), model.model.with_speed(0.0)?);
        own.add(AT_ITS_SPEED.into(), model.model.clone());
        for cost in COSTS {
            if let Some(point) = model.speed_within(cost) {
                own.add(format!("{COST_UP_TO}{cost}"), model.model.with_speed(point.speed)?);
            }
        }
        Ok(own)
    }

    /// Adds a row. Rows whose models have the same speed share a model.
    fn add(&mut self, name: String, model: ServedModel) {
        let at = self.models.iter().position(|earlier| earlier.speed() == model.speed());
        self.names.push((name, at.unwrap_or(self.models.len())));
        if at.is_none() {
            self.models.push(model);
        }
    }
}

/// Computes the rows of classifiers or multi-label models, without names. `full` is the number of FLOPs of all texts in
/// the full model.
fn rows_of(
    model: &TextModel,
    answers: &[Answers],
    rates: &[f64],
    texts: &EncodedDataset,
    metric: Option<Metric>,
    full: u64,
) -> Result<Vec<ResultRow>> {
    let row = |(answers, rate): (&Answers, &f64)| {
        let (accuracy, score, metrics) = match model.task() {
            Task::Labels => {
                let probabilities = &answers.of_labels;
                let (score, metrics) =
                    MetricValue::of_labels(&targets(texts), probabilities, model.thresholds.as_ref())?;
                (None, score, metrics)
            }
            Task::Number => {
                let (score, metrics) = MetricValue::of_numbers(&targets(texts), &numbers(model, answers))?;
                (None, score, metrics)
            }
            Task::Class => {
                let confusion = Confusion::from_predictions(texts, &answers.labels)?;
                let metrics = MetricValue::of_classes(metric, &confusion, &texts.labels).into_iter().collect();
                (Some(confusion.accuracy()), confusion.macro_f1(), metrics)
            }
        };
        Ok(ResultRow {
            name: String::new(),
            accuracy,
            score,
            metrics,
            cost: answers.total_flops() as f64 / full.max(1) as f64,
            mean_layers: answers.mean_layers(),
            texts_per_second: *rate,
        })
    };
    answers.iter().zip(rates).map(row).collect()
}

/// Row for the default answers of the model: at its default speed, or with all layers if it has a single speed.
pub fn own_row(rows: &[ResultRow]) -> Option<&ResultRow> {
    rows.iter().find(|row| row.name == AT_ITS_SPEED).or(rows.first())
}

/// Warning if the accuracy is lower than that of always predicting the most frequent class. Labels may then be mapped
/// wrongly.
pub fn majority_note(row: Option<&ResultRow>, data: &EncodedDataset) -> Option<String> {
    let row = row?;
    let accuracy = row.accuracy?;
    let mut counts = vec![0_usize; data.labels.len()];
    data.samples.iter().for_each(|sample| counts[sample.label as usize] += 1);
    let (most, class) =
        counts.iter().copied().zip(0..).max_by_key(|(count, class)| (*count, std::cmp::Reverse(*class)))?;
    let share = most as f64 / data.len().max(1) as f64;
    (accuracy < share && most < data.len()).then(|| {
        format!(
            "beware: accuracy {accuracy:.4} ({}) is below the {share:.4} of always answering {:?}: check that the labels are those of \
             the model",
            row.name, data.labels[class]
        )
    })
}

/// Formats rows of results as a table.
pub fn results_table(rows: &[ResultRow], task: Task) -> Table {
    let score = if task == Task::Number { "Pearson" } else { "macro F1" };
    let metrics = rows.iter().map(|row| &row.metrics).find(|metrics| !metrics.is_empty());
    let metrics: Vec<&str> = metrics.into_iter().flatten().map(|own| own.metric.as_str()).collect();
    let mut titles = vec!["", "accuracy", score];
    titles.extend(&metrics);
    titles.extend(["FLOPs", "layers", "texts/s"]);
    let mut table = Table::new(titles);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.accuracy.map_or_else(|| "–".into(), |accuracy| format!("{accuracy:.4}")),
            format!("{:.4}", row.score),
        ];
        let value = |metric: &&str| row.metrics.iter().find(|own| own.metric == **metric);
        let cell = |own: Option<&MetricValue>| own.map_or_else(|| "–".into(), |own| figure(own.value));
        cells.extend(metrics.iter().map(|metric| cell(value(metric))));
        cells.extend([
            format!("{:.3}", row.cost),
            format!("{:.2}", row.mean_layers),
            format!("{:.0}", row.texts_per_second),
        ]);
        table.push(cells);
    }
    table
}

/// Formats a score with four decimals, or with three significant digits if the former would lose them, such as an error
/// in a small unit.
fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.2e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!([0.0, -0.25, 12.5, 0.000_123_4].map(figure), ["0.0000", "-0.2500", "12.5000", "1.23e-4"]);
    }
}
