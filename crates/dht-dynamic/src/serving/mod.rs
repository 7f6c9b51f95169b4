//! Serving of a trained model. The model and its tokenizer, labels and settings are saved in one directory. Any number
//! of threads can submit requests, which are answered in shared batches over a bounded queue.

pub(crate) mod answer;
pub(crate) mod engine;
mod number_levels;
mod saved;
mod served;
mod service;
mod text_model;

pub use number_levels::NumberLevels;
pub use saved::ModelCard;
pub use served::ServedModel;
pub use service::{Histogram, Request, Service, ServiceMetrics, ServiceSettings, Ticket};
pub use text_model::{KeptPromise, Origin, TextModel};
