//! Inputs, outputs and models in an object store (`s3://BUCKET/KEY`).
//!
//! Address and credentials are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
//! `AWS_ENDPOINT_URL`, …). Requests are retried by `object_store`. Objects are read in parts, each by a request of its
//! own, so that no request lasts as long as the predictions. A claim is an object that is put only if it is
//! absent, and renewed by its ETag. A worker takes over a claim whose ETag it has seen unchanged for the claim's time,
//! by its own clock: the clocks of hosts are not compared.

mod claim;
mod connection;
mod object;
mod prefix;
#[cfg(test)]
mod tests;

pub use object::{download, inputs};
pub use prefix::outputs;
