//! Models and data sets by their names on the hub, served by a local test server, and parquet files.

mod models;

#[cfg(feature = "hub")]
mod data_sets;
#[cfg(feature = "hub")]
mod model_files;
#[cfg(feature = "parquet")]
mod parquet_files;
#[cfg(feature = "parquet")]
mod parquet_writer;
#[cfg(feature = "hub")]
mod server;
