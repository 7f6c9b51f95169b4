//! Sections of the HTML page of an analysis: sentences, figures and tables.

use super::analysis::Analysis;
use super::calibration::Calibration;
use super::card::conclusions;
use super::classes::{ClassAnalysis, ClassScore, ConfusionCell};
use super::coverage::CoveragePoint;
use super::estimate::Estimate;
use super::figures;
use super::labels::LabelAnalysis;
use super::numbers::NumberAnalysis;
use super::parts::RowGroup;
use super::row_text::RowText;
use crate::error::Result;

/// Maximum number of classes for which the HTML page shows a confusion matrix.
const MATRIX: usize = 30;
/// Maximum number of pairs of confused classes on the HTML page.
const PAIRS: usize = 30;

/// Section of the HTML page of an analysis.
#[derive(Debug, Clone)]
pub struct Section {
    /// Identifier of the section, which is its anchor in the page's URL.
    pub id: &'static str,
    /// Heading of the section.
    pub title: &'static str,
    /// Sentences before the figures and tables of the section.
    pub lead: Vec<String>,
    /// Figures of the section.
    pub figures: Vec<Figure>,
    /// Tables of the section.
    pub grids: Vec<Grid>,
}

impl Section {
    /// Creates an empty section.
    pub fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, lead: Vec::new(), figures: Vec::new(), grids: Vec::new() }
    }

    /// Adds a table to the section.
    #[must_use]
    pub fn grid(mut self, grid: Grid) -> Self {
        self.grids.push(grid);
        self
    }

    fn say(mut self, sentence: impl Into<String>) -> Self {
        self.lead.push(sentence.into());
        self
    }

    fn figure(mut self, svg: &str, alt: &str) -> Self {
        self.figures.push(Figure::new(svg, alt));
        self
    }
}

/// SVG figure with a text alternative.
#[derive(Debug, Clone)]
pub struct Figure {
    /// SVG of the figure without its opening `<svg`.
    pub svg: String,
    /// Text alternative for readers who cannot see the figure.
    pub alt: String,
}

impl Figure {
    /// Creates a figure from SVG and its text alternative.
    pub fn new(svg: &str, alt: &str) -> Self {
        Self { svg: svg.trim_start().strip_prefix("<svg").unwrap_or(svg).to_owned(), alt: alt.to_owned() }
    }
}

/// Cell of a table, with its style.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Text in the cell.
    pub text: String,
    /// CSS class of the cell, for a number, a text of several words, or a shade.
    pub style: &'static str,
}

/// Table whose first column contains the names of the rows.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Caption of the table.
    pub caption: String,
    /// Titles of the columns.
    pub titles: Vec<Cell>,
    /// Rows of cells.
    pub rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// Creates a table with numbers in all columns after the first.
    pub fn new(caption: &str, titles: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        let cells = |row: Vec<String>| {
            let style = |column| if column == 0 { "" } else { "number" };
            row.into_iter().enumerate().map(|(column, text)| Cell { text, style: style(column) }).collect()
        };
        Self { caption: caption.into(), titles: cells(titles), rows: rows.into_iter().map(cells).collect() }
    }

    /// Creates a table with two columns: names and values.
    pub fn pairs(caption: &str, pairs: &[(String, String)]) -> Self {
        let rows = pairs.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        Self::new(caption, vec![String::new(), "value".into()], rows).texts(&[1])
    }

    /// Styles columns as text; all others contain numbers.
    fn texts(mut self, columns: &[usize]) -> Self {
        for column in columns {
            let rows = std::iter::once(&mut self.titles).chain(&mut self.rows);
            rows.for_each(|row| row[*column].style = "text");
        }
        self
    }
}

/// Creates the sections of the HTML page for an analysis.
///
/// # Errors
/// [`Error::Curve`](crate::Error::Curve) if a figure cannot be drawn.
pub fn sections(analysis: &Analysis) -> Result<Vec<Section>> {
    match analysis {
        Analysis::Classes(analysis) => of_classes(analysis),
        Analysis::Labels(analysis) => of_labels(analysis),
        Analysis::Numbers(analysis) => of_numbers(analysis),
    }
}

fn of_classes(analysis: &ClassAnalysis) -> Result<Vec<Section>> {
    let mut summary = vec![estimate("accuracy", analysis.accuracy), estimate("macro F1", Some(analysis.macro_f1))];
    summary.extend(analysis.calibration.as_ref().map(calibration_row));
    let mut sections = vec![
        Section { lead: conclusions(analysis), ..Section::new("summary", "Summary") }
            .grid(estimates("Scores with 95 % intervals", summary)),
        classes("classes", "Classes", "class", &analysis.classes),
        confusion(analysis),
        errors(
            "Wrong answers of the highest probabilities; rows are counted from 1. Look at these labels, too: some may be wrong.",
            &["label", "answer", "probability"],
            analysis.surest_errors.iter().map(|error| {
                let cells = [error.label.clone(), error.predicted.clone(), format!("{:.3}", error.probability)];
                (&error.text, cells.to_vec())
            }),
        ),
        coverage(&analysis.coverage)?,
    ];
    sections.extend(calibration(analysis.calibration.as_ref(), "right answers")?);
    sections.push(
        Section::new("parts", "Where it is right")
            .say("Only texts on which the exits before are unsure run further layers: their accuracy is lower for this reason.")
            .say("Lengths are counted after cutting.")
            .grid(parts("Accuracy by depth", "exit", "accuracy", &analysis.by_depth))
            .grid(parts("Accuracy by length", "tokens", "accuracy", &analysis.by_length))
            .grid(parts("Accuracy by rows of the class", "classes", "accuracy", &analysis.by_class_size)),
    );
    sections.push(formulas(&[CLASS_FORMULAS, CALIBRATION_FORMULAS]));
    Ok(sections)
}

fn of_labels(analysis: &LabelAnalysis) -> Result<Vec<Section>> {
    let mut summary = vec![
        estimate("macro F1", Some(analysis.macro_f1)),
        estimate("micro F1", analysis.micro_f1),
        estimate("rows with all labels right", analysis.subset_accuracy),
    ];
    summary.extend(analysis.calibration.as_ref().map(calibration_row));
    let mut sections = vec![
        Section::new("summary", "Summary")
            .say(format!(
                "{} rows have no label, and for {} rows the model gives none.",
                analysis.rows_without_labels, analysis.answers_without_labels
            ))
            .grid(estimates("Scores with 95 % intervals", summary)),
        classes("labels", "Labels", "label", &analysis.labels),
        errors(
            "Labels that are given wrongly with a high probability, or left out with a low one. Look at the labels of these \
             rows, too: some of them may be wrong.",
            &["label", "error", "probability"],
            analysis.surest_errors.iter().map(|error| {
                let problem = if error.left_out { "left out" } else { "given wrongly" };
                let cells = [error.label.clone(), problem.into(), format!("{:.3}", error.probability)];
                (&error.text, cells.to_vec())
            }),
        ),
    ];
    sections.extend(calibration(analysis.calibration.as_ref(), "rows with the label")?);
    sections.push(
        Section::new("parts", "Where it is right")
            .grid(parts("Rows with all labels right, by number of labels", "labels", "share", &analysis.by_labels))
            .grid(parts("Rows with all labels right, by length", "tokens", "share", &analysis.by_length)),
    );
    sections.push(formulas(&[CLASS_FORMULAS, CALIBRATION_FORMULAS]));
    Ok(sections)
}

fn of_numbers(analysis: &NumberAnalysis) -> Result<Vec<Section>> {
    let spearman = vec!["Spearman's correlation".into(), format!("{:.4}", analysis.spearman), "–".into()];
    let summary = vec![
        estimate("Pearson's correlation", Some(analysis.pearson)),
        spearman,
        estimate("mean absolute error", analysis.mean_absolute_error),
        estimate("root mean squared error", analysis.root_mean_squared_error),
        estimate("mean of prediction − true number", analysis.bias),
    ];
    let group = |group: &super::numbers::PredictionGroup| {
        let value = group.value;
        vec![
            format!("{:.3}", group.predicted),
            group.rows.to_string(),
            format!("{:.3}", value.value),
            format!("{:.3} to {:.3}", value.low, value.high),
        ]
    };
    let titles = ["mean prediction", "rows", "mean true number", "95 % interval"].map(String::from).to_vec();
    let groups = analysis.by_prediction.iter().map(group).collect();
    Ok(vec![
        Section::new("summary", "Summary").grid(estimates("Scores with 95 % intervals", summary)),
        Section::new("calibration", "Predictions and true numbers")
            .say("Rows in ten groups by their prediction. On the dashed line, predictions are right on average.")
            .figure(
                &figures::predictions(&analysis.by_prediction)?,
                "Mean true number against mean prediction of each group. The table has the same numbers.",
            )
            .grid(Grid::new("True numbers by prediction", titles, groups)),
        errors(
            "Rows of the largest errors. Look at their numbers, too: some of them may be wrong.",
            &["number", "prediction"],
            analysis
                .largest_errors
                .iter()
                .map(|error| (&error.text, vec![format!("{}", error.value), format!("{:.3}", error.predicted)])),
        ),
        Section::new("parts", "Where it is right")
            .grid(parts("Mean absolute error by true number", "number", "error", &analysis.by_value))
            .grid(parts("Mean absolute error by length", "tokens", "error", &analysis.by_length)),
        formulas(&[NUMBER_FORMULAS]),
    ])
}

fn estimate(name: &str, estimate: Option<Estimate>) -> Vec<String> {
    let [value, interval] = cells(estimate, "–");
    vec![name.into(), value, interval]
}

/// Formats an estimate as two cells, value and interval. For a missing value, the first cell is `without`.
fn cells(estimate: Option<Estimate>, without: &str) -> [String; 2] {
    match estimate {
        Some(score) => [format!("{:.4}", score.value), format!("{:.4} to {:.4}", score.low, score.high)],
        None => [without.into(), "–".into()],
    }
}

fn estimates(caption: &str, rows: Vec<Vec<String>>) -> Grid {
    Grid::new(caption, ["score", "value", "95 % interval"].map(String::from).to_vec(), rows)
}

fn calibration_row(calibration: &Calibration) -> Vec<String> {
    let chance = format!("{:.4} by chance alone", calibration.by_chance);
    vec!["expected calibration error".into(), format!("{:.4}", calibration.error), chance]
}

fn classes(id: &'static str, title: &'static str, unit: &str, scores: &[ClassScore]) -> Section {
    let mut order: Vec<&ClassScore> = scores.iter().collect();
    let f1 = |score: &ClassScore| score.f1.map_or(2.0, |f1| f1.value);
    order.sort_by(|a, b| f1(a).total_cmp(&f1(b)));
    let row = |score: &&ClassScore| {
        let [f1, interval] = cells(score.f1, "–");
        let rows = if score.rows == 0 { "no rows".into() } else { score.rows.to_string() };
        let precision = cells(score.precision, "no answers")[0].clone();
        let recall = cells(score.recall, "–")[0].clone();
        vec![score.name.clone(), rows, precision, recall, f1, interval]
    };
    let titles = [unit, "rows", "precision", "recall", "F1", "95 % interval of F1"].map(String::from).to_vec();
    Section::new(id, title).say("The lowest F1 comes first.").grid(Grid::new(
        &format!("Scores of each {unit}"),
        titles,
        order.iter().map(row).collect(),
    ))
}

fn confusion(analysis: &ClassAnalysis) -> Section {
    let names: Vec<&str> = analysis.classes.iter().map(|class| &*class.name).collect();
    let wrong = || analysis.confusion.iter().filter(|cell| cell.label != cell.predicted);
    let mut section = Section::new("confusion", "Confused classes");
    if names.len() <= MATRIX {
        section.grids.push(matrix(&names, &analysis.confusion));
        section
            .lead
            .push("Each row is a class, each column an answer. Right answers are on the diagonal, in bold.".into());
    } else {
        section.lead.push(format!("With more than {MATRIX} classes, the matrix is in the JSON alone."));
    }
    let rows_of = |name: &str| analysis.classes.iter().find(|class| class.name == name).map_or(0, |class| class.rows);
    let pair = |cell: &ConfusionCell| {
        let share = 100.0 * cell.rows as f64 / rows_of(&cell.label).max(1) as f64;
        vec![cell.label.clone(), cell.predicted.clone(), cell.rows.to_string(), format!("{share:.1} %")]
    };
    let titles = ["class", "answer", "rows", "of the class"].map(String::from).to_vec();
    let grid = Grid::new("Most frequent errors", titles, wrong().take(PAIRS).map(pair).collect());
    section.grid(grid.texts(&[1]))
}

/// Confusion matrix as a table. Cells are shaded by their share of the rows of the true class.
fn matrix(names: &[&str], cells: &[ConfusionCell]) -> Grid {
    let place = |name: &str| names.iter().position(|own| *own == name);
    let mut counts = vec![vec![0; names.len()]; names.len()];
    for cell in cells {
        if let (Some(row), Some(column)) = (place(&cell.label), place(&cell.predicted)) {
            counts[row][column] = cell.rows;
        }
    }
    let row = |(row, name): (usize, &&str)| {
        let all: usize = counts[row].iter().sum();
        let cell = |(column, count): (usize, &usize)| {
            let share = *count as f64 / all.max(1) as f64;
            let style = match (row == column, share) {
                (true, _) => "number own",
                (false, share) if share >= 0.2 => "number dark",
                (false, share) if share >= 0.05 => "number middle",
                (false, share) if share > 0.0 => "number light",
                (false, _) => "number none",
            };
            Cell { text: count.to_string(), style }
        };
        let title = Cell { text: (*name).to_owned(), style: "" };
        std::iter::once(title).chain(counts[row].iter().enumerate().map(cell)).collect()
    };
    let titles = std::iter::once("class \\ answer").chain(names.iter().copied());
    let titles = titles
        .enumerate()
        .map(|(column, text)| Cell { text: text.into(), style: if column == 0 { "" } else { "number" } });
    Grid {
        caption: "Confusion matrix: rows of each class by their answer".into(),
        titles: titles.collect(),
        rows: names.iter().enumerate().map(row).collect(),
    }
}

fn errors<'a>(lead: &str, titles: &[&str], rows: impl Iterator<Item = (&'a RowText, Vec<String>)>) -> Section {
    let row = |(text, cells): (&RowText, Vec<String>)| {
        let shown = match &text.pair {
            Some(pair) => format!("{}\n{pair}", text.text),
            None => text.text.clone(),
        };
        std::iter::once(text.row.to_string()).chain(cells).chain([shown]).collect()
    };
    let rows: Vec<Vec<String>> = rows.map(row).collect();
    let section = Section::new("errors", "Surest errors");
    if rows.is_empty() {
        return section.say("There is no wrong answer.");
    }
    let last = titles.len() + 1;
    let titles = std::iter::once("row").chain(titles.iter().copied()).chain(["text"]).map(String::from).collect();
    section.say(lead).grid(Grid::new("Surest errors", titles, rows).texts(&[1, 2, last]))
}

fn coverage(points: &[CoveragePoint]) -> Result<Section> {
    let row = |point: &CoveragePoint| {
        let [accuracy, interval] = cells(Some(point.accuracy), "–");
        let share = format!("{:.1} %", 100.0 * point.coverage);
        vec![format!("{:.4}", point.min_probability), point.rows.to_string(), share, accuracy, interval]
    };
    let titles = ["least probability", "rows", "share", "accuracy", "95 % interval"].map(String::from).to_vec();
    Ok(Section::new("coverage", "Sure answers")
        .say(
            "If only answers of at least some probability are given, fewer texts are answered, and more of the answers are \
             right. The least probability is the value of --min-probability.",
        )
        .figure(
            &figures::coverage(points)?,
            "Accuracy against the share of answered texts, with 95 % intervals. The table has the same numbers.",
        )
        .grid(Grid::new("Accuracy of the surest answers", titles, points.iter().map(row).collect())))
}

fn calibration(calibration: Option<&Calibration>, y_name: &str) -> Result<Option<Section>> {
    let Some(calibration) = calibration else { return Ok(None) };
    let row = |bin: &super::calibration::Bin| {
        let [right, interval] = cells(Some(bin.right), "–");
        vec![format!("{:.4}", bin.probability), bin.rows.to_string(), right, interval]
    };
    let titles = ["mean probability", "rows", y_name, "95 % interval"].map(String::from).to_vec();
    let section = Section::new("calibration", "Calibration")
        .say(format!(
            "Expected calibration error: {:.4}. A perfectly calibrated model would show {:.4} on these rows by chance. On the \
             dashed line, probabilities are right.",
            calibration.error, calibration.by_chance
        ))
        .figure(
            &figures::reliability(&calibration.bins, y_name)?,
            "Reliability: share of right answers against mean probability, with 95 % intervals. The table has the same numbers.",
        )
        .grid(Grid::new("Reliability", titles, calibration.bins.iter().map(row).collect()));
    Ok(Some(section))
}

fn parts(caption: &str, unit: &str, score: &str, parts: &[RowGroup]) -> Grid {
    let row = |part: &RowGroup| {
        let [score, interval] = cells(Some(part.score), "–");
        vec![part.name.clone(), part.rows.to_string(), score, interval]
    };
    let titles = [unit, "rows", score, "95 % interval"].map(String::from).to_vec();
    Grid::new(caption, titles, parts.iter().map(row).collect())
}

const CLASS_FORMULAS: &[&str] = &[
    "Precision is TP / (TP + FP), recall TP / (TP + FN), and F1 = 2 TP / (2 TP + FP + FN).",
    "Intervals are over the draw of the texts. Shares have the interval of Wilson (1927).",
    "F1 = 2J / (1 + J) rises with J = TP / (TP + FP + FN), whose interval is Wilson's (Hand, Christen and Kirielle 2021).",
    "Macro F1 is the mean of all F1, with the interval of the delta method (Takahashi et al. 2022). It has no width where \
     all answers are right.",
];

const CALIBRATION_FORMULAS: &[&str] = &[
    "The expected calibration error is the mean of |share of right answers − mean probability| over ten bins of equal mass, \
     weighted by rows. Answers of one probability are in one bin.",
    "This error is biased upwards, since chance differences never cancel (Roelofs et al. 2022). The error by chance is \
     Σ √(2/π · Σ p(1 − p)) / rows, over the bins.",
];

const NUMBER_FORMULAS: &[&str] = &[
    "Pearson's correlation has the interval of Fisher's transformation.",
    "Means have a normal interval over the draw of the texts. The root mean squared error has the roots of the ends of the \
     mean square's interval.",
];

fn formulas(lists: &[&[&str]]) -> Section {
    let mut section = Section::new("formulas", "How it is computed");
    section.lead = lists.concat().into_iter().map(String::from).collect();
    section
}
