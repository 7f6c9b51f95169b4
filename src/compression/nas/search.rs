//! Architecture search during both stages of distillation: the first two steps of the report on differentiable search
//! for BERT.

use dht_nas::{Architecture, ArchitectureSearch, SoftLabelLoss};
use dht_transformer::EncodedDataset;
use dht_transformer::tasks::IntermediateLoss;
use serde::{Deserialize, Serialize};

use super::choices::SpaceChoice;
use super::plan::NasPlan;
use crate::compression::bench::{Bench, best_step};
use crate::error::Result;
use crate::experiment::rng;

/// Number of the random stream for the initial gates.
const GATES: u64 = 22;
/// Number of the random stream that draws the projections in the hidden-state stage of distillation.
const PROJECTIONS: u64 = 23;

/// Stored result of an architecture search.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SearchStep {
    pub(super) architecture: Architecture,
    /// Cost of the architecture as a share of the unpruned encoder's cost.
    pub(super) reached: f64,
    /// Optimiser step of the second stage at which the student had the best validation score.
    pub(super) best_step: u64,
    pub(super) seconds: f64,
}

/// Name under which the result of a search is stored.
pub(super) fn step_of(space: SpaceChoice, target: f64) -> String {
    format!("search.{space}.{target}")
}

/// Runs an architecture search, or returns the stored result. With the flag `carry`, the searched student is stored
/// too, with gates multiplied into its weights and pruned units removed.
pub(super) fn search(bench: &Bench, plan: &NasPlan, space: SpaceChoice, target: f64) -> Result<SearchStep> {
    bench.steps.once(&step_of(space, target), |step| {
        let (run, map) = (&bench.plan.run, bench.plan.map.clone());
        let mut student = bench.general()?;
        let loss = IntermediateLoss::new(&mut student, &bench.teacher, map, &mut rng(run, PROJECTIONS))?;
        let loss = loss.with_states(bench.states()?)?;
        let settings = plan.settings(space, target);
        let control = NasPlan::second_control(settings.control);
        let mut search = ArchitectureSearch::with_loss(student, settings, Box::new(loss), &mut rng(run, GATES))?;
        let none = EncodedDataset { samples: Vec::new(), ..bench.data.validation.clone() };
        let first = bench.search_stage(&mut search, step, ("intermediate", plan.search_epochs), &none)?;
        let soft = SoftLabelLoss::new(&bench.teacher, 1.0)?.with_logits(bench.logits()?);
        let mut search = search.next_stage(Box::new(soft), control)?;
        let stage = ("prediction", plan.search_epochs);
        let second = bench.search_stage(&mut search, step, stage, &bench.data.validation)?;
        let result = search.found()?;
        if plan.carry {
            let (tokenizer, labels) = (Some(&bench.data.tokenizer), &bench.data.train.labels);
            search.extracted()?.save(step.model(), tokenizer, labels)?;
        }
        Ok(SearchStep {
            architecture: result.architecture,
            reached: result.reached,
            best_step: best_step(&second),
            seconds: first.train_seconds + second.train_seconds,
        })
    })
}
