//! Properties of long runs. Each test states its probability of a false alarm; seeds are fixed, so that none is raised.
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
