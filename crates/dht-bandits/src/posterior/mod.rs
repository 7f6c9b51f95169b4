//! Posteriors: Gaussian beliefs about the weights of each arm, updated by rewards.
//!
//! | posterior | score of an arm | update | source |
//! |---|---|---|---|
//! | [`Ridge`] | O(d²) | O(d²) | θ = A⁻¹b, A = λI + Σwxx', Li et al. (2010); factored after Bierman (1977) |
//! | [`DiscountedRidge`] | O(d²) | O(d²), now and then O(d³) | ridge regression with evidence that decays by one clock for all arms, Russac et al. (2019) |
//! | [`NormalInverseGamma`] | O(d²) | O(d²) | ridge regression with learned variance of the noise, Bishop (2006), section 2.3.6 |
//! | [`FullLaplace`] | O(d²) | O(d²) | mode and curvature of a logistic regression |
//! | [`DiagonalLaplace`] | O(d) | O(d) | Chapelle & Li (2011), Algorithm 3 |

mod batch;
mod beliefs;
mod diagonal_kernel;
mod diagonal_laplace;
mod discounted_ridge;
mod dual_newton;
mod full_laplace;
mod logistic;
mod newton;
mod normal_inverse_gamma;
pub(crate) mod ridge;

pub use crate::gaussian::Score;
pub(crate) use batch::{Sample, UpdateBatch};
pub use beliefs::Posterior;
pub(crate) use beliefs::{ArmState, Beliefs, copy_of_slot};
pub use diagonal_laplace::DiagonalLaplace;
pub use discounted_ridge::{DecayClock, DiscountedRidge};
pub use full_laplace::FullLaplace;
pub(crate) use full_laplace::FullLaplaceBeliefs;
#[doc(hidden)]
pub use logistic::sigmoid;
pub(crate) use logistic::{check_unit_reward, curvature, mode_step, residual};
pub use normal_inverse_gamma::NormalInverseGamma;
pub(crate) use ridge::Ridge;
pub(crate) use ridge::{RidgeArmState, RidgeBeliefs};
