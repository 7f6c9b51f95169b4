//! Command `dht compare`: compares two models on the same labelled texts.

use std::path::PathBuf;

use clap::Args;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::storage::{writable_file, write_atomically};
use dht_dynamic::transformer::train::metrics::LabelThresholds;
use dht_dynamic::transformer::{Dataset, EncodedDataset, Task};
use dht_dynamic::{Predictor, evaluate};
use serde_json::{Value, json};

use super::output::{print, print_text};
use crate::acceleration::BATCH;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::results::{Difference, Table};
use crate::texts::{TextArguments, left_out_note, mapping_note};
use crate::training::saved_directory;

/// Arguments of `dht compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht compare news news-2 --data ag_news
  dht compare served candidate --data asked.csv --changed changed.csv
  dht compare served candidate --data asked.csv --fail-below 0.5   # for a pipeline")]
pub struct CompareArguments {
    /// First model: a directory that dht saved, a Hugging Face classifier's directory, or hf:NAME
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Second model, with the same task and labels
    #[arg(value_name = "B")]
    second: PathBuf,
    #[command(flatten)]
    texts: TextArguments,
    /// Run the first model at this speed [default: the model's speed]
    #[arg(long, value_name = "SPEED")]
    first_speed: Option<f64>,
    /// Run the second model at this speed [default: the model's speed]
    #[arg(long, value_name = "SPEED")]
    second_speed: Option<f64>,
    /// Write the rows whose answers differ to this csv file
    #[arg(long, value_name = "FILE", value_parser = writable_file)]
    changed: Option<PathBuf>,
    /// End with exit code 3 unless the 95 % interval shows that the second model (B) loses at most N points against the
    /// first (A)
    #[arg(long, value_name = "N")]
    fail_below: Option<f64>,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Print no notes about the rows
    #[arg(long)]
    quiet: bool,
}

/// Answers of one of the two compared models. Classes are indices into the first model's labels.
struct Side {
    /// Answer to each text, as it is printed.
    answers: Vec<String>,
    /// Score of each text: 1 or 0 for a right or wrong class, F1 for several labels, or minus the absolute error for a
    /// number.
    scores: Vec<f64>,
    /// Predicted class of each text; empty for other tasks.
    classes: Vec<usize>,
    flops: u64,
}

/// Runs `dht compare`: compares two models on the same labelled texts, at their default speeds (exit thresholds).
pub fn compare(arguments: &CompareArguments) -> Result<()> {
    if let Some(points) = arguments.fail_below.filter(|points| !(points.is_finite() && *points >= 0.0)) {
        return Err(Error::argument("fail-below", "a number of points, at least 0", points));
    }
    let device = arguments.device.open()?;
    let load = |path: &PathBuf, speed: Option<f64>| -> Result<TextModel> {
        let mut model = TextModel::load(saved_directory(path)?, &device)?;
        if let Some(speed) = speed {
            model.model = model.model.with_speed(speed)?;
        }
        Ok(model)
    };
    let first = load(&arguments.first, arguments.first_speed)?;
    let second = load(&arguments.second, arguments.second_speed)?;
    let order = order_of(arguments, &first, &second)?;
    let task = first.task();
    arguments.texts.check_task(task)?;
    let (texts, notes) = arguments.texts.read_scored(&first.labels, task, first.origin.as_ref())?;
    if !arguments.quiet {
        notes.iter().for_each(|note| report(note));
    }
    left_out_note(&texts).iter().chain(&mapping_note(&texts)).for_each(|note| report(note));
    let own: Vec<usize> = (0..first.labels.len()).collect();
    let (a, b) = (Side::of(&first, &texts, &own)?, Side::of(&second, &texts, &order)?);
    let difference = match task {
        Task::Class => {
            let right = |side: &Side| side.scores.iter().map(|score| *score == 1.0).collect::<Vec<bool>>();
            Difference::of_answers(&right(&a), &right(&b))
        }
        // The F1 of a text is between 0 and 1, so that the largest difference is 1.
        Task::Labels => Difference::of_scores(&a.scores, &b.scores, 1.0),
        Task::Number => Difference::of_scores(&a.scores, &b.scores, 0.0),
    };
    if let Some(path) = &arguments.changed {
        write_changed(path, &texts, &first, [&a, &b])?;
    }
    let facts = Facts { texts: &texts, model: &first, a: &a, b: &b, difference };
    if arguments.json {
        print(&format!("{:#}\n", facts.json()))?;
    } else {
        print_text(&facts.text())?;
    }
    match arguments.fail_below {
        Some(points) if difference.low < -points / facts.points() => {
            let low = facts.points() * difference.low;
            Err(Error::Worse { low: format!("{low:+.2}"), most: points.to_string() })
        }
        _ => Ok(()),
    }
}

/// Maps each label of the second model to its index in the first model.
fn order_of(arguments: &CompareArguments, first: &TextModel, second: &TextModel) -> Result<Vec<usize>> {
    let different = |a: String, b: String| {
        let paths = [&arguments.first, &arguments.second].map(|path| path.display().to_string());
        Err(Error::Incomparable { first: format!("{} {a}", paths[0]), second: format!("{} {b}", paths[1]) })
    };
    let (a, b) = (first.task(), second.task());
    if a != b {
        let name = |task| match task {
            Task::Class => "gives one class for each text",
            Task::Labels => "gives several labels for each text",
            Task::Number => "gives numbers",
        };
        return different(name(a).into(), name(b).into());
    }
    let of_pairs = |model: &TextModel| model.origin.as_ref().map(|origin| origin.pair);
    if let (Some(a), Some(b)) = (of_pairs(first), of_pairs(second))
        && a != b
    {
        let name = |pairs| if pairs { "was trained on pairs of texts" } else { "was trained on single texts" };
        return different(name(a).into(), name(b).into());
    }
    if a == Task::Number {
        return Ok(vec![0]);
    }
    let place = |label: &String| first.labels.iter().position(|other| other == label);
    match second.labels.iter().map(place).collect::<Option<Vec<usize>>>() {
        Some(order) if order.len() == first.labels.len() => Ok(order),
        _ => {
            let lacking = |own: &[String], other: &[String]| -> String {
                let missing = own.iter().filter(|label| !other.contains(label)).take(5);
                let names: Vec<String> = missing.map(|label| format!("{label:?}")).collect();
                if names.is_empty() {
                    "has no label of its own".into()
                } else {
                    format!("alone has {}", names.join(", "))
                }
            };
            different(lacking(&first.labels, &second.labels), lacking(&second.labels, &first.labels))
        }
    }
}

impl Side {
    fn of(model: &TextModel, texts: &Dataset, order: &[usize]) -> Result<Self> {
        let encoded = model.tokenizer.encode_all(texts, model.max_length)?;
        let full = || model.model.full_flops_of(&encoded);
        match (&model.model, model.task()) {
            (_, Task::Labels) => {
                let even = LabelThresholds::even(order.len());
                let thresholds = model.thresholds.as_ref().unwrap_or(&even);
                let evaluation = evaluate(&model.model, &encoded, BATCH)?;
                let (answers, scores) = evaluation
                    .probabilities
                    .iter()
                    .zip(&encoded.samples)
                    .map(|(probabilities, row)| {
                        let mut predicted: Vec<usize> =
                            thresholds.applying(probabilities).iter().map(|own| order[*own]).collect();
                        predicted.sort_unstable();
                        let right = predicted.iter().filter(|label| row.targets[**label] >= 0.5).count();
                        let there = row.targets.iter().filter(|target| **target >= 0.5).count();
                        // Two empty sets of labels agree.
                        let f1 = if predicted.len() + there == 0 {
                            1.0
                        } else {
                            2.0 * right as f64 / (predicted.len() + there) as f64
                        };
                        let names: Vec<&str> = predicted.iter().map(|label| &*texts.labels[*label]).collect();
                        (names.join("|"), f1)
                    })
                    .unzip();
                Ok(Self { answers, scores, classes: Vec::new(), flops: evaluation.flops + evaluation.routing_flops })
            }
            (_, Task::Number) => {
                let (numbers, flops): (Vec<f32>, u64) = match (&model.model, &model.levels) {
                    (ServedModel::Classifier(classifier), _) => {
                        let outputs = classifier.probabilities_of_all(&encoded, BATCH)?;
                        (outputs.into_iter().flatten().collect(), full())
                    }
                    (_, levels) => {
                        let evaluation = evaluate(&model.model, &model.output_texts(&encoded), BATCH)?;
                        let number = |row: &Vec<f32>| levels.as_ref().map(|levels| levels.number(row));
                        let numbers = evaluation.probabilities.iter().filter_map(number).collect();
                        (numbers, evaluation.flops + evaluation.routing_flops)
                    }
                };
                let errors = numbers
                    .iter()
                    .zip(&encoded.samples)
                    .map(|(number, row)| -f64::from((number - row.targets[0]).abs()));
                let scores = errors.collect();
                let answers = numbers.iter().map(f32::to_string).collect();
                Ok(Self { answers, scores, classes: Vec::new(), flops })
            }
            _ => Self::of_classes(&model.model, texts, &encoded, order),
        }
    }

    fn of_classes(model: &ServedModel, texts: &Dataset, encoded: &EncodedDataset, order: &[usize]) -> Result<Self> {
        let evaluation = evaluate(model, encoded, BATCH)?;
        let classes: Vec<usize> = evaluation.labels.iter().map(|own| order[*own as usize]).collect();
        let right = classes.iter().zip(&texts.examples).map(|(class, row)| f64::from(u8::from(*class == row.label)));
        let scores = right.collect();
        let answers = classes.iter().map(|class| texts.labels[*class].clone()).collect();
        Ok(Self { answers, scores, classes, flops: evaluation.flops + evaluation.routing_flops })
    }

    fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len().max(1) as f64
    }
}

/// Results of a comparison, for printing.
struct Facts<'a> {
    texts: &'a Dataset,
    model: &'a TextModel,
    a: &'a Side,
    b: &'a Side,
    difference: Difference,
}

impl Facts<'_> {
    /// Name of the score by which the models are compared.
    fn score(&self) -> &'static str {
        match self.model.task() {
            Task::Class => "accuracy",
            Task::Labels => "F1 of a text's labels",
            Task::Number => "minus the absolute error",
        }
    }

    /// Factor by which score differences are multiplied for printing: 100 for shares (percentage points), 1 for
    /// numbers.
    fn points(&self) -> f64 {
        if self.model.task() == Task::Number { 1.0 } else { 100.0 }
    }

    fn changed(&self) -> usize {
        self.a.answers.iter().zip(&self.b.answers).filter(|(a, b)| a != b).count()
    }

    /// Number of rows that only the first model answers right, and number of rows that only the second model answers
    /// right.
    fn alone(&self) -> [usize; 2] {
        let better = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a > b).count();
        [better(&self.a.scores, &self.b.scores), better(&self.b.scores, &self.a.scores)]
    }

    /// Comparison of the models by class: class name, number of rows, and number of right answers by each model.
    fn by_class(&self) -> Vec<(&str, usize, usize, usize)> {
        let mut classes: Vec<_> = self.texts.labels.iter().map(|label| (&**label, 0, 0, 0)).collect();
        for ((row, a), b) in self.texts.examples.iter().zip(&self.a.classes).zip(&self.b.classes) {
            let class = &mut classes[row.label];
            class.1 += 1;
            class.2 += usize::from(*a == row.label);
            class.3 += usize::from(*b == row.label);
        }
        classes
    }

    fn json(&self) -> Value {
        let [only_a, only_b] = self.alone();
        let class =
            |(class, rows, a, b): &(&str, usize, usize, usize)| json!({ "class": class, "rows": rows, "a": a, "b": b });
        json!({
            "data": self.texts.name,
            "rows": self.texts.len(),
            "score": self.score(),
            "a": { "score": self.a.mean(), "flops": self.a.flops },
            "b": { "score": self.b.mean(), "flops": self.b.flops },
            "difference": self.difference,
            "changed": self.changed(),
            "better_a": only_a,
            "better_b": only_b,
            "classes": if self.a.classes.is_empty() { Value::Null } else { self.by_class().iter().map(class).collect() },
        })
    }

    fn text(&self) -> String {
        let mut table = Table::new(["", "A", "B"]);
        let rows = self.texts.len().max(1) as f64;
        table.push([self.score().into(), format!("{:.4}", self.a.mean()), format!("{:.4}", self.b.mean())]);
        let million = |side: &Side| format!("{:.1}", side.flops as f64 / rows / 1e6);
        table.push(["MFLOP a text".into(), million(self.a), million(self.b)]);
        let (difference, points, [only_a, only_b]) = (self.difference, self.points(), self.alone());
        let unit = if points == 1.0 { "" } else { " points" };
        let changed = self.changed();
        let mut text = format!(
            "{}: {} rows\n\n{}\nB − A: {:+.2}{unit} (95 % interval {:+.2} to {:+.2})\n{changed} rows changed ({:.1} %): A is \
             better in {only_a}, B in {only_b}\n",
            self.texts.name,
            self.texts.len(),
            table.text(),
            points * difference.mean,
            points * difference.low,
            points * difference.high,
            100.0 * changed as f64 / rows,
        );
        if !self.a.classes.is_empty() {
            let mut table = Table::new(["class", "rows", "A right", "B right"]);
            for (class, rows, a, b) in self.by_class() {
                table.push([class.to_owned(), rows.to_string(), a.to_string(), b.to_string()]);
            }
            text += &format!("\n{}", table.text());
        }
        text
    }
}

/// Writes the rows with different answers, in descending order of the difference between their scores.
fn write_changed(path: &PathBuf, texts: &Dataset, model: &TextModel, [a, b]: [&Side; 2]) -> Result<()> {
    let mut rows: Vec<usize> = (0..texts.len()).filter(|row| a.answers[*row] != b.answers[*row]).collect();
    let difference = |row: &usize| (b.scores[*row] - a.scores[*row]).abs();
    rows.sort_by(|x, y| difference(y).total_cmp(&difference(x)));
    let truth = |row: usize| -> String {
        let example = &texts.examples[row];
        match model.task() {
            Task::Class => texts.labels[example.label].clone(),
            Task::Number => example.targets[0].to_string(),
            Task::Labels => {
                let there = texts.labels.iter().zip(&example.targets).filter(|(_, target)| **target >= 0.5);
                there.map(|(label, _)| label.as_str()).collect::<Vec<_>>().join("|")
            }
        }
    };
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    write_atomically(path, |file| {
        writeln!(file, "row,label,a,b,text")?;
        for row in rows {
            let example = &texts.examples[row];
            // The two texts of a pair are written as two lines.
            let text =
                example.pair.as_ref().map_or_else(|| example.text.clone(), |pair| format!("{}\n{pair}", example.text));
            let cells = [&truth(row), &a.answers[row], &b.answers[row], &text].map(|cell| quoted(cell));
            writeln!(file, "{},{}", row + 1, cells.join(","))?;
        }
        Ok(())
    })?;
    Ok(())
}
