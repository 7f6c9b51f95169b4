//! Scores and costs of a model on labelled texts.

use dht_dynamic::Predictor;
use dht_dynamic::evaluation::{InPrecision, time_in_turns};
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::train::metrics::{Confusion, Correlation};
use dht_dynamic::transformer::{EncodedDataset, Objective, Precision, Task, TextClassifier};
use serde::Serialize;

use super::answers::{Answers, ROWS_TOGETHER};
use super::table::Table;
use crate::acceleration::BATCH;
use crate::error::{Error, Result};

/// Number of texts for timing, and number of passes over them.
const TIMED: usize = 256;
const PASSES: usize = 3;
/// Number of scored texts from which a cheaper speed is advised.
const LEAST_TO_ADVISE: usize = 100;
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
    /// Tokenised texts per second, in batches of 64. `None` if texts leave early and the model has learned from them: it
    /// would be surer of them, and faster, than of other texts.
    pub texts_per_second: Option<f64>,
}

impl ResultRow {
    /// Row of predicted labels or numbers, without name and time.
    fn of_values(classifier: &TextClassifier, texts: &EncodedDataset, metric: Option<Metric>) -> Result<Self> {
        Ok(Self {
            name: String::new(),
            accuracy: None,
            score: classifier.score(texts, BATCH)?,
            judged: JudgedBy::of_values(metric, classifier, texts)?,
            cost: 1.0,
            mean_layers: classifier.encoder().layers() as f64,
            texts_per_second: None,
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

    /// Second metric of predicted values: Spearman's correlation where the literature reports it, else the root of the
    /// mean squared error. The first metric is Pearson's correlation.
    fn of_values(metric: Option<Metric>, classifier: &TextClassifier, texts: &EncodedDataset) -> Result<Option<Self>> {
        if classifier.task() != Task::Number {
            return Ok(None);
        }
        let numbers =
            |rows: Vec<&[f32]>| rows.iter().filter_map(|row| row.first()).copied().map(f64::from).collect::<Vec<_>>();
        let answers = classifier.probabilities_of_all(texts, BATCH)?;
        let predicted = numbers(answers.iter().map(Vec::as_slice).collect());
        let truth = numbers(texts.samples.iter().map(|sample| sample.targets.as_slice()).collect());
        if metric == Some(Metric::Correlations) {
            let value = Correlation::from_values(&truth, &predicted)?.spearman;
            return Ok(Some(Self { metric: "Spearman".into(), value }));
        }
        let squares = truth.iter().zip(&predicted).map(|(truth, predicted)| (truth - predicted).powi(2));
        let value = (squares.sum::<f64>() / truth.len().max(1) as f64).sqrt();
        Ok(Some(Self { metric: "RMSE".into(), value }))
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
    let models = models_of_rows(model)?;
    let (names, models): (Vec<String>, Vec<ServedModel>) = models.into_iter().unzip();
    let in_precision: Vec<_> = models.iter().map(|model| InPrecision::new(model, precision)).collect();
    let rates = texts_per_second(&in_precision, texts)?;
    // Texts that a model has learned from exit earlier than others.
    let runs_alike = |model: &ServedModel| out_of_fold.is_none() || model.speed().is_none_or(|speed| speed == 0.0);
    let rates = rates.into_iter().zip(&models).map(|(rate, model)| runs_alike(model).then_some(rate));
    let rows = match &model.model {
        ServedModel::Classifier(classifier) if classifier.task() != Task::Class => {
            models.iter().map(|_| ResultRow::of_values(classifier, texts, metric)).collect::<Result<Vec<_>>>()?
        }
        ServedModel::Dynamic(dynamic)
            if precision == Precision::F32 && dynamic.router().rule().is_some() && dynamic.speed().is_some() =>
        {
            let speeds: Vec<Option<f64>> = models.iter().map(ServedModel::speed).collect();
            let answers = match out_of_fold {
                Some(answers) => Answers::of_out_of_fold(dynamic, &speeds, texts, answers)?,
                None => Answers::of_one_pass(dynamic, &speeds, texts, ROWS_TOGETHER)?,
            };
            class_rows(model, &answers, texts, metric)?
        }
        _ => {
            let answers =
                in_precision.iter().map(|model| Answers::of_pass(model, texts)).collect::<Result<Vec<_>>>()?;
            class_rows(model, &answers, texts, metric)?
        }
    };
    let row = |((row, name), texts_per_second)| ResultRow { name, texts_per_second, ..row };
    Ok(rows.into_iter().zip(names).zip(rates).map(row).collect())
}

/// Names of the rows, each with the model at the row's speed.
fn models_of_rows(model: &TextModel) -> Result<Vec<(String, ServedModel)>> {
    let (ServedModel::Dynamic(dynamic), Some(_)) = (&model.model, model.model.speed()) else {
        return Ok(vec![("all layers".into(), model.model.clone())]);
    };
    let layers = model.model.shape().layers;
    let mut models: Vec<(String, ServedModel)> = Vec::new();
    models.extend(dynamic.classifier_at(layers).ok().map(|alone| ("the encoder alone".into(), alone.into())));
    models.push(("all layers".into(), model.model.with_speed(0.0)?));
    models.push((AT_ITS_SPEED.into(), model.model.clone()));
    for cost in COSTS {
        if let Some(point) = model.speed_within(cost) {
            models.push((format!("{COST_UP_TO}{cost}"), model.model.with_speed(point.speed)?));
        }
    }
    Ok(models)
}

/// Texts per second of each model, timed in turns on some of the texts.
fn texts_per_second(models: &[InPrecision<'_, ServedModel>], texts: &EncodedDataset) -> Result<Vec<f64>> {
    let timed = evenly_spaced(texts, TIMED)?;
    let predictors: Vec<&dyn Predictor> = models.iter().map(|model| model as &dyn Predictor).collect();
    let times = time_in_turns(&predictors, &timed, BATCH, PASSES)?;
    Ok(times.into_iter().map(|times| timed.len() as f64 / times.median().max(1e-9)).collect())
}

/// Rows of predicted classes, without names and times.
fn class_rows(
    model: &TextModel,
    answers: &[Answers],
    texts: &EncodedDataset,
    metric: Option<Metric>,
) -> Result<Vec<ResultRow>> {
    let full: u64 = texts.lengths().into_iter().map(|tokens| model.model.full_flops(tokens)).sum();
    let row = |answers: &Answers| {
        let confusion = Confusion::from_predictions(texts, &answers.labels)?;
        Ok(ResultRow {
            name: String::new(),
            accuracy: Some(confusion.accuracy()),
            score: confusion.macro_f1(),
            judged: JudgedBy::of_classes(metric, &confusion, &texts.labels),
            cost: answers.flops as f64 / full.max(1) as f64,
            mean_layers: answers.layers as f64 / texts.len().max(1) as f64,
            texts_per_second: None,
        })
    };
    answers.iter().map(row).collect()
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

/// Note with the cheapest speed of the table that is as accurate as the default speed, if there is one. `scored` is the
/// number of texts behind the table: a few do not tell two speeds apart.
pub fn cheaper_note<'a>(rows: &'a [ResultRow], scored: usize) -> Option<String> {
    let own = rows.iter().find(|row| scored >= LEAST_TO_ADVISE && row.name == AT_ITS_SPEED)?;
    let cheaper = |row: &&ResultRow| row.cost < own.cost && row.accuracy >= own.accuracy;
    let of_cost = |row: &'a ResultRow| Some((row, row.name.strip_prefix(COST_UP_TO)?));
    let rows = rows.iter().filter(cheaper).filter_map(of_cost);
    let (row, share) = rows.min_by(|(left, _), (right, _)| left.cost.total_cmp(&right.cost))?;
    Some(format!(
        "--budget {share} scores {:.4} on these rows, not less than the model at its speed, for {:.3} of the FLOPs\n",
        row.accuracy?, row.cost
    ))
}

/// Selects `count` rows at even intervals.
fn evenly_spaced(data: &EncodedDataset, count: usize) -> Result<EncodedDataset> {
    let count = count.min(data.len());
    Ok(data.select((0..count).map(|at| at * data.len() / count))?)
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
            row.texts_per_second.map_or_else(|| "–".into(), |rate| format!("{rate:.0}")),
        ]);
        table.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, accuracy: f64, cost: f64) -> ResultRow {
        let judged = None;
        ResultRow {
            name: name.into(),
            accuracy: Some(accuracy),
            score: 0.0,
            judged,
            cost,
            mean_layers: 0.0,
            texts_per_second: None,
        }
    }

    #[test]
    fn the_cheapest_row_that_scores_as_well_is_named() {
        let mut rows = vec![
            row("all layers", 0.9, 1.0),
            row(AT_ITS_SPEED, 0.9, 0.7),
            row("cost up to 0.05", 0.8, 0.03),
            row("cost up to 0.1", 0.9, 0.08),
            row("cost up to 0.2", 0.95, 0.19),
        ];
        let note = cheaper_note(&rows, 100).unwrap();
        assert!(note.contains("--budget 0.1 ") && note.contains("0.080"), "{note}");
        assert_eq!(cheaper_note(&rows, 99), None, "few texts");
        rows[1].accuracy = Some(0.96);
        assert_eq!(cheaper_note(&rows, 100), None);
        assert_eq!(cheaper_note(&rows[..1], 100), None, "a model of one speed");
    }
}
