//! Input checks: lengths, finite values, and bounds on magnitudes. The bounds guarantee that learned and loaded state
//! cannot overflow.
//!
//! A model stores the covariance P of its weights as the factorisation U·D·Uᵀ, with U unit upper triangular and D
//! diagonal. For a context x and an observation of weight w, an update keeps three values within 1e100: the variance
//! x'Px, the step of the mean, and the vector f = Uᵀx. Variances P_ii of single weights stay within 1e150. The vector b
//! = Px of the update then has |b_i| ≤ √(P_ii·x'Px) ≤ 1e125. U changes by at most w·|f|·|b| ≤ 1e225, and the mean by
//! |step|·|b|. These values, and the values from which they are computed, are far below the largest f64, 1.8e308.

use crate::arm::ArmId;
use crate::error::{Error, Number, Result};

/// Marker of a sparse context: the first number of its stored form. No dense context may contain this number.
pub(crate) const SPARSE: f64 = f64::MIN;

pub(crate) const LARGEST: f64 = 1e100;
const LARGEST_MEAN: f64 = 1e250;
const LARGEST_COVARIANCE: f64 = 1e150;
pub(crate) const LARGEST_PRECISION: f64 = 1e250;
/// Largest accepted sum over observations, such as an entry of XᵀX or a sum of squares.
pub(crate) const LARGEST_SUM: f64 = 1e250;

/// Largest accepted vector length and number of arms. A larger number is assumed to be a typing error or damaged data.
const LONGEST: usize = 1 << 24;

/// Returns an error for a sparse context; used by policies that need every value.
#[inline]
pub(crate) fn check_not_sparse(values: &[f64]) -> Result<()> {
    if values.first() == Some(&SPARSE) {
        return Err(Error::Unsupported { what: "sparse contexts: use `policy::SparsePolicy`" });
    }
    Ok(())
}

/// Checks the length of a dense context, and that all its values are finite. A sparse context is an error.
#[inline]
pub(crate) fn check_finite(what: &'static str, values: &[f64], expected: usize) -> Result<()> {
    check_not_sparse(values)?;
    check_finite_numbers(what, values, expected)
}

#[inline]
pub(crate) fn check_finite_numbers(what: &'static str, values: &[f64], expected: usize) -> Result<()> {
    if values.len() != expected {
        return Err(Error::Dimension { what, expected, got: values.len() });
    }
    // All values are checked in one pass without a branch, which vectorises. The fault is searched for only if there is
    // one.
    if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
        return Ok(());
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

pub(crate) fn check_scalar(what: &'static str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { what, index: 0, value }) }
}

pub(crate) fn check_parameter(name: &'static str, value: f64, fits: bool, requirement: &'static str) -> Result<()> {
    if fits && value.is_finite() { Ok(()) } else { Err(Error::Parameter { name, value, requirement }) }
}

/// Checks that an observation's weight is positive, and neither so small nor so large that sums would overflow.
pub(crate) fn check_weight(weight: f64) -> Result<()> {
    if (1e-100..=1e100).contains(&weight) { Ok(()) } else { Err(Error::Weight { weight }) }
}

/// Checks that a length is from 1 to 16,777,216.
pub(crate) fn check_length(name: &'static str, length: usize) -> Result<()> {
    check_parameter(name, length as f64, (1..=LONGEST).contains(&length), "from 1 to 16777216")
}

/// Checks that the number of arms is at most 16,777,216.
pub(crate) fn check_arms(arms: usize) -> Result<()> {
    check_parameter("arms", arms as f64, arms <= LONGEST, "at most 16777216")
}

pub(crate) fn check_within(what: &'static str, value: f64, limit: f64) -> Result<()> {
    check_scalar(what, value)?;
    if value.abs() <= limit { Ok(()) } else { Err(Error::TooLarge { what, value, limit }) }
}

/// Checks that a value is within ±1e100.
pub(crate) fn check_bounded(what: &'static str, value: f64) -> Result<()> {
    check_within(what, value, LARGEST)
}

/// Checks that a sum over observations is within ±1e250.
pub(crate) fn check_sum(what: &'static str, value: f64) -> Result<()> {
    check_within(what, value, LARGEST_SUM)
}

/// Checks that all values of a context are within ±1e100.
pub(crate) fn check_context(context: &[f64]) -> Result<()> {
    // All values are checked in one pass without a branch, which vectorises. The fault is searched for only if there is
    // one.
    if context.iter().fold(true, |fits, value| fits & (value.abs() <= LARGEST)) {
        return Ok(());
    }
    context.iter().try_for_each(|&value| check_bounded("context", value))
}

/// Checks that a precision setting is within [1e-100, 1e100].
pub(crate) fn check_precision(name: &'static str, value: f64) -> Result<()> {
    if (1.0 / LARGEST..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(Error::Parameter { name, value, requirement: "positive, from 1e-100 to 1e100" })
}

/// Largest allocation for one purpose, 1 TiB. A policy reads its whole state for each choice, which would take minutes
/// at this size. The limit is explicit, because an operating system that overcommits memory grants the allocation and
/// kills the process later.
const LARGEST_MEMORY: u64 = 1 << 40;

/// Creates the error for a failed allocation of `count` values of `size` bytes each.
fn no_memory(what: &'static str, count: Option<usize>, size: usize) -> Error {
    let bytes = count.and_then(|count| count.checked_mul(size)).map_or(u64::MAX, |bytes| bytes as u64);
    Error::Memory { what, bytes }
}

/// Returns `count` + `more`, or an error if that many values need more than 1 TiB.
fn checked_total<T>(what: &'static str, count: usize, more: Option<usize>) -> Result<usize> {
    let total = more.and_then(|more| count.checked_add(more));
    let bytes = total.and_then(|total| total.checked_mul(size_of::<T>()));
    match (total, bytes) {
        (Some(total), Some(bytes)) if bytes as u64 <= LARGEST_MEMORY => Ok(total),
        _ => Err(no_memory(what, total, size_of::<T>())),
    }
}

/// Reserves memory for `more` additional values. `None` means that their number overflows `usize`. The capacity grows
/// by at least half, so that adding one value is O(1) on average. If that much memory is not available, the capacity
/// grows only as needed. After an error the values are unchanged.
///
/// # Errors
/// [`Error::Memory`] if more than 1 TiB is needed, or if memory cannot be allocated.
pub(crate) fn reserve<T>(what: &'static str, values: &mut Vec<T>, more: Option<usize>) -> Result<()> {
    let total = checked_total::<T>(what, values.len(), more)?;
    if total <= values.capacity() {
        return Ok(());
    }
    let more = total - values.len();
    let roomy = more < values.len() && values.try_reserve_exact(more.max(values.len() / 2)).is_ok();
    if roomy || values.try_reserve_exact(more).is_ok() {
        Ok(())
    } else {
        Err(no_memory(what, Some(total), size_of::<T>()))
    }
}

/// Checks that memory for `numbers` values can be allocated. `None` means that their number overflows `usize`.
pub(crate) fn check_memory(what: &'static str, numbers: Option<usize>) -> Result<()> {
    reserve(what, &mut Vec::<f64>::new(), numbers)
}

fn invalid(what: &'static str, index: usize, name: &str, position: usize, value: f64, largest: f64) -> Error {
    let problem = format!("{name} {position} is {}, expected at most {largest:e}", Number(value));
    Error::InvalidState { what, index, problem }
}

/// Checks a loaded posterior, with the covariance factors `diagonal` and `upper`. Its mean and variances must be within
/// the bounds that updates guarantee.
pub(crate) fn check_factor(index: usize, mean: &[f64], diagonal: &[f64], upper: &[f64]) -> Result<()> {
    check_mean(index, mean)?;
    match excessive_variance(diagonal, upper) {
        Some((row, variance)) => Err(invalid("covariance of arm", index, "entry", row, variance, LARGEST_COVARIANCE)),
        None => Ok(()),
    }
}

/// Finds the first weight whose variance is too large. The covariance is P = U·D·Uᵀ, so that weight i has the variance
/// P_ii = D_i + Σ_{j>i} U_ij² D_j. Returns the index and the variance.
fn excessive_variance(diagonal: &[f64], upper: &[f64]) -> Option<(usize, f64)> {
    let variance = |row: usize| {
        let square = |column: usize| upper[column * (column - 1) / 2 + row].powi(2) * diagonal[column];
        diagonal[row] + (row + 1..diagonal.len()).map(square).sum::<f64>()
    };
    (0..diagonal.len()).map(|row| (row, variance(row))).find(|(_, value)| value.is_nan() || *value > LARGEST_COVARIANCE)
}

/// Checks an updated posterior: its mean and variances must be within the bounds that a loaded posterior must satisfy.
pub(crate) fn check_grown(mean: &[f64], diagonal: &[f64], upper: &[f64]) -> Result<()> {
    mean.iter().try_for_each(|value| check_within("mean", *value, LARGEST_MEAN))?;
    match excessive_variance(diagonal, upper) {
        Some((_, value)) => check_within("covariance", value, LARGEST_COVARIANCE),
        None => Ok(()),
    }
}

pub(crate) fn check_mean(index: usize, mean: &[f64]) -> Result<()> {
    match mean.iter().position(|value| value.is_nan() || value.abs() > LARGEST_MEAN) {
        Some(position) => Err(invalid("mean of arm", index, "entry", position, mean[position], LARGEST_MEAN)),
        None => Ok(()),
    }
}

/// Checks the diagonal precisions of a loaded posterior: neither their inverses nor later updates may overflow.
pub(crate) fn check_precisions(index: usize, precision: &[f64]) -> Result<()> {
    let fits = |value: f64| (1.0 / LARGEST_COVARIANCE..=LARGEST_PRECISION).contains(&value);
    match precision.iter().position(|value| !fits(*value)) {
        Some(position) => {
            Err(invalid("precision of arm", index, "entry", position, precision[position], LARGEST_PRECISION))
        }
        None => Ok(()),
    }
}

/// Checks one vector of a saved state: it must have the expected length and finite values, and with `positive` only
/// values above 0.
pub(crate) fn check_part(
    what: &'static str,
    index: usize,
    values: &[f64],
    expected: usize,
    positive: bool,
) -> Result<()> {
    let problem = if values.len() != expected {
        format!("has length {}, expected {expected}", values.len())
    } else if let Some(position) = values.iter().position(|value| !value.is_finite() || (positive && *value <= 0.0)) {
        let requirement = if positive { "positive and finite" } else { "finite" };
        format!("entry {position} is {}, expected {requirement}", Number(values[position]))
    } else {
        return Ok(());
    };
    Err(Error::InvalidState { what, index, problem })
}

/// Finds the first arm that occurs twice. Allocates only for more than 32 items.
pub(crate) fn first_double<T>(items: &[T], arm: impl Fn(&T) -> ArmId) -> Option<ArmId> {
    if items.len() <= 32 {
        let twice = |(position, item): &(usize, &T)| items[..*position].iter().any(|other| arm(other) == arm(item));
        return items.iter().enumerate().find(twice).map(|(_, item)| arm(item));
    }
    let mut arms: Vec<ArmId> = items.iter().map(arm).collect();
    arms.sort_unstable();
    arms.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_over_the_limit_is_rejected_and_values_stay() {
        let mut values = vec![1.0; 3];
        let capacity = values.capacity();
        for (more, bytes) in [
            (Some((1 << 37) - 2), (1 << 40) + 8),
            (Some(usize::MAX), u64::MAX),
            (Some(1 << 62), u64::MAX),
            (None, u64::MAX),
        ] {
            assert_eq!(reserve("arms", &mut values, more), Err(Error::Memory { what: "arms", bytes }));
            assert_eq!((&values[..], values.capacity()), (&[1.0; 3][..], capacity));
        }
        assert!(check_memory("arms", None).is_err() && check_memory("arms", Some(1000)).is_ok());
    }

    #[test]
    fn room_for_a_thousand_arms_is_made_a_few_times() {
        let (mut values, mut moves) = (Vec::new(), 0);
        for _ in 0..1000 {
            let before = values.capacity();
            reserve("arms", &mut values, Some(10)).unwrap();
            values.extend([0.0; 10]);
            moves += usize::from(values.capacity() != before);
        }
        assert!(moves < 25, "{moves}");
    }
}
