//! Distillation of intermediate results (attention scores, hidden states and embeddings) from a teacher to a student.

mod distillation;
mod layer_map;
mod loss;
mod teacher_states;

pub use distillation::IntermediateDistillation;
pub use layer_map::LayerMap;
pub use loss::IntermediateLoss;
pub use teacher_states::TeacherStates;
