//! Restriction of a logged request to arms that a policy has.

use crate::arm::ArmId;
use crate::decision::Request;
use crate::error::{Error, Result};

/// Calls `ask` with the request restricted to arms that the policy has. Arms that the policy removed or never had are
/// left out, since it cannot choose them.
///
/// # Errors
/// * Any error that `ask` returns.
/// * Fails if the request lists none of the policy's arms.
pub(super) fn ask_of_known<T>(request: &Request<'_>, mut ask: impl FnMut(&Request<'_>) -> Result<T>) -> Result<T> {
    let outcome = ask(request);
    let (Err(Error::UnknownArm { .. } | Error::RemovedArm { .. }), Some(arms)) = (&outcome, request.ids()) else {
        return outcome;
    };
    let width = request.features(0).map_or(0, <[f64]>::len);
    let mut positions: Vec<usize> = (0..arms.len()).collect();
    let (mut ids, mut features): (Vec<ArmId>, Vec<f64>) = (arms.to_vec(), Vec::new());
    let mut again = None;
    loop {
        let Err(Error::UnknownArm { arm } | Error::RemovedArm { arm }) = again.as_ref().unwrap_or(&outcome) else {
            return again.unwrap_or(outcome);
        };
        let (arm, before) = (*arm, positions.len());
        positions.retain(|position| arms[*position] != arm);
        if positions.is_empty() || positions.len() == before {
            return outcome;
        }
        ids.clear();
        ids.extend(positions.iter().map(|position| arms[*position]));
        features.clear();
        positions
            .iter()
            .filter_map(|position| request.features(*position))
            .for_each(|row| features.extend_from_slice(row));
        again = Some(match width {
            0 => ask(&request.only(&ids)),
            _ => ask(&request.featured(&ids, &features, width)?),
        });
    }
}
