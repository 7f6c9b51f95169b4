//! Object stores in a build without the feature `s3`: each is refused.

use std::path::Path;
use std::time::Duration;

use super::input::Input;
use super::outputs::Outputs;
use crate::error::{Error, Result};

fn refused<T>(url: &str) -> Result<T> {
    Err(Error::StoreNotBuilt { url: url.into() })
}

/// Refuses the partitions of a store.
pub fn inputs(url: &str) -> Result<Vec<Box<dyn Input>>> {
    refused(url)
}

/// Refuses the output in a store.
pub fn outputs(url: &str, _: Duration) -> Result<Box<dyn Outputs>> {
    refused(url)
}

/// Refuses the model in a store.
pub fn download(url: &str) -> Result<Box<dyn AsRef<Path>>> {
    refused(url)
}
