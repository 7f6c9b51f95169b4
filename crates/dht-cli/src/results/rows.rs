//! Scores and costs of a model on labelled texts.

use dht_dynamic::evaluation::{InPrecision, Stages, time_in_turns};
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::train::metrics::{Confusion, Correlation};
use dht_dynamic::transformer::{EncodedDataset, Objective, Precision, Task, TextClassifier};
use dht_dynamic::{DynamicModel, LogProbabilities, Predictor, evaluate};
use serde::Serialize;

use super::table::Table;
use crate::acceleration::BATCH;
use crate::error::{Error, Result};

/// Number of texts for timing, and number of passes over them.
const TIMED: usize = 256;
const PASSES: usize = 3;
/// Maximum number of texts whose answers at all exits are in memory together.
const ROWS_TOGETHER: usize = 1 << 14;
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
    let mut models: Vec<(String, ServedModel)> = Vec::new();
    match (&model.model, model.model.speed()) {
        (ServedModel::Dynamic(dynamic), Some(_)) => {
            let layers = model.model.shape().layers;
            models.extend(dynamic.classifier_at(layers).ok().map(|alone| ("the encoder alone".into(), alone.into())));
            models.push(("all layers".into(), model.model.with_speed(0.0)?));
            models.push((AT_ITS_SPEED.into(), model.model.clone()));
            for cost in COSTS {
                if let Some(point) = model.speed_within(cost) {
                    models.push((format!("{COST_UP_TO}{cost}"), model.model.with_speed(point.speed)?));
                }
            }
        }
        _ => models.push(("all layers".into(), model.model.clone())),
    }
    let timed = evenly_spaced(texts, TIMED)?;
    let in_precision: Vec<_> = models.iter().map(|(_, model)| InPrecision::new(model, precision)).collect();
    let predictors: Vec<&dyn Predictor> = in_precision.iter().map(|model| model as &dyn Predictor).collect();
    let times = time_in_turns(&predictors, &timed, BATCH, PASSES)?;
    let rates = times.into_iter().zip(&models).map(|(times, (_, model))| {
        let runs_alike = out_of_fold.is_none() || model.speed().is_none_or(|speed| speed == 0.0);
        runs_alike.then(|| timed.len() as f64 / times.median().max(1e-9))
    });
    let rates: Vec<_> = rates.collect();
    if let ServedModel::Classifier(classifier) = &model.model
        && classifier.task() != Task::Class
    {
        let row = |((name, _), texts_per_second)| {
            Ok(ResultRow {
                name,
                accuracy: None,
                score: classifier.score(texts, BATCH)?,
                judged: JudgedBy::of_values(metric, classifier, texts)?,
                cost: 1.0,
                mean_layers: classifier.encoder().layers() as f64,
                texts_per_second,
            })
        };
        return models.into_iter().zip(rates).map(row).collect();
    }
    let answers = match &model.model {
        ServedModel::Dynamic(dynamic)
            if precision == Precision::F32 && dynamic.router().rule().is_some() && dynamic.speed().is_some() =>
        {
            let speeds: Vec<Option<f64>> = models.iter().map(|(_, model)| model.speed()).collect();
            match out_of_fold {
                Some(found) => {
                    let mut all = vec![Answers::default(); speeds.len()];
                    Answers::extend(&mut all, dynamic, &speeds, texts, (&found.stages, &found.alone))?;
                    all
                }
                None => Answers::of_one_pass(dynamic, &speeds, texts, ROWS_TOGETHER)?,
            }
        }
        _ => in_precision.iter().map(|model| Answers::of_pass(model, texts)).collect::<Result<_>>()?,
    };
    let full: u64 = texts.lengths().into_iter().map(|tokens| model.model.full_flops(tokens)).sum();
    let row = |(((name, _), texts_per_second), answers): ((_, _), Answers)| {
        let confusion = Confusion::from_predictions(texts, &answers.labels)?;
        Ok(ResultRow {
            name,
            accuracy: Some(confusion.accuracy()),
            score: confusion.macro_f1(),
            judged: JudgedBy::of_classes(metric, &confusion, &texts.labels),
            cost: answers.flops as f64 / full.max(1) as f64,
            mean_layers: answers.layers as f64 / texts.len().max(1) as f64,
            texts_per_second,
        })
    };
    models.into_iter().zip(rates).zip(answers).map(row).collect()
}

/// Answers of a model to some texts: the predicted classes, and the sums of FLOPs and layers.
#[derive(Debug, Clone, Default, PartialEq)]
struct Answers {
    labels: Vec<u32>,
    flops: u64,
    layers: usize,
}

impl Answers {
    fn of_pass(model: &dyn Predictor, texts: &EncodedDataset) -> Result<Self> {
        let found = evaluate(model, texts, BATCH)?;
        let layers = found.routes.iter().map(dht_dynamic::Route::depth).sum();
        Ok(Self { labels: found.labels, flops: found.flops + found.bandit_flops, layers })
    }

    /// Answers at several speeds, and of the last exit alone where there is no speed, from one pass through all layers.
    /// The router must follow a rule.
    fn of_one_pass(
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
            Self::extend(&mut all, model, speeds, &part, (&model.stacked(&part, exits)?, &alone))?;
        }
        Ok(all)
    }

    /// Adds the answers to further texts, given those of every stage and those of the last exit alone.
    fn extend(
        all: &mut [Self],
        model: &DynamicModel,
        speeds: &[Option<f64>],
        texts: &EncodedDataset,
        (stages, alone): (&[LogProbabilities], &LogProbabilities),
    ) -> Result<()> {
        let depths: Vec<usize> = model.depths().collect();
        let rule = model.router().rule().unwrap_or_default();
        let stages = Stages::new(stages, model.stage_flops(texts), rule)?;
        for (answers, speed) in all.iter_mut().zip(speeds) {
            match speed {
                Some(speed) => {
                    let at = stages.at(*speed);
                    answers.labels.extend(at.labels);
                    let routing: u64 = at.stages.iter().map(|stage| model.router().flops(*stage)).sum();
                    answers.flops += at.flops + routing;
                    answers.layers += at.stages.into_iter().map(|stage| depths[stage]).sum::<usize>();
                }
                None => {
                    answers.labels.extend(alone.labels());
                    answers.flops += model.full_inference_flops(texts);
                    answers.layers += texts.len() * depths.last().copied().unwrap_or_default();
                }
            }
        }
        Ok(())
    }
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
    use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
    use dht_dynamic::router::LeavingRule;
    use dht_dynamic::transformer::Pooling;
    use dht_toys::planted;

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
            let found = Answers::of_one_pass(&model, &speeds, &test, 40)?;
            assert!(found.windows(2).any(|pair| pair[0].layers != pair[1].layers), "{found:?}");
            for (speed, found) in speeds.iter().zip(found) {
                let expected = match speed {
                    Some(speed) => Answers::of_pass(&model.with_speed(*speed)?, &test)?,
                    None => Answers::of_pass(&model.classifier_at(classifier.encoder().layers())?, &test)?,
                };
                assert_eq!(found, expected, "at {speed:?}, {:?}", settings.rule);
            }
        }
        Ok(())
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
