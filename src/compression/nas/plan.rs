//! Plan of architecture searches: their checked flags.

use clap::ValueEnum;
use dht_nas::{Architecture, Control, CostMeasure, Latency, NasCost, NasSettings, Update};
use dht_transformer::flops::BlockShape;

use super::arguments::NasArguments;
use super::choices::{CostChoice, SpaceChoice};
use super::settings::search_settings;
use crate::compression::arguments::CompressionPlan;
use crate::compression::limits::{MOST, refused};
use crate::error::Result;

/// Plan of architecture searches: checked [`NasArguments`].
#[derive(Debug, Clone)]
pub(super) struct NasPlan {
    pub(super) searches: Vec<(SpaceChoice, f64)>,
    /// Shape of the student's layers, and their number.
    student: (BlockShape, usize),
    /// Settings of the searches, except search space and target cost.
    settings: NasSettings,
    pub(super) search_epochs: usize,
    pub(super) carry: bool,
    pub(super) seeds: u64,
    pub(super) beside: bool,
    /// Name of the example and all flags that may affect results.
    pub(super) command: Vec<String>,
    /// Name of the example and its flags, without the flags that only select searches: spaces, targets, seeds and
    /// baselines. Stored results are valid as long as these flags stay the same.
    pub(super) steps: Vec<String>,
}

impl NasPlan {
    /// Checks the flags, and that the searches can reach every target cost. No data are read.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for invalid flags; [`Error::Nas`](crate::Error::Nas) for a target
    /// outside (0, 1], or below the cost of the smallest architecture.
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
        // A target in seconds can only be checked after the latency is measured.
        if arguments.cost != CostChoice::Latency {
            plan.check_targets(0.0)?;
        }
        Ok(plan)
    }

    /// Returns the plan with measured seconds as the cost measure, to which target shares then refer.
    ///
    /// # Errors
    /// [`Error::Nas`](crate::Error::Nas) for a target below the cost of the smallest architecture.
    pub(super) fn with_latency(self, latency: Latency) -> Result<Self> {
        let settings = NasSettings { measure: CostMeasure::Latency(latency), ..self.settings };
        let plan = Self { settings, ..self };
        plan.check_targets(latency.fixed)?;
        Ok(plan)
    }

    /// Rejects target costs below the cost of the smallest architecture. `fixed` is the cost of all parts outside the
    /// layers.
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

    /// Settings of the search in one search space with one target cost.
    pub(super) fn settings(&self, space: SpaceChoice, target: f64) -> NasSettings {
        NasSettings { space: space.0, target, ..self.settings.clone() }
    }

    /// Cost term for the second stage of a search. It has no warm-up, since the first stage has already reduced the
    /// cost.
    pub(super) fn second_control(control: Control) -> Control {
        match control {
            Control::Lagrangian { rate, penalty, .. } => Control::Lagrangian { rate, penalty, warm_up: 0.0 },
            other => other,
        }
    }
}

/// Name of the example and its flags. Flags that only select searches are included if `selected` is true.
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

/// Name of a flag's value on the command line.
fn name<T: ValueEnum>(choice: T) -> Option<String> {
    choice.to_possible_value().map(|value| value.get_name().to_owned())
}

fn other_than_default<T: ValueEnum + Default + PartialEq>(choice: T) -> Option<String> {
    if choice == T::default() { None } else { name(choice) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use dht_nas::{Count, GateLoss, NasSpace, RelaxationKind, WeightedSoftmax};

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
        // One head of four must remain in each layer.
        let error = plan(&["--space", "heads", "--targets", ".2"]).unwrap_err().to_string();
        assert!(error.contains("0.2500 to 1.0000"), "{error}");
        // The inputs of all layers together cost less than half of the model.
        let error = plan(&["--space", "inputs", "--targets", ".3", "--cost", "flops"]).unwrap_err().to_string();
        assert!(error.contains("to 1.0000 with --space inputs"), "{error}");
        assert!(plan(&["--targets", ".5,.5"]).is_err() && plan(&["--seeds", "0"]).is_err());
        assert!(plan(&["--search-epochs", "0"]).is_err());
    }
}
