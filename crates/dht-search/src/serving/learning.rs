//! An engine that learns on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dht_transformer::Sample;
use rand::Rng;

use super::engine::{Answer, Engine, Query};
use super::learner::{Decision, Learner, LearnerSettings, Policy};
use crate::error::{Error, Result};
use crate::evaluation::{LeavingRule, Predictor};
use crate::features::{log_probabilities, signals};
use crate::model::{Prediction, best_class};
use crate::routing::{Decisions, FrontView, Mode, Router, StageView};

/// An answer, with what its label comes with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LearnedAnswer {
    /// The answer.
    pub answer: Answer,
    /// Where the text left, and how probable that was.
    pub decision: Decision,
}

/// An [`Engine`] whose texts leave where a [`Learner`] decides, which learns from the labels of some of them. The model stays as
/// it is; what is learned is how much its stages are to be believed.
///
/// Any number of threads may predict and bring labels at once. The texts of one call are decided by one policy.
///
/// # Examples
/// ```no_run
/// use dht_search::serving::{Engine, LearnerSettings, LearningEngine};
///
/// # fn main() -> dht_search::Result<()> {
/// let engine = Engine::load("models/reviews")?;
/// let settings = LearnerSettings { cost: Some(0.25), ..LearnerSettings::of(engine.model().dynamic()?) };
/// let service = LearningEngine::new(engine, settings)?;
/// let answers = service.predict(&["The food was fine.", "Never again!"])?;
/// println!("{} at stage {}", answers[0].answer.label, answers[0].decision.stage);
/// // Days later, for some of them:
/// service.label(answers[1].decision.id, "negative")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LearningEngine {
    engine: Engine,
    learner: Mutex<Learner>,
}

impl LearningEngine {
    /// A service that begins with what the model says.
    ///
    /// # Errors
    /// [`Error::Setting`] for a model that is not dynamic, or whose router is no threshold on the confidence; as
    /// [`Learner::new`].
    pub fn new(engine: Engine, settings: LearnerSettings) -> Result<Self> {
        let model = engine.model().dynamic()?;
        let stages = model.space().exits().len() + usize::from(model.front().is_some());
        let learner = Learner::new(stages, model.model().classes(), settings)?;
        Self::resumed(engine, learner)
    }

    /// A service that goes on with a learner that was saved.
    ///
    /// # Errors
    /// [`Error::Setting`] for a learner of other stages or classes or with numbers out of range, and a model whose router is no threshold on the confidence.
    pub fn resumed(engine: Engine, learner: Learner) -> Result<Self> {
        let model = engine.model().dynamic()?;
        if LeavingRule::of(model.settings().router) != Some(LeavingRule::Confidence) {
            return Err(Error::setting("router", "a threshold on the confidence", "another"));
        }
        let stages = model.space().exits().len() + usize::from(model.front().is_some());
        learner.check(stages, model.model().classes())?;
        Ok(Self { engine, learner: Mutex::new(learner) })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The learner, for as long as the guard lives; nothing is decided or learned meanwhile.
    pub fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer for each text, in their order, as [`Engine::predict`]; from then on their labels are waited for.
    ///
    /// # Errors
    /// As there.
    pub fn predict<'a>(&self, queries: &[impl Into<Query<'a>> + Copy + Sync]) -> Result<Vec<LearnedAnswer>> {
        let (first, policy) = {
            let mut learner = self.learner();
            (learner.take_ids(queries.len()), learner.policy().clone())
        };
        let samples = self.engine.samples(queries, first)?;
        let model = self.engine.model().dynamic()?;
        let front = usize::from(model.front().is_some());
        let router = PolicyRouter { policy: policy.clone(), front };
        let model = model.clone().with_router(Box::new(router));
        let found = model.predict_all_with_stages(&self.engine.ctx, &samples, self.engine.batch_size)?;
        let mut answers = Vec::with_capacity(samples.len());
        let mut records = Vec::with_capacity(samples.len());
        for (sample, prediction) in samples.iter().zip(found) {
            let decision = policy.decision(sample.id, &prediction.stages)?;
            let full = model.full_flops(sample.encoding.ids.len());
            records.push((sample.id, prediction.stages.clone(), prediction.flops as f64 / full.max(1) as f64));
            answers.push(LearnedAnswer { answer: self.answer(sample, prediction, &policy, decision.stage), decision });
        }
        let mut learner = self.learner();
        for (id, stages, cost) in records {
            learner.record(id, stages, cost)?;
        }
        Ok(answers)
    }

    fn answer(&self, sample: &Sample, prediction: Prediction, policy: &Policy, stage: usize) -> Answer {
        let logs = policy.answer(stage, &prediction.stages[stage]);
        let class = best_class(&logs).0 as usize;
        Answer {
            label: self.engine.labels()[class].clone(),
            class,
            probabilities: logs.iter().map(|log| log.exp() as f32).collect(),
            route: prediction.route,
            flops: prediction.flops,
            tokens: sample.encoding.ids.len(),
            truncated: sample.encoding.truncated,
        }
    }

    /// Learns the class of a text that was [answered](Self::predict). Returns whether what decides has changed.
    ///
    /// # Errors
    /// [`Error::Setting`] with the model's classes for a label that is none of them: a new class takes a new model. As [`Learner::label`].
    pub fn label(&self, id: u64, label: &str) -> Result<bool> {
        let labels = self.engine.labels();
        let Some(class) = labels.iter().position(|own| &**own == label) else {
            return Err(Error::setting("label", format!("one of {}", labels.join(", ")), label));
        };
        self.learner().label(id, class as u32)
    }
}

/// Texts leave where a policy says.
#[derive(Debug, Clone)]
struct PolicyRouter {
    policy: Policy,
    /// Stages before the first exit.
    front: usize,
}

impl PolicyRouter {
    fn leaves(&self, id: u64, stage: usize, logs: &[f64]) -> bool {
        !self.policy.explores(id) && self.policy.leaves(stage, logs)
    }
}

impl Router for PolicyRouter {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn leaves_in_front(&self, view: &FrontView<'_>, _: Mode) -> Result<Vec<bool>> {
        let texts = view.sample_ids.iter().zip(&view.log_probabilities);
        Ok(texts.map(|(id, logs)| self.leaves(*id, 0, logs)).collect())
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, _: Mode, _: &mut dyn Rng) -> Result<()> {
        let logits = view.logits.ok_or_else(|| Error::setting("logits", "those of the exit", "none"))?;
        let rows = log_probabilities(logits)?;
        for ((member, id), logs) in view.members.iter().zip(view.hidden.packing().sample_ids()).zip(&rows) {
            if self.leaves(*id, self.front + view.exit, logs) {
                decisions.leave(*member, view.exit)?;
            }
        }
        // The head bandits look at them too.
        decisions.signals.resize(decisions.exits.len(), Vec::new());
        for (&member, signals) in view.members.iter().zip(signals(logits, view.hidden.spans().lengths())?) {
            decisions.signals[member] = signals;
        }
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}
