//! Serving of a trained model. The model is saved in one directory with its tokenizer, labels and settings. Any number
//! of threads can submit requests over a bounded queue, and requests share batches.

pub(crate) mod answer;
pub(crate) mod engine;
mod saved;
mod served;
mod service;
mod text_model;

pub use saved::ModelCard;
pub use served::ServedModel;
pub use service::{Histogram, Request, Service, ServiceMetrics, ServiceSettings, Ticket};
pub use text_model::{KeptPromise, Origin, TextModel};

pub use crate::number_levels::NumberLevels;
