//! State of a training run in a checkpoint, without the model's parameters.

use std::collections::BTreeMap;

use dht_dynamic::Error as Dynamic;
use dht_transformer::{EncodedDataset, Sample, error::SettingMismatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, to_value};

use super::accounting::CostAccounting;
use super::head_importance::HeadImportance;
use super::objective::{NextPhase, SearchObjective};
use crate::error::{Error, Result};
use crate::routing::Queues;
use crate::settings::SearchSettings;
use crate::space::SearchSpace;

/// Version of the layout of [`TrainingState`] in checkpoints.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingState {
    version: u64,
    space: SearchSpace,
    settings: SearchSettings,
    router: Value,
    heads: Value,
    queues: Option<Queues>,
    accounting: CostAccounting,
    importance: Option<HeadImportance>,
}

impl TrainingState {
    fn read(state: Value) -> Result<Self> {
        check_version(&state)?;
        serde_json::from_value(state).map_err(of_state)
    }
}

fn check_version(state: &Value) -> Result<()> {
    if state.get("version").and_then(Value::as_u64) == Some(VERSION) {
        return Ok(());
    }
    let got = state.get("version").map_or_else(|| "an earlier one".into(), Value::to_string);
    let expected = format!("{VERSION}: resume with the release that began this training, or start again");
    Err(Error::state("training state's version", expected, got))
}

fn of_state(source: serde_json::Error) -> Error {
    Error::Dynamic(Dynamic::Json { what: "training state".into(), source })
}

impl SearchObjective {
    pub(super) fn training_state(&self) -> Result<Value> {
        let state = TrainingState {
            version: VERSION,
            space: self.dynamic.space().clone(),
            settings: self.settings().clone(),
            router: self.dynamic.router.state()?,
            heads: self.dynamic.heads.state()?,
            queues: self.queues.clone(),
            accounting: self.accounting.clone(),
            importance: self.importance.clone(),
        };
        to_value(state).map_err(of_state)
    }

    /// Settings and properties of the search space in which a saved training state differs from this training run.
    pub(super) fn differences_from(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        check_version(state)?;
        let space = SearchSpace::deserialize(&state["space"]).map_err(of_state)?;
        let settings = SearchSettings::deserialize(&state["settings"]).map_err(of_state)?;
        let as_json = |space: &SearchSpace, settings: &SearchSettings| -> Result<Value> {
            let part = |part: serde_json::Result<Value>| part.map_err(of_state);
            Ok(json!({ "space": part(to_value(space))?, "search": part(to_value(settings))? }))
        };
        // A state of the next phase is compared with that phase.
        let own = self.next_phase.as_ref().map(|phase| &phase.space).filter(|next| **next == space);
        let own = own.unwrap_or(self.dynamic.space());
        Ok(SettingMismatch::between(&as_json(&space, &settings)?, &as_json(own, self.settings())?))
    }

    /// Restores a saved training state and, if it is from the second phase, enters that phase. An error leaves the
    /// objective unchanged.
    pub(super) fn restore_training(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        let state = TrainingState::read(state)?;
        self.exit_model().check_texts(training)?;
        let stored = json!({ "version": VERSION, "space": &state.space, "settings": &state.settings });
        if let Some(difference) = self.differences_from(&stored)?.first() {
            let expected = "one of this space and these settings";
            return Err(Error::state("training state", expected, format!("one where {difference}")));
        }
        let next_phase = self.next_phase.take_if(|next_phase| next_phase.space == state.space);
        let before = next_phase.clone().map(|phase| (phase, self.dynamic.clone(), self.queues.clone()));
        let restored = self.restore_in(next_phase, state, training);
        if restored.is_err()
            && let Some((next_phase, dynamic, queues)) = before
        {
            self.dynamic.model.enter(dynamic.model);
            (self.dynamic.space, self.dynamic.router, self.dynamic.heads) =
                (dynamic.space, dynamic.router, dynamic.heads);
            (self.queues, self.next_phase) = (queues, Some(next_phase));
        }
        restored
    }

    fn restore_in(
        &mut self,
        next_phase: Option<NextPhase>,
        state: TrainingState,
        training: &EncodedDataset,
    ) -> Result<()> {
        if let Some(next_phase) = next_phase {
            self.enter(next_phase)?;
        }
        let shape = |queues: &Option<Queues>| queues.as_ref().map(Queues::shape);
        if shape(&state.queues) != shape(&self.queues) {
            return Err(Error::state("queues", "the number and size of these settings", "others"));
        }
        if let Some(queues) = &state.queues {
            let answers = if self.dynamic.heads.reads_answers() { self.exit_model().classes() } else { 0 };
            queues.check(&*self.dynamic.router, answers)?;
        }
        self.accounting.check_like(&state.accounting)?;
        if let Some(importance) = &state.importance {
            importance.check_with(self.dynamic.space().model_shape())?;
        }
        let by_id: BTreeMap<usize, &Sample> = training.samples.iter().map(|s| (s.id as usize, s)).collect();
        let mut queued = BTreeMap::new();
        for row in state.queues.iter().flat_map(Queues::rows) {
            let missing = || Error::state("queued sample", "a row of the training set", row);
            queued.insert(row, (*by_id.get(&row).ok_or_else(missing)?).clone());
        }
        self.check_teacher()?;
        self.take_routers(state.router, state.heads)?;
        (self.queues, self.queued, self.accounting) = (state.queues, queued, state.accounting);
        self.importance = state.importance;
        self.clear_pending();
        Ok(())
    }

    /// Restores the depth router and the head router. An error leaves both unchanged.
    fn take_routers(&mut self, router: Value, heads: Value) -> Result<()> {
        let mut restored = self.dynamic.clone();
        restored.restore_routers(router, heads, |_, error| error)?;
        (self.dynamic.router, self.dynamic.heads) = (restored.router, restored.heads);
        Ok(())
    }

    /// Restores the routers of a saved training state, and nothing else.
    pub(super) fn restore_routers(&mut self, state: Value) -> Result<()> {
        let TrainingState { router, heads, .. } = TrainingState::read(state)?;
        self.take_routers(router, heads)
    }
}
