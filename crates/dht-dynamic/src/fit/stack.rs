//! Stacking: combines the predictions of each exit with those of the n-gram classifier, by fitted weights.

use super::exits::FittedExits;
use super::ngram::JudgedFront;
use super::report::{Report, StageReport};
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::exit::{FrontExit, Stacker};
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, SeenTexts};
use crate::router::LeavingRule;

/// Model with early exits at speed 0, where every text runs all layers. Also has the predictions for the texts on which
/// the speed (exit threshold) is selected.
pub(crate) struct StackedModel {
    pub(crate) model: DynamicModel,
    /// Log-probabilities of the n-gram classifier, if there is one, followed by those of each exit. Each exit is
    /// combined (stacked) with the n-gram classifier.
    pub(crate) stages: Vec<LogProbabilities>,
    /// Log-probabilities of the last exit alone, not combined with the n-gram classifier.
    pub(crate) alone: LogProbabilities,
}

impl FittedExits {
    /// Fits the weights that combine each exit with the n-gram classifier, and builds the model. The exits' scores and
    /// the FLOPs are added to `report`.
    pub(crate) fn stack(
        self,
        front: Option<JudgedFront>,
        texts: &FitTexts,
        rule: LeavingRule,
        report: &mut Report,
    ) -> Result<StackedModel> {
        let (labels, class_weights) = (texts.judged_labels(), texts.class_weights());
        let (mut stages, mut stackers) = (Vec::with_capacity(1 + self.answers.len()), Vec::new());
        if let Some(front) = &front {
            report.add_fits(front.flops);
            report.front(front.c, &front.answers, &labels, class_weights);
            stages.push(front.answers.clone());
        }
        for (at, answers) in self.answers.iter().enumerate() {
            let (stacker, stacked) = match &front {
                Some(front) => {
                    let (stacker, flops) = Stacker::fit_weighted(&front.answers, answers, &labels, class_weights)?;
                    report.add_fits(flops);
                    (Some(stacker), stacker.stack(&front.answers, answers)?)
                }
                None => (None, answers.clone()),
            };
            let scores = StageReport::new(self.model.depths()[at], answers, &stacked, &labels, class_weights);
            report.stages.push(StageReport { c: self.c.get(at).copied(), stacker, ..scores });
            stackers.extend(stacker);
            stages.push(stacked);
        }
        let mut model = DynamicModel::new(self.model, rule)?.with_seen_texts(SeenTexts::new(texts.all()));
        if let Some(front) = front {
            model = model.with_front(FrontExit::new(front.classifier, stackers))?;
        }
        let alone = self.answers.into_iter().next_back().ok_or_else(|| Error::argument("exits", "at least one", 0))?;
        Ok(StackedModel { model, stages, alone })
    }
}
