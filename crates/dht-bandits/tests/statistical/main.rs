//! Properties that hold in the long run. Each states its chance of a false alarm; seeds are fixed, so none alarms by luck.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod decided;
mod every_policy;
mod learning;
mod noisy;
mod noisy_worlds;
mod propensities;
mod sampling;
mod slate_environment;
mod support;
