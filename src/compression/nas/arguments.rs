//! The flags of a search for architectures, and the plan that they give once they are checked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use dht_nas::{
    Architecture, Control, CostMeasure, Count, GateLoss, GumbelSoftmax, HardConcrete, Latency, NasCost, NasSettings,
    NasSpace, RelaxationKind, Sigmoid, Update, WeightedSoftmax, WidthSampling,
};
use dht_transformer::flops::BlockShape;

use crate::compression::arguments::{CompressionArguments, CompressionPlan};
use crate::compression::limits::{MOST, refused};
use crate::error::Result;

/// Search for smaller architectures of a student while it is distilled, by the five steps of the report on differentiable search for
/// BERT.
///
/// Without --data it generates its own texts and needs neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json, a figure (SVG) of each architecture and, below steps, a Hugging Face directory of each model into \
                  --out. A stopped run goes on where it stopped, by the same command; further spaces, targets, seeds and --beside add to \
                  the steps that are there. A directory with the name of a task of GLUE is judged by its metric, and read as pairs \
                  where the task has pairs."
)]
pub struct NasArguments {
    /// Texts, teacher and student
    #[command(flatten)]
    pub common: CompressionArguments,
    /// What is searched, each by itself: inputs, outputs, neurons, heads, all, or several of them as inputs+heads
    #[arg(long, value_name = "SPACES", value_delimiter = ',', default_value = "inputs")]
    pub space: Vec<SpaceChoice>,
    /// The shares of each space that are to stay, above 0 and at most 1
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0.5", allow_negative_numbers = true)]
    pub targets: Vec<f64>,
    /// What the shares are of: the space's dimensions, FLOPs or seconds of the whole student, or parameters of its layers
    #[arg(long, value_enum, default_value_t)]
    pub cost: CostChoice,
    /// Settings of the search: ours, or those of the report
    #[arg(long, value_enum, default_value_t)]
    pub settings: SearchSettingsChoice,
    /// How units are kept in degrees, of dimensions, neurons and heads alike [default: that of --settings]
    #[arg(long, value_enum)]
    pub relaxation: Option<RelaxationChoice>,
    /// λ, the weight of the report's cost term; 0 searches without one; with --settings report alone [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lambda: Option<f64>,
    /// t, the tolerance of the report's cost term around the target, between 0 and 1; with --settings report alone [default: 0.05]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Gates that the cost is computed at: as expected, or as thresholded now [default: expected]
    #[arg(long, value_enum)]
    pub count: Option<CountChoice>,
    /// Peak learning rate of the gates: about how far a step moves them [default: 0.05; 10 with --settings report, where a step crosses
    /// from 5 to -5]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub gate_rate: Option<f64>,
    /// Loss that trains the gates: the weights' own, or cross-entropy on the labels [default: task; labels with --settings report]
    #[arg(long, value_enum)]
    pub gate_loss: Option<GateLossChoice>,
    /// Reading of Normal(0, 0.01), from which softmax weights begin [default: variance]
    #[arg(long, value_enum)]
    pub normal: Option<NormalChoice>,
    /// Softmax weights of a block's n units: as printed, or n times as large [default: times-n; printed with --settings report]
    #[arg(long, value_enum)]
    pub head_weights: Option<HeadWeightsChoice>,
    /// Train weights on one half of the rows and gates on the other, in turns
    #[arg(long)]
    pub alternating: bool,
    /// With --alternating: gates learn from the loss after the weights' next step (DARTS of second order), in four passes instead of one
    #[arg(long, requires = "alternating")]
    pub second_order: bool,
    /// Passes of each of both stages of the search; of the second the best on validation rows is kept
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub search_epochs: usize,
    /// Go on from the searched weights, not from the general student's
    #[arg(long)]
    pub carry: bool,
    /// Seeds 0 to N − 1 of the distillation after the search
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Add architectures of the same size: at least five at random, others of as many units in each layer, by the weights' magnitude, by the
    /// loss's gradient
    #[arg(long)]
    pub beside: bool,
    /// Directory for everything that is written
    #[arg(long, value_name = "DIR", default_value = "target/dht/nas")]
    pub out: PathBuf,
}

/// `inputs`, `inputs+heads`, `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceChoice(pub(super) NasSpace);

impl SpaceChoice {
    fn parts(self) -> [(&'static str, bool); 4] {
        let NasSpace { inputs, outputs, neurons, heads, .. } = self.0;
        [("inputs", inputs), ("outputs", outputs), ("neurons", neurons), ("heads", heads)]
    }
}

impl FromStr for SpaceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(NasSpace::default()));
        }
        let mut space = NasSpace::NONE;
        for part in text.split('+') {
            match part {
                "inputs" => space.inputs = true,
                "outputs" => space.outputs = true,
                "neurons" => space.neurons = true,
                "heads" => space.heads = true,
                "all" => return Err("all has every part: it stands alone".into()),
                _ => {
                    return Err(format!(
                        "{part:?} is no space: expected inputs, outputs, neurons, heads, all, or several joined by +"
                    ));
                }
            }
        }
        Ok(Self(space))
    }
}

impl fmt::Display for SpaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parts().into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
        f.write_str(&if names.len() == 4 { "all".to_owned() } else { names.join("+") })
    }
}

/// What a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CostChoice {
    /// The units of the searched parts: the report's tables.
    #[default]
    Dimensions,
    /// FLOPs of the whole student for a text of the maximum length.
    Flops,
    /// Parameters of its layers.
    Parameters,
    /// Its seconds on this machine for texts of the maximum length, from measurements of narrower copies.
    Latency,
}

/// How an architecture is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SearchSettingsChoice {
    /// Hard-concrete gates under a multiplier that adapts; units are chosen by the target.
    #[default]
    Ours,
    /// The report's: σ(α) masks cut at .01, softmax-weighted heads, gates trained by the labels and the cost term of TAS; the best of every
    /// 50 steps by the task's metric.
    Report,
}

/// Gates that the cost is computed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CountChoice {
    /// At their degrees.
    Expected,
    /// At 0 and 1.
    Thresholded,
}

/// Loss that trains the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GateLossChoice {
    /// The weights' own.
    Task,
    /// Cross-entropy on the labels.
    Labels,
}

/// Reading of the second number of Normal(0, 0.01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormalChoice {
    /// The variance is 0.01.
    Variance,
    /// The standard deviation is 0.01.
    Deviation,
}

/// Softmax weights of a block's n units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeadWeightsChoice {
    /// softmax(α).
    Printed,
    /// n·softmax(α).
    TimesN,
}

/// How units are kept in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RelaxationChoice {
    /// σ(α) masks.
    Sigmoid,
    /// Softmax weights of each block.
    Softmax,
    /// Gumbel-softmax with straight-through.
    Gumbel,
    /// Gates that are 0 or 1 with positive probability.
    HardConcrete,
    /// Two sampled widths, mixed by channel-wise interpolation.
    Widths,
}

impl RelaxationChoice {
    /// The relaxation; `report`: with the report's softmax weights, not ours.
    fn kind(self, report: bool) -> RelaxationKind {
        match self {
            Self::Softmax if report => RelaxationKind::WeightedSoftmax(WeightedSoftmax::printed()),
            Self::Sigmoid => RelaxationKind::Sigmoid(Sigmoid::default()),
            Self::Softmax => RelaxationKind::WeightedSoftmax(WeightedSoftmax::default()),
            Self::Gumbel => RelaxationKind::GumbelSoftmax(GumbelSoftmax::default()),
            Self::HardConcrete => RelaxationKind::HardConcrete(HardConcrete::default()),
            Self::Widths => RelaxationKind::WidthSampling(WidthSampling::default()),
        }
    }
}

/// Checked [`NasArguments`].
#[derive(Debug, Clone)]
pub(super) struct NasPlan {
    pub(super) searches: Vec<(SpaceChoice, f64)>,
    /// The sizes of a layer, and how many there are.
    student: (BlockShape, usize),
    /// Without space and target.
    settings: NasSettings,
    pub(super) search_epochs: usize,
    pub(super) carry: bool,
    pub(super) seeds: u64,
    pub(super) beside: bool,
    /// The example and all flags that results depend on.
    pub(super) command: Vec<String>,
    /// The same without what only selects steps: spaces, targets, seeds and what stands beside.
    pub(super) steps: Vec<String>,
}

impl NasPlan {
    /// Checks the flags and that every target can be reached, before any data are read.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument); [`Error::Nas`](crate::Error::Nas) for a target outside (0, 1] or one that the
    /// minimum sizes do not reach.
    pub(super) fn new(arguments: &NasArguments, common: &CompressionPlan) -> Result<Self> {
        let (epochs, seeds) = (arguments.search_epochs, arguments.seeds);
        if !(1..=MOST as usize).contains(&epochs) {
            return Err(refused("search-epochs", format!("1 to {MOST}"), epochs));
        }
        if !(1..=MOST).contains(&seeds) {
            return Err(refused("seeds", format!("1 to {MOST}"), seeds));
        }
        if arguments.alternating && common.augment.augment.is_some() {
            let expected = "without --augment: copies of one text would fall into both halves";
            return Err(refused("alternating", expected, "with --augment"));
        }
        let measure = match arguments.cost {
            CostChoice::Dimensions => CostMeasure::Dimensions,
            CostChoice::Flops | CostChoice::Latency => CostMeasure::Flops { tokens: common.run.max_length },
            CostChoice::Parameters => CostMeasure::Parameters,
        };
        let mut searches: Vec<(SpaceChoice, f64)> = Vec::new();
        for space in &arguments.space {
            for target in &arguments.targets {
                if searches.contains(&(*space, *target)) {
                    return Err(refused("targets", format!("each once for {space}"), format!("{target} twice")));
                }
                searches.push((*space, *target));
            }
        }
        let update = match (arguments.alternating, arguments.second_order) {
            (true, true) => Update::Unrolled { rate: common.student_rate },
            (true, false) => Update::Alternating,
            (false, _) => Update::Joint,
        };
        let settings = NasSettings { measure, update, ..search_settings(arguments)? };
        let size = common.student;
        let head_dim = size.hidden / size.heads;
        let shape = BlockShape { hidden: size.hidden, heads: size.heads, head_dim, ffn: size.ffn };
        let plan = Self {
            searches,
            student: (shape, size.layers),
            settings,
            search_epochs: epochs,
            carry: arguments.carry,
            seeds,
            beside: arguments.beside,
            command: command(arguments, common, true),
            steps: command(arguments, common, false),
        };
        // What can be reached in seconds is known once they are measured.
        if arguments.cost != CostChoice::Latency {
            plan.check_targets(0.0)?;
        }
        Ok(plan)
    }

    /// The same with shares of seconds.
    ///
    /// # Errors
    /// [`Error::Nas`](crate::Error::Nas) for a target that the minimum sizes do not reach.
    pub(super) fn with_latency(self, latency: Latency) -> Result<Self> {
        let settings = NasSettings { measure: CostMeasure::Latency(latency), ..self.settings };
        let plan = Self { settings, ..self };
        plan.check_targets(latency.fixed)?;
        Ok(plan)
    }

    /// `fixed`: what comes beside the layers.
    fn check_targets(&self, fixed: f64) -> Result<()> {
        let (shape, layers) = self.student;
        for (space, target) in &self.searches {
            let groups = space.0.groups(shape, layers)?;
            let equal: Vec<Vec<f64>> = groups.iter().map(|group| vec![0.0; group.units()]).collect();
            let cost = NasCost::new(self.settings.measure, shape, layers, groups, fixed)?;
            Architecture::chosen(&cost, &equal, *target).map_err(|error| match error {
                dht_nas::Error::Target { target, least, most } => {
                    let expected =
                        format!("{least:.4} to {most:.4} with --space {space}, which its minimum sizes give");
                    refused("targets", expected, target)
                }
                error => error.into(),
            })?;
        }
        Ok(())
    }

    /// The settings of one search.
    pub(super) fn settings(&self, space: SpaceChoice, target: f64) -> NasSettings {
        NasSettings { space: space.0, target, ..self.settings.clone() }
    }

    /// The control of a search's second stage: the target has come down in the first.
    pub(super) fn second_control(control: Control) -> Control {
        match control {
            Control::Lagrangian { rate, penalty, .. } => Control::Lagrangian { rate, penalty, warm_up: 0.0 },
            other => other,
        }
    }
}

/// The settings that the flags of a search give, each in its range.
fn search_settings(arguments: &NasArguments) -> Result<NasSettings> {
    let mut settings = match arguments.settings {
        SearchSettingsChoice::Ours => NasSettings::default(),
        SearchSettingsChoice::Report => NasSettings::report(NasSpace::inputs(), NasSettings::default().target),
    };
    let report = arguments.settings == SearchSettingsChoice::Report;
    if let Some(relaxation) = arguments.relaxation.map(|relaxation| relaxation.kind(report)) {
        (settings.relaxation, settings.head_relaxation) = (relaxation.clone(), relaxation);
    }
    for (flag, value) in [("lambda", arguments.lambda), ("tolerance", arguments.tolerance)] {
        let Some(value) = value else { continue };
        let Control::Tas { weight, tolerance } = &mut settings.control else {
            return Err(refused(flag, "--settings report, whose cost term has it", "--settings ours"));
        };
        let range = match flag {
            "lambda" if value >= 0.0 && value.is_finite() => {
                *weight = value;
                continue;
            }
            "lambda" => "a finite number, at least 0",
            _ if value > 0.0 && value < 1.0 => {
                *tolerance = value;
                continue;
            }
            _ => "a number between 0 and 1",
        };
        return Err(refused(flag, range, value));
    }
    if let Some(rate) = arguments.gate_rate {
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(refused("gate-rate", "a finite number above 0", rate));
        }
        settings.gate_rate = rate;
    }
    settings.count = match arguments.count {
        None => settings.count,
        Some(CountChoice::Expected) => Count::Expected,
        Some(CountChoice::Thresholded) => Count::Thresholded,
    };
    settings.gate_loss = match arguments.gate_loss {
        None => settings.gate_loss,
        Some(GateLossChoice::Task) => GateLoss::Task,
        Some(GateLossChoice::Labels) => GateLoss::Labels,
    };
    let mut weighted = false;
    for relaxation in [&mut settings.relaxation, &mut settings.head_relaxation] {
        if let RelaxationKind::WeightedSoftmax(softmax) = relaxation {
            weighted = true;
            if arguments.normal == Some(NormalChoice::Deviation) {
                softmax.variance = softmax.variance.powi(2);
            }
            let times_n = arguments.head_weights.map(|weights| weights == HeadWeightsChoice::TimesN);
            softmax.times_n = times_n.unwrap_or(softmax.times_n);
        }
    }
    let of_weights = [("normal", arguments.normal.is_some()), ("head-weights", arguments.head_weights.is_some())];
    match of_weights.into_iter().find(|(_, given)| *given && !weighted) {
        Some((flag, _)) => Err(refused(flag, "softmax weights: --settings report, or --relaxation softmax", "none")),
        None => Ok(settings),
    }
}

/// The example and its flags; `selected`: with those that only select steps.
fn command(arguments: &NasArguments, common: &CompressionPlan, selected: bool) -> Vec<String> {
    let mut words = vec!["nas".to_owned()];
    words.extend(common.flags.iter().cloned());
    let joined = |items: Vec<String>| items.join(",");
    let selection = [
        ("space", Some(joined(arguments.space.iter().map(ToString::to_string).collect()))),
        ("targets", Some(joined(arguments.targets.iter().map(ToString::to_string).collect()))),
        ("seeds", Some(arguments.seeds.to_string()).filter(|_| arguments.seeds != 1)),
    ];
    let settings = [
        ("cost", other_than_default(arguments.cost)),
        ("settings", other_than_default(arguments.settings)),
        ("relaxation", arguments.relaxation.and_then(name)),
        ("lambda", arguments.lambda.map(|value| value.to_string())),
        ("tolerance", arguments.tolerance.map(|value| value.to_string())),
        ("count", arguments.count.and_then(name)),
        ("gate-rate", arguments.gate_rate.map(|value| value.to_string())),
        ("gate-loss", arguments.gate_loss.and_then(name)),
        ("normal", arguments.normal.and_then(name)),
        ("head-weights", arguments.head_weights.and_then(name)),
        ("search-epochs", Some(arguments.search_epochs.to_string())),
    ];
    for (flag, value) in selection.into_iter().filter(|_| selected).chain(settings) {
        words.extend(value.into_iter().flat_map(|value| [format!("--{flag}"), value]));
    }
    let switches = [
        ("alternating", arguments.alternating),
        ("second-order", arguments.second_order),
        ("carry", arguments.carry),
        ("beside", arguments.beside && selected),
    ];
    words.extend(switches.into_iter().filter(|(_, is)| *is).map(|(flag, _)| format!("--{flag}")));
    words
}

/// As the command line has it.
fn name<T: ValueEnum>(choice: T) -> Option<String> {
    choice.to_possible_value().map(|value| value.get_name().to_owned())
}

fn other_than_default<T: ValueEnum + Default + PartialEq>(choice: T) -> Option<String> {
    if choice == T::default() { None } else { name(choice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<NasPlan> {
        let arguments = NasArguments::parse_from(std::iter::once(&"nas").chain(words));
        let common = CompressionPlan::new(&arguments.common)?;
        NasPlan::new(&arguments, &common)
    }

    #[test]
    fn spaces_are_written_as_they_are_read() {
        for text in ["inputs", "outputs", "neurons", "heads", "inputs+heads", "inputs+outputs+neurons", "all"] {
            assert_eq!(text.parse::<SpaceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("heads+inputs".parse::<SpaceChoice>().unwrap().to_string(), "inputs+heads");
        assert!("layers".parse::<SpaceChoice>().unwrap_err().contains("no space"));
    }

    #[test]
    fn every_space_is_searched_at_every_target() {
        let plan = plan(&["--space", "neurons,all", "--targets", ".6,.75", "--cost", "flops", "--carry"]).unwrap();
        let names: Vec<String> = plan.searches.iter().map(|(space, target)| format!("{space} {target}")).collect();
        assert_eq!(names, ["neurons 0.6", "neurons 0.75", "all 0.6", "all 0.75"]);
        let command = plan.command.join(" ");
        assert!(
            command.ends_with("--space neurons,all --targets 0.6,0.75 --cost flops --search-epochs 3 --carry"),
            "{command}"
        );
    }

    #[test]
    fn steps_are_the_same_whatever_is_selected_of_them() {
        let steps = |words: &[&str]| plan(words).unwrap().steps;
        let few = steps(&["--space", "inputs"]);
        assert_eq!(steps(&["--space", "inputs,all", "--targets", ".5,.75", "--seeds", "3", "--beside"]), few);
        for words in [&["--relaxation", "gumbel"][..], &["--search-epochs", "2"], &["--carry"], &["--seed", "1"]] {
            assert_ne!(steps(words), few, "{words:?}");
        }
        let report = ["--settings", "report"];
        for words in [
            &["--lambda", "0"][..],
            &["--tolerance", "0.1"],
            &["--count", "thresholded"],
            &["--gate-rate", "0.5"],
            &["--gate-loss", "task"],
            &["--normal", "deviation"],
            &["--head-weights", "times-n"],
            &["--evaluate-every", "20"],
        ] {
            assert_ne!(steps(&[&report[..], words].concat()), steps(&report), "{words:?}");
        }
    }

    #[test]
    fn each_flag_of_the_search_changes_its_own_setting() {
        let settings = |words: &[&str]| {
            let words = [&["--settings", "report"], words].concat();
            plan(&words).unwrap().settings(SpaceChoice(NasSpace::default()), 1.0)
        };
        let report = NasSettings::report(NasSpace::default(), 1.0);
        assert_eq!(settings(&[]), report);
        let heads = |variance, times_n| RelaxationKind::WeightedSoftmax(WeightedSoftmax { variance, times_n });
        assert_eq!(report.head_relaxation, heads(0.01, false));
        let control = |weight, tolerance| NasSettings { control: Control::Tas { weight, tolerance }, ..report.clone() };
        for (words, expected) in [
            (["--lambda", "0"], control(0.0, 0.05)),
            (["--tolerance", "0.2"], control(1.0, 0.2)),
            (["--count", "thresholded"], NasSettings { count: Count::Thresholded, ..report.clone() }),
            (["--gate-rate", "0.5"], NasSettings { gate_rate: 0.5, ..report.clone() }),
            (["--gate-loss", "task"], NasSettings { gate_loss: GateLoss::Task, ..report.clone() }),
            (["--normal", "deviation"], NasSettings { head_relaxation: heads(1e-4, false), ..report.clone() }),
            (["--head-weights", "times-n"], NasSettings { head_relaxation: heads(0.01, true), ..report.clone() }),
        ] {
            assert_eq!(settings(&words), expected, "{words:?}");
        }
        let ours = plan(&["--gate-loss", "labels", "--targets", "1.0"]).unwrap();
        let ours = ours.settings(SpaceChoice(NasSpace::inputs()), 1.0);
        let expected = NasSettings { space: NasSpace::inputs(), target: 1.0, ..NasSettings::default() };
        assert_eq!(ours, NasSettings { gate_loss: GateLoss::Labels, ..expected });
    }

    #[test]
    fn settings_of_a_search_out_of_range_are_refused_by_flag() {
        let report = ["--settings", "report"];
        for (words, flag) in [
            (&["--settings", "report", "--lambda", "-1"][..], "lambda"),
            (&["--settings", "report", "--lambda", "inf"], "lambda"),
            (&["--lambda", "1"], "lambda"),
            (&["--tolerance", "0.1"], "tolerance"),
            (&["--settings", "report", "--tolerance", "0"], "tolerance"),
            (&["--settings", "report", "--tolerance", "1"], "tolerance"),
            (&["--settings", "report", "--tolerance", "-0.1"], "tolerance"),
            (&["--settings", "report", "--tolerance", "NaN"], "tolerance"),
            (&["--gate-rate", "0"], "gate-rate"),
            (&["--gate-rate", "-1"], "gate-rate"),
            (&["--normal", "deviation"], "normal"),
            (&["--settings", "report", "--relaxation", "gumbel", "--head-weights", "printed"], "head-weights"),
            (&["--evaluate-every", "0"], "evaluate-every"),
        ] {
            let error = plan(words).unwrap_err();
            assert!(
                matches!(&error, crate::error::Error::Argument { flag: named, .. } if *named == flag),
                "{words:?}: {error}"
            );
        }
        for words in [&["--lambda", "0", "--targets", "1.0"][..], &["--tolerance", "0.999"], &["--normal", "variance"]]
        {
            plan(&[&report[..], words].concat()).unwrap();
        }
    }

    #[test]
    fn a_relaxation_holds_for_dimensions_and_heads() {
        let settings = |words: &[&str]| plan(words).unwrap().settings(SpaceChoice(NasSpace::default()), 0.5);
        let of_report = settings(&["--settings", "report"]);
        assert!(matches!(of_report.relaxation, RelaxationKind::Sigmoid(_)));
        assert!(matches!(of_report.head_relaxation, RelaxationKind::WeightedSoftmax(_)));
        let widths = settings(&["--settings", "report", "--relaxation", "widths"]);
        assert!(matches!(widths.relaxation, RelaxationKind::WidthSampling(_)));
        assert_eq!(widths.relaxation, widths.head_relaxation);
    }

    #[test]
    fn targets_that_cannot_be_are_refused_with_the_range() {
        for target in ["0", "1.5", "NaN"] {
            let error = plan(&["--targets", target]).unwrap_err().to_string();
            assert!(error.contains("target") && error.contains("above 0 and at most 1"), "{error}");
        }
        // One head of four stays in each layer.
        let error = plan(&["--space", "heads", "--targets", ".2"]).unwrap_err().to_string();
        assert!(error.contains("0.2500 to 1.0000"), "{error}");
        // All layers' inputs do not cost half of the model.
        let error = plan(&["--space", "inputs", "--targets", ".3", "--cost", "flops"]).unwrap_err().to_string();
        assert!(error.contains("to 1.0000 with --space inputs"), "{error}");
        assert!(plan(&["--targets", ".5,.5"]).is_err() && plan(&["--seeds", "0"]).is_err());
        assert!(plan(&["--search-epochs", "0"]).is_err());
    }
}
