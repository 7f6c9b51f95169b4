//! Selects the strength of a penalty by a loss, for example on held-out rows.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// Selects the penalty with the smallest loss among `penalties` ordered candidates. `evaluate` maps a candidate's index
/// to its loss and another value, such as a fitted model. Returns the selected index and the other value.
///
/// The search starts at the middle candidate. It continues to larger indices while the loss falls, or otherwise to
/// smaller indices. This assumes that, except for noise, the loss has a single minimum along the candidates.
///
/// # Errors
/// * [`Error::Argument`] if there are no candidates.
/// * Any error that `evaluate` returns.
pub(crate) fn best_penalty<T>(
    penalties: usize,
    mut evaluate: impl FnMut(usize) -> Result<(f64, T)>,
) -> Result<(usize, T)> {
    if penalties == 0 {
        return Err(Error::argument("c", "at least one", 0));
    }
    let middle = penalties / 2;
    let (mut at, mut best) = (middle, evaluate(middle)?);
    for larger in middle + 1..penalties {
        let next = evaluate(larger)?;
        if !next.0.partial_cmp(&best.0).is_some_and(Ordering::is_lt) {
            break;
        }
        (at, best) = (larger, next);
    }
    let below = if at == middle { middle } else { 0 };
    for smaller in (0..below).rev() {
        let next = evaluate(smaller)?;
        // In a tie, the stronger penalty is selected.
        if !next.0.partial_cmp(&best.0).is_some_and(Ordering::is_le) {
            break;
        }
        (at, best) = (smaller, next);
    }
    Ok((at, best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_minimum_of_every_valley() {
        for penalties in 1..9 {
            for lowest in 0..penalties {
                let mut tried = Vec::new();
                let loss = |at: usize| {
                    tried.push(at);
                    Ok((at.abs_diff(lowest) as f64, at))
                };
                assert_eq!(best_penalty(penalties, loss).unwrap(), (lowest, lowest));
                tried.sort_unstable();
                tried.dedup();
                // From five on, no valley takes every penalty.
                assert!(penalties < 5 || tried.len() < penalties, "{tried:?} of {penalties}");
            }
        }
        assert!(best_penalty(0, |_| Ok((0.0, ()))).is_err());
    }
}
