//! Object stores in a build without the feature `s3`: every URL is rejected.

use std::path::Path;
use std::time::Duration;

use super::input::Input;
use super::outputs::Outputs;
use crate::error::{Error, Result};

fn refused<T>(url: &str) -> Result<T> {
    Err(Error::StoreNotBuilt { url: url.into() })
}

/// Rejects input partitions in an object store, which this build does not support.
pub fn inputs(url: &str) -> Result<Vec<Box<dyn Input>>> {
    refused(url)
}

/// Rejects an output in an object store, which this build does not support.
pub fn outputs(url: &str, _: Duration) -> Result<Box<dyn Outputs>> {
    refused(url)
}

/// Rejects a model in an object store, which this build does not support.
pub fn download(url: &str) -> Result<Box<dyn AsRef<Path>>> {
    refused(url)
}
