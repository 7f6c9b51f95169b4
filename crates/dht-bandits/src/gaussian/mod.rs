//! Gaussian posteriors N(θ, U·D·Uᵀ) of many arms: storage, scores, updates, draws, and conversion to information form.

mod factors;
mod information;
mod layout;
mod moments;
mod parts;
mod score;
mod update;

pub(crate) use factors::{Factors, check_dimension};
pub(crate) use information::{Information, information_of, parts_of};
pub use information::{InformationState, NaturalParameters};
pub(crate) use layout::{LANES, Lanes, PanelLayout};
pub(crate) use layout::{load, multiply, multiply_add, splat, sum, with_registers};
pub use moments::Score;
pub(crate) use parts::{FactoredGaussian, check};
