//! A contextual bandit in service.

use std::collections::{HashMap, HashSet, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::scaling::ClassScaling;
use crate::error::{Error, LabelProblem, Result};
use crate::model::DynamicModel;

/// Numbers of labelled texts that are dropped at once at least.
const LEAST_DROPPED: usize = 64;

/// How a [`Learner`] decides and learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerSettings {
    /// A text leaves where 1 − max p is below it; where a [cost](Self::cost) is wanted, only the first one.
    pub threshold: f64,
    /// The mean share of the full model's FLOPs that texts shall cost, exploration included: the threshold follows it. `None` for a
    /// threshold that stays.
    pub cost: Option<f64>,
    /// How fast the threshold follows: a text that costs the full model's FLOPs where none are wanted makes its logarithm smaller by
    /// this.
    pub cost_rate: f64,
    /// The share of texts that run all stages, from 0 to 1.
    pub exploration: f64,
    /// How many of the last labels are learned from.
    pub window: usize,
    /// After how many labels the scalings are fitted anew.
    pub refit_every: usize,
    /// The weight of what was before the first label: the precision of a scale around 1, in labels' nats.
    pub scale_precision: f64,
    /// The precision of each class's bias around 0.
    pub bias_precision: f64,
    /// How many decisions wait for their labels; beyond, the oldest is taken to stay without one.
    pub most_waiting: usize,
    /// Says, with a text's number, whether it explores.
    pub seed: u64,
}

impl Default for LearnerSettings {
    fn default() -> Self {
        Self {
            threshold: 0.1,
            cost: None,
            cost_rate: 0.005,
            exploration: 0.02,
            window: 4_000,
            refit_every: 100,
            scale_precision: 200.0,
            bias_precision: 20.0,
            most_waiting: 100_000,
            seed: 0,
        }
    }
}

impl LearnerSettings {
    /// The defaults, with the speed of a model for the threshold.
    pub fn of(model: &DynamicModel) -> Self {
        let own = Self::default();
        Self { threshold: model.speed().unwrap_or(own.threshold), ..own }
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        let shares =
            [("threshold", Some(self.threshold)), ("cost", self.cost), ("exploration", Some(self.exploration))];
        for (field, got) in shares {
            if let Some(got) = got.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(Error::setting(field, "0 to 1", got));
            }
        }
        for (field, got) in [
            ("cost_rate", self.cost_rate),
            ("scale_precision", self.scale_precision),
            ("bias_precision", self.bias_precision),
        ] {
            if !(got.is_finite() && got > 0.0) {
                return Err(Error::setting(field, "a finite number above 0", got));
            }
        }
        let counts = [("window", self.window), ("refit_every", self.refit_every), ("most_waiting", self.most_waiting)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, got)) => Err(Error::setting(field, "at least 1", got)),
            None => Ok(()),
        }
    }
}

/// What decides at the stages: a function of what a stage says, the same until the next label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    threshold: f64,
    exploration: f64,
    seed: u64,
    /// By stage.
    scalings: Vec<ClassScaling>,
}

impl Policy {
    /// Whether the text of this number runs all stages.
    pub fn explores(&self, id: u64) -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(id);
        rng.random_bool(self.exploration)
    }

    /// Whether a text that does not explore leaves at a stage before the last that says these ln p.
    pub fn leaves(&self, stage: usize, logs: &[f64]) -> bool {
        self.scalings[stage].uncertainty(logs) < self.threshold
    }

    /// What was decided about a text whose stages said these ln p, the one that answered last.
    ///
    /// # Errors
    /// [`Error::Setting`] for no stage, and more than there are.
    pub fn decision(&self, id: u64, stages: &[Vec<f64>]) -> Result<Decision> {
        let (count, share) = (self.scalings.len(), self.exploration);
        if stages.is_empty() || stages.len() > count {
            return Err(Error::setting("stages of a text", format!("1 to {count}"), stages.len()));
        }
        let stage = stages.len() - 1;
        let greedy = if self.explores(id) {
            (0..stage).find(|stage| self.leaves(*stage, &stages[*stage])).unwrap_or(stage)
        } else {
            stage
        };
        let propensity = match (greedy + 1 == count, stage + 1 == count) {
            (true, _) => 1.0,
            (false, true) => share,
            (false, false) => 1.0 - share,
        };
        Ok(Decision { id, stage, greedy, propensity })
    }

    /// ln p of what a text is answered that leaves at a stage.
    pub fn answer(&self, stage: usize, logs: &[f64]) -> Vec<f64> {
        self.scalings[stage].apply(logs)
    }

    /// The threshold as it stands.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The scalings of the stages.
    pub fn scalings(&self) -> &[ClassScaling] {
        &self.scalings
    }
}

/// What was decided about a text.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// The number of the text, which its label comes with.
    pub id: u64,
    /// The stage that answered.
    pub stage: usize,
    /// The stage where it would have left without exploration.
    pub greedy: usize,
    /// The probability of this stage, exploration included.
    pub propensity: f64,
}

/// What a text's stages said, until its label comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answers {
    /// ln p by class, of each stage that it passed, the last one included.
    stages: Vec<Vec<f64>>,
}

/// A contextual bandit in service: it goes on deciding where texts leave, and learns from labels that come late.
///
/// ```text
///  text ─▶ stage 0 ─▶ stage 1 ─▶ … ─▶ last      at each stage: ln p ─▶ scaling of the stage ─▶ 1 − max p < threshold? leave
///                                   │
///                        Decision { stage, propensity }          label, any time later
///                                   └────────────▶ waiting ──────────┴─▶ window ─▶ scalings, every so many labels
/// ```
///
/// The arms are the stages, the context is what the stages say, the reward is whether the answer is right, less the price of its
/// cost. The class that a stage would have answered is known for every stage that a text has passed, so that a label tells about all of them, and
/// only going on explores: a share of the texts runs all stages, which costs no accuracy, and no more FLOPs than that share.
/// Since a label is weighed by nothing but its own likelihood, what it teaches does not depend on how its text was chosen where the
/// scaling fits; importance weights made it worse on real texts.
///
/// It is one value without threads: a service keeps it behind a lock, takes a [`policy`](Self::policy) for a batch and
/// [records](Self::record) what the batch did. It is saved and loaded with serde, decisions that wait for labels included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learner {
    settings: LearnerSettings,
    classes: usize,
    policy: Policy,
    waiting: HashMap<u64, Answers>,
    /// The numbers of `waiting`, and of some that have had their labels, the oldest first.
    order: VecDeque<u64>,
    /// The last labels with their texts.
    window: VecDeque<(u64, Answers, u32)>,
    labelled: HashSet<u64>,
    since_refit: usize,
    without_label: u64,
    next_id: u64,
}

impl Learner {
    /// A learner of a model with so many stages, the front exit included, and classes. At first it decides as a threshold on what the
    /// stages say.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, fewer than two stages or two classes.
    pub fn new(stages: usize, classes: usize, settings: LearnerSettings) -> Result<Self> {
        settings.check()?;
        for (field, got) in [("stages", stages), ("classes", classes)] {
            if got < 2 {
                return Err(Error::setting(field, "at least 2", got));
            }
        }
        let LearnerSettings { threshold, exploration, seed, .. } = settings;
        let scalings = vec![ClassScaling::identity(classes); stages];
        Ok(Self {
            classes,
            policy: Policy { threshold, exploration, seed, scalings },
            settings,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            window: VecDeque::new(),
            labelled: HashSet::new(),
            since_refit: 0,
            without_label: 0,
            next_id: 0,
        })
    }

    /// Refuses what was loaded and does not fit together.
    pub(super) fn check(&self, stages: usize, classes: usize) -> Result<()> {
        self.settings.check()?;
        let Policy { threshold, exploration, scalings, .. } = &self.policy;
        if scalings.len() != stages {
            return Err(Error::setting("stages of the learner", stages.to_string(), scalings.len()));
        }
        let of_classes = |scaling: &&ClassScaling| scaling.biases.len() != classes;
        if let Some(got) = scalings.iter().find(of_classes).map(|scaling| scaling.biases.len()) {
            return Err(Error::setting("classes of the learner", classes.to_string(), got));
        }
        for (field, got) in [("threshold", threshold), ("exploration", exploration)] {
            if !(0.0..=1.0).contains(got) {
                return Err(Error::setting(field, "0 to 1", got));
            }
        }
        let mut numbers = scalings.iter().flat_map(|scaling| scaling.biases.iter().chain([&scaling.scale]));
        match numbers.find(|number| !number.is_finite()) {
            Some(got) => Err(Error::setting("scaling", "finite numbers", got)),
            None => Ok(()),
        }
    }

    /// What decides now.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes so many numbers for texts; returns the first. No number is given twice, also after it was saved and loaded.
    pub fn take_ids(&mut self, count: usize) -> u64 {
        let first = self.next_id;
        self.next_id += count as u64;
        first
    }

    /// How many decisions wait for their labels.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many decisions were given up without a label.
    pub fn without_label(&self) -> u64 {
        self.without_label
    }

    /// Keeps what the stages said of a text until its label comes, and lets the threshold follow the cost. `stages` are the ln p of
    /// every stage that the text has passed, the one that answered last, as the model says them, not [scaled](Policy::answer);
    /// `cost` is the share of the full model's FLOPs that it took.
    ///
    /// # Errors
    /// [`Error::Setting`] for no stage or more than there are, other classes, numbers that are not finite, and a text that
    /// waits already; nothing is changed then.
    pub fn record(&mut self, id: u64, stages: Vec<Vec<f64>>, cost: f64) -> Result<()> {
        self.check_record(id, &stages, cost)?;
        if let Some(wanted) = self.settings.cost {
            // A higher threshold is cheaper.
            let step = self.settings.cost_rate * (cost - wanted);
            self.policy.threshold = (self.policy.threshold * step.exp()).clamp(1e-6, 1.0);
        }
        self.waiting.insert(id, Answers { stages });
        self.order.push_back(id);
        while self.waiting.len() > self.settings.most_waiting {
            let Some(oldest) = self.order.pop_front() else { break };
            self.without_label += u64::from(self.waiting.remove(&oldest).is_some());
        }
        // Numbers that have had their labels are dropped before they are more than those that wait.
        if self.order.len() > 2 * self.waiting.len() + LEAST_DROPPED {
            self.order.retain(|id| self.waiting.contains_key(id));
        }
        Ok(())
    }

    fn check_record(&self, id: u64, stages: &[Vec<f64>], cost: f64) -> Result<()> {
        let most = self.policy.scalings.len();
        if stages.is_empty() || stages.len() > most {
            return Err(Error::setting("stages of a text", format!("1 to {most}"), stages.len()));
        }
        if let Some(stage) = stages.iter().find(|stage| stage.len() != self.classes) {
            return Err(Error::setting("classes of a stage", self.classes.to_string(), stage.len()));
        }
        if let Some(got) = stages.iter().flatten().find(|log| !log.is_finite()) {
            return Err(Error::setting("ln p of a stage", "a finite number", got));
        }
        if !(cost.is_finite() && cost >= 0.0) {
            return Err(Error::setting("cost", "a finite number, at least 0", cost));
        }
        if self.waiting.contains_key(&id) {
            return Err(Error::setting("id", "one that does not wait for its label", id));
        }
        Ok(())
    }

    /// Learns the class of a text that was decided before. Returns whether the scalings were fitted anew.
    ///
    /// # Errors
    /// [`Error::Label`] for a text that nobody asked for, that was given up, or that has its label, and for a class that the model does not have; nothing is
    /// changed then.
    pub fn label(&mut self, id: u64, class: u32) -> Result<bool> {
        let refuse = |problem| Err(Error::Label { id, problem });
        if class as usize >= self.classes {
            return refuse(LabelProblem::Class { class, classes: self.classes });
        }
        if self.labelled.contains(&id) {
            return refuse(LabelProblem::Twice);
        }
        let Some(answers) = self.waiting.remove(&id) else { return refuse(LabelProblem::Unknown) };
        self.labelled.insert(id);
        self.window.push_back((id, answers, class));
        if self.window.len() > self.settings.window
            && let Some((id, ..)) = self.window.pop_front()
        {
            self.labelled.remove(&id);
        }
        self.since_refit += 1;
        if self.since_refit < self.settings.refit_every {
            return Ok(false);
        }
        self.since_refit = 0;
        self.refit()?;
        Ok(true)
    }

    fn refit(&mut self) -> Result<()> {
        let precisions = [self.settings.scale_precision, self.settings.bias_precision];
        let fit = |stage: usize| {
            let reached =
                self.window.iter().filter_map(|(_, answers, class)| Some((&**answers.stages.get(stage)?, *class)));
            ClassScaling::fit(self.classes, &reached.collect::<Vec<_>>(), precisions)
        };
        self.policy.scalings = (0..self.policy.scalings.len()).map(fit).collect::<Result<_>>()?;
        Ok(())
    }
}
