//! Compression of a teacher into smaller models: TinyBERT's distillation, and architecture searches during
//! distillation.
//!
//! ```text
//! teacher, fine-tuned ─┬─▶ general student ─▶ intermediate ─▶ prediction ─▶ unpruned student
//!                      └─▶ general student with gates ─▶ both stages with search ─▶ architecture
//!                          architecture ─▶ extracted student ─▶ intermediate ─▶ prediction ─▶ row of the table
//! ```
//!
//! Each node of the diagram is a step that runs once and is stored in the output directory.

mod arguments;
mod augmented;
mod bench;
mod distil;
mod heads;
mod judge;
mod limits;
mod nas;
mod steps;

pub use distil::{DistilArguments, distil};
pub use heads::{HeadsArguments, heads};
pub use nas::{NasArguments, nas};
