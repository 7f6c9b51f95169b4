//! Inputs, outputs and models in an object store (`s3://BUCKET/KEY`).
//!
//! Address and credentials of the store come from environment variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//! `AWS_REGION`, `AWS_ENDPOINT_URL`, …). Requests are retried by `object_store`. Objects are read in parts, each by a
//! separate request, so that no request lasts as long as the predictions.
//!
//! A claim is an object that is created only if it is absent, and then renewed, which changes its ETag. A worker takes
//! over a claim if it has seen the same ETag for the duration of the claim. The worker measures this time with its own
//! clock: the clocks of hosts are not compared.

mod claim;
mod connection;
mod object;
mod prefix;
#[cfg(test)]
mod tests;

pub use object::{download, inputs};
pub use prefix::outputs;
