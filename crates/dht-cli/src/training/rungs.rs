//! Flags of a training run in rungs, which are training stages of increasing cost.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use dht_dynamic::ladder::Rung;

use crate::error::{Error, Result};

/// Flags that limit a training run in rungs.
#[derive(Debug, Clone, Args)]
pub struct RungArguments {
    /// Climb at least to rung A and at most to rung B: 0 n-grams, 1 the encoder as it is, 2 fine-tuning
    ///
    /// Without this flag, the training run stops where a further step does not lower the validation loss enough for its
    /// cost. 2..2 fine-tunes for all passes of --epochs.
    #[arg(long, value_name = "[A..]B")]
    pub rungs: Option<Rungs>,
    /// Limit the cost of the training run to this share of the FLOPs that three passes of fine-tuning take
    #[arg(long, value_name = "SHARE")]
    pub training_budget: Option<f64>,
    /// End the training run after about N minutes; two runs may then differ
    #[arg(long, value_name = "N")]
    pub minutes: Option<f64>,
}

impl RungArguments {
    /// Rejects numbers out of range, and flags that have no effect because the training run has no rungs (training
    /// stages).
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is out of range or a flag has no effect.
    pub fn check(&self, without: Option<&str>) -> Result<()> {
        let set = [
            ("rungs", self.rungs.map(|rungs| rungs.to_string())),
            ("training-budget", self.training_budget.map(|budget| budget.to_string())),
            ("minutes", self.minutes.map(|minutes| minutes.to_string())),
        ];
        if let Some(why) = without {
            if let Some((flag, Some(got))) = set.into_iter().find(|(_, set)| set.is_some()) {
                return Err(Error::argument(flag, format!("this flag left out: {why}"), got));
            }
            return Ok(());
        }
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if let Some(budget) = self.training_budget.filter(|budget| !positive(*budget)) {
            return Err(Error::argument("training-budget", "a share above 0", budget));
        }
        if let Some(minutes) = self.minutes.filter(|minutes| !(positive(*minutes) && *minutes < 1e9)) {
            return Err(Error::argument("minutes", "a number above 0", minutes));
        }
        Ok(())
    }

    /// Lowest and highest rung (training stage) of the training run.
    pub fn range(&self) -> (Rung, Rung) {
        self.rungs.map_or((Rung::Ngrams, Rung::FineTuned), |rungs| (rungs.least, rungs.most))
    }

    /// Time limit of the training run; `None` for no limit.
    pub fn time(&self) -> Option<Duration> {
        self.minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes))
    }
}

/// Value of `--rungs`: the lowest and the highest rung of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rungs {
    least: Rung,
    most: Rung,
}

impl FromStr for Rungs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rung = |text: &str| text.parse::<usize>().ok().and_then(|rung| Rung::ALL.get(rung).copied());
        let parsed = match text.split_once("..") {
            Some((least, most)) => rung(least).zip(rung(most.strip_prefix('=').unwrap_or(most))),
            None => rung(text).map(|most| (Rung::Ngrams, most)),
        };
        let sound = parsed.filter(|(least, most)| least <= most);
        sound
            .map(|(least, most)| Self { least, most })
            .ok_or_else(|| "expected 0, 1, 2, or a range such as 0..2".into())
    }
}

impl fmt::Display for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.least as u8, self.most as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_a_number_or_a_range() {
        let parse = |text: &str| text.parse::<Rungs>().map(|rungs| rungs.to_string());
        for (text, rungs) in [("0", "0..0"), ("2", "0..2"), ("0..2", "0..2"), ("1..=1", "1..1"), ("2..2", "2..2")] {
            assert_eq!(parse(text).as_deref(), Ok(rungs), "{text}");
        }
        for text in ["3", "2..1", "", "..", "-1", "1..", "a..b", "0..2..2"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
