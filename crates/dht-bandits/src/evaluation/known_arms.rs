//! Restriction of a logged request to the arms that a policy has.

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::{Actions, Featured, Request};

/// Asks a policy about the arms of a request that it has: it never chooses an arm that it removed or never had.
///
/// # Errors
/// Errors of the policy; a request that names none of its arms, as an unknown or removed arm.
pub(super) fn ask_of_known<T>(request: &Request<'_>, mut ask: impl FnMut(&Request<'_>) -> Result<T>) -> Result<T> {
    let outcome = ask(request);
    let (Err(Error::UnknownArm { .. } | Error::RemovedArm { .. }), Some((arms, width))) = (&outcome, named(request))
    else {
        return outcome;
    };
    let mut kept: Vec<usize> = (0..arms.len()).collect();
    let (mut ids, mut features): (Vec<ArmId>, Vec<f64>) = (arms.to_vec(), Vec::new());
    let mut again = None;
    loop {
        let Err(Error::UnknownArm { arm } | Error::RemovedArm { arm }) = again.as_ref().unwrap_or(&outcome) else {
            return again.unwrap_or(outcome);
        };
        let (arm, before) = (*arm, kept.len());
        kept.retain(|position| arms[*position] != arm);
        if kept.is_empty() || kept.len() == before {
            return outcome;
        }
        ids.clear();
        ids.extend(kept.iter().map(|position| arms[*position]));
        again = Some(match request.actions {
            Actions::Featured(featured) => {
                features.clear();
                kept.iter().for_each(|position| features.extend_from_slice(featured.at(*position)));
                ask(&request.featured(Featured::new(&ids, &features, width)?))
            }
            _ => ask(&request.only(&ids)),
        });
    }
}

/// Arms that a request names, and the number of features of each.
fn named<'a>(request: &Request<'a>) -> Option<(&'a [ArmId], usize)> {
    match request.actions {
        Actions::Only(arms) => Some((arms, 0)),
        Actions::Featured(featured) => Some((featured.ids(), featured.width())),
        Actions::All | Actions::Except(_) => None,
    }
}
