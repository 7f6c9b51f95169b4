//! A trained model as a service: texts in, answers out, from any number of threads; and one that learns on from labels that come
//! late.

mod engine;
mod learner;
mod learning;
mod scaling;

pub use engine::{Answer, Engine, Query};
pub use learner::{Decision, Learner, LearnerSettings, Policy};
pub use learning::{LearnedAnswer, LearningEngine};
pub use scaling::ClassScaling;
