//! Range checks of the relaxations' settings.

use crate::error::{Error, Result};

pub(super) fn positive(field: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(field, "a finite number above 0", value)),
    }
}

pub(super) fn finite(field: &'static str, value: f64) -> Result<()> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(field, "a finite number", value)),
    }
}

pub(super) fn share(field: &'static str, value: f64) -> Result<()> {
    match value > 0.0 && value < 1.0 {
        true => Ok(()),
        false => Err(Error::argument(field, "a number between 0 and 1", value)),
    }
}
