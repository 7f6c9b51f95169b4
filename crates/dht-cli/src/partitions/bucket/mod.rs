//! Inputs, outputs and models in an object store (`s3://BUCKET/KEY`).
//!
//! Address and credentials of the store come from environment variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//! `AWS_REGION`, `AWS_ENDPOINT_URL`, …). Requests are retried by `object_store`. Objects are read in parts, each by a
//! separate request, so that no request lasts as long as the predictions.
//!
//! A claim (the right to answer a partition) is an object that is created only if it is absent. Its holder renews it,
//! which changes its ETag. Another worker takes over a claim whose ETag has not changed for a fixed time. Each worker
//! measures this time with its own clock, so that the clocks of hosts need not agree.

mod claim;
mod connection;
mod object;
mod prefix;
#[cfg(test)]
mod tests;

pub use object::{download, inputs};
pub use prefix::outputs;
