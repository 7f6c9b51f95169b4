//! Non-stationary environments: policies that forget compute exact posteriors, and earn more.

mod changes;
mod discounted;
mod every_kind;
mod paying;
mod window;
