//! Relaxations: they replace the selection of units (dimensions, neurons, heads) by gates that gradients can train.

mod check;
mod gate_math;
mod gumbel;
mod hard_concrete;
mod kind;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
mod relaxation;
mod sigmoid;
mod softmax;
#[cfg(test)]
mod tests;
mod width;

pub use gumbel::GumbelSoftmax;
pub use hard_concrete::HardConcrete;
pub use kind::RelaxationKind;
pub use relaxation::Relaxation;
pub use sigmoid::Sigmoid;
pub use softmax::WeightedSoftmax;
pub use width::WidthSampling;
