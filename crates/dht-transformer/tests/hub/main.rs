//! Names on the hub, of models and of data sets, from a server of our own; and parquet files.

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
