//! Conversion of the flags of an architecture search to search settings.

use dht_nas::{Control, Count, GateLoss, NasSettings, NasSpace, RelaxationKind};

use super::arguments::NasArguments;
use super::choices::{CountChoice, GateLossChoice, HeadWeightsChoice, NormalChoice, SearchSettingsChoice};
use crate::compression::limits::refused;
use crate::error::Result;

/// Converts flags to the settings of an architecture search, and checks their ranges.
pub(super) fn search_settings(arguments: &NasArguments) -> Result<NasSettings> {
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
