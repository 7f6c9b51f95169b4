//! A trained model as a service: one directory for all that it needs; texts in, answers out, from any number of threads, in common
//! batches over a bounded queue; and one that learns on from labels that come late.

mod engine;
mod learner;
mod learning;
mod saved;
mod scaling;
mod served;
mod service;
mod text_model;

pub use engine::{Answer, Engine, Query};
pub use learner::{Decision, Learner, LearnerSettings, Policy};
pub use learning::{LearnedAnswer, LearningEngine};
pub use saved::ModelCard;
pub use scaling::ClassScaling;
pub use served::ServedModel;
pub use service::{Histogram, Request, Served, Service, ServiceMetrics, ServiceSettings, Ticket};
pub use text_model::{KeptPromise, Origin, TextModel};
