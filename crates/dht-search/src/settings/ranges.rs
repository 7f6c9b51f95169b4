//! Range checks of single values.

use crate::error::{Error, Result};

pub(super) fn check_number(field: &'static str, number: f64, least: f64) -> Result<()> {
    if number.is_finite() && number >= least {
        return Ok(());
    }
    let expected = if least == 0.0 { "a finite number, at least 0" } else { "a finite number above 0" };
    Err(Error::argument(field, expected, number))
}

pub(super) fn check_share(field: &'static str, share: f64) -> Result<()> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(()),
        false => Err(Error::argument(field, "0 to 1", share)),
    }
}

pub(super) fn check_power(field: &'static str, power: f64) -> Result<()> {
    match (0.0..=16.0).contains(&power) {
        true => Ok(()),
        false => Err(Error::argument(field, "0 to 16", power)),
    }
}
