//! Scores and costs of a model on labelled texts.

use std::time::Instant;

use dht_dynamic::evaluation::InPrecision;
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::train::metrics::{Confusion, Correlation};
use dht_dynamic::transformer::{EncodedDataset, Objective, Precision, Task, TextClassifier};
use dht_dynamic::{DynamicModel, Predictor};
use serde::Serialize;

use super::answers::{Answers, ROWS_TOGETHER};
use super::speed::{on_routes, rate, texts_per_second};
use super::table::Table;
use crate::acceleration::BATCH;
use crate::error::{Error, Result};

/// Costs for which a table of results has a row, as shares of the full model's FLOPs.
const COSTS: [f64; 5] = [0.05, 0.1, 0.2, 0.35, 0.5];

/// Row of a table of results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// Name of the model and its speed.
    pub name: String,
    /// Accuracy of classes.
    pub accuracy: Option<f64>,
    /// Macro F1 of classes or labels, or Pearson's correlation of values.
    pub score: f64,
    /// Metric that the literature reports for the data set, if it is neither `accuracy` nor `score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<JudgedBy>,
    /// Cost: FLOPs divided by the full model's FLOPs.
    pub cost: f64,
    /// Mean depth.
    pub mean_layers: f64,
    /// Tokenised texts per second, in batches of 64. Of texts that the model has learned from, each is timed up to the
    /// exit of its answer out of fold: the model itself would be surer of them, and faster, than of other texts.
    pub texts_per_second: f64,
}

impl ResultRow {
    /// Row of predicted labels or numbers, without a name.
    fn of_values(classifier: &TextClassifier, texts: &EncodedDataset, metric: Option<Metric>) -> Result<Self> {
        let start = Instant::now();
        let (score, judged) = match classifier.task() {
            Task::Number => JudgedBy::of_numbers(metric, classifier, texts)?,
            _ => (classifier.score(texts, BATCH)?, None),
        };
        Ok(Self {
            name: String::new(),
            accuracy: None,
            score,
            judged,
            cost: 1.0,
            mean_layers: classifier.encoder().layers() as f64,
            texts_per_second: rate(texts.len(), start.elapsed().as_secs_f64()),
        })
    }
}

/// Metric with its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedBy {
    /// Name of the metric.
    pub metric: String,
    /// Value of the metric.
    pub value: f64,
}

impl JudgedBy {
    /// Metric of predicted classes; `None` for accuracy and macro F1, which every table has, and for a metric that is
    /// not for classes.
    fn of_classes(metric: Option<Metric>, confusion: &Confusion, labels: &[String]) -> Option<Self> {
        match metric? {
            Metric::Matthews => Some(Self { metric: "MCC".into(), value: confusion.matthews() }),
            // By the name of the class, or its number on the hub.
            Metric::F1 { class } => {
                let found = labels.iter().position(|label| label == class).or((labels.len() == 2).then_some(1))?;
                Some(Self { metric: format!("F1 of {}", labels[found]), value: confusion.f1(found).unwrap_or(0.0) })
            }
            _ => None,
        }
    }

    /// Pearson's correlation of predicted numbers, and the second metric: Spearman's correlation where the literature
    /// reports it, else the root of the mean squared error.
    fn of_numbers(
        metric: Option<Metric>,
        classifier: &TextClassifier,
        texts: &EncodedDataset,
    ) -> Result<(f64, Option<Self>)> {
        let answers = classifier.probabilities_of_all(texts, BATCH)?;
        let predicted: Vec<f64> = answers.iter().flatten().copied().map(f64::from).collect();
        let truth: Vec<f64> = texts.samples.iter().flat_map(|sample| &sample.targets).copied().map(f64::from).collect();
        let correlation = Correlation::from_values(&truth, &predicted)?;
        let second = if metric == Some(Metric::Correlations) {
            Self { metric: "Spearman".into(), value: correlation.spearman }
        } else {
            let squares = truth.iter().zip(&predicted).map(|(truth, predicted)| (truth - predicted).powi(2));
            let value = (squares.sum::<f64>() / truth.len().max(1) as f64).sqrt();
            Self { metric: "RMSE".into(), value }
        };
        Ok((correlation.pearson, Some(second)))
    }
}

/// Name of the row of a dynamic model at its default speed.
const AT_ITS_SPEED: &str = "at its speed";
/// Beginning of the names of the rows of a dynamic model at several costs.
const COST_UP_TO: &str = "cost up to ";

/// Scores and costs of a model on labelled texts. The rows are the encoder with its last exit alone, all layers
/// combined with the n-gram model, the model at its default speed, and the model at several costs. `precision` is that
/// of the layers. `out_of_fold` are the answers to score for a dynamic model that has learned from these texts.
///
/// # Errors
/// Errors of the model; [`Error::Argument`] for a precision other than f32 and a multi-label or regression model.
pub fn results(
    model: &TextModel,
    precision: Precision,
    texts: &EncodedDataset,
    metric: Option<Metric>,
    out_of_fold: Option<&OutOfFold>,
) -> Result<Vec<ResultRow>> {
    if precision != Precision::F32 && model.model.task() != Task::Class {
        return Err(Error::argument("precision", "f32 for a model of labels or values", precision));
    }
    let full: u64 = texts.lengths().into_iter().map(|tokens| model.model.full_flops(tokens)).sum();
    let TableModels { names, models } = TableModels::of(model)?;
    let rows = match &model.model {
        ServedModel::Classifier(classifier) if classifier.task() != Task::Class => {
            vec![ResultRow::of_values(classifier, texts, metric)?]
        }
        ServedModel::Dynamic(dynamic)
            if precision == Precision::F32 && dynamic.router().rule().is_some() && dynamic.speed().is_some() =>
        {
            let answers = answers_of_one_pass(dynamic, &models, texts, out_of_fold)?;
            let rates = match out_of_fold {
                Some(_) => {
                    let routed = models.iter().zip(&answers).map(|(model, answers)| match model {
                        ServedModel::Dynamic(model) => on_routes(model, texts, answers),
                        other => other.clone(),
                    });
                    texts_per_second(&routed.collect::<Vec<_>>(), &answers, texts, full)?
                }
                None => texts_per_second(&models, &answers, texts, full)?,
            };
            class_rows(&answers, &rates, texts, metric, full)?
        }
        _ => {
            let (mut answers, mut rates) = (Vec::new(), Vec::new());
            let packed = InPrecision::new(&model.model, precision);
            for model in &models {
                let (own, seconds) = Answers::of_pass(&packed.with_model(model), texts)?;
                answers.push(own);
                rates.push(rate(texts.len(), seconds));
            }
            class_rows(&answers, &rates, texts, metric, full)?
        }
    };
    Ok(names.into_iter().map(|(name, at)| ResultRow { name, ..rows[at].clone() }).collect())
}

/// Answers of each model to the texts, from one pass through all layers, or out of fold.
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

/// Models of the rows of a table, each once.
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

    /// Adds a row. A model at the speed of an earlier row is that row's model.
    fn add(&mut self, name: String, model: ServedModel) {
        let at = self.models.iter().position(|earlier| earlier.speed() == model.speed());
        self.names.push((name, at.unwrap_or(self.models.len())));
        if at.is_none() {
            self.models.push(model);
        }
    }
}

/// Rows of predicted classes, without names. `full` are the FLOPs of the texts in all layers.
fn class_rows(
    answers: &[Answers],
    rates: &[f64],
    texts: &EncodedDataset,
    metric: Option<Metric>,
    full: u64,
) -> Result<Vec<ResultRow>> {
    let row = |(answers, rate): (&Answers, &f64)| {
        let confusion = Confusion::from_predictions(texts, &answers.labels)?;
        Ok(ResultRow {
            name: String::new(),
            accuracy: Some(confusion.accuracy()),
            score: confusion.macro_f1(),
            judged: JudgedBy::of_classes(metric, &confusion, &texts.labels),
            cost: answers.total_flops() as f64 / full.max(1) as f64,
            mean_layers: answers.mean_layers(),
            texts_per_second: *rate,
        })
    };
    answers.iter().zip(rates).map(row).collect()
}

/// Row of the answers that the model gives by default: at its default speed, or with all layers.
pub fn own_row(rows: &[ResultRow]) -> Option<&ResultRow> {
    rows.iter().find(|row| row.name == AT_ITS_SPEED).or(rows.first())
}

/// Warning if the accuracy is below that of always answering the most frequent class, since labels may then be mapped
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

/// Formats the rows as a table.
pub fn results_table(rows: &[ResultRow], task: Task) -> Table {
    let score = if task == Task::Number { "Pearson" } else { "macro F1" };
    let judged = rows.iter().find_map(|row| row.judged.as_ref());
    let mut titles = vec!["", "accuracy", score];
    titles.extend(judged.map(|judged| judged.metric.as_str()));
    titles.extend(["FLOPs", "layers", "texts/s"]);
    let mut table = Table::new(titles);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.accuracy.map_or_else(|| "–".into(), |accuracy| format!("{accuracy:.4}")),
            format!("{:.4}", row.score),
        ];
        cells.extend(judged.map(|_| row.judged.as_ref().map_or_else(|| "–".into(), |own| format!("{:.4}", own.value))));
        cells.extend([
            format!("{:.3}", row.cost),
            format!("{:.2}", row.mean_layers),
            format!("{:.0}", row.texts_per_second),
        ]);
        table.push(cells);
    }
    table
}
