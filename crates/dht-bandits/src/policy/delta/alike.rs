//! Checks that two policies have settings and scalings of contexts under which their evidence can be merged.

use crate::error::{Error, Result};
use crate::policy::PolicySettings;
use crate::policy::normalised::Scaling;

/// Fails if two policies have settings under which their evidence cannot be added. Arms, exploration and seed may
/// differ between workers.
pub(in crate::policy) fn check_alike(ours: &PolicySettings, theirs: &PolicySettings) -> Result<()> {
    macro_rules! same {
        ($($key:ident),*) => {
            $(if ours.$key != theirs.$key {
                let (key, ours, theirs) = (stringify!($key), &ours.$key, &theirs.$key);
                let problem = format!("{key}: {ours:?} here and {theirs:?} there, expected the same to merge");
                return Err(Error::Settings { problem });
            })*
        };
    }
    same!(
        kind,
        dimension,
        features,
        prior_precision,
        shared_prior_precision,
        decay,
        clock,
        window,
        reset,
        normaliser,
        interactions,
        groups
    );
    Ok(())
}

/// Fails if evidence was learned under different scalings of contexts.
pub(in crate::policy) fn check_scaling(ours: Option<&Scaling>, theirs: Option<&Scaling>) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let problem =
        "normaliser: the scalings differ, expected copies of one policy made after its scaling was frozen".to_owned();
    Err(Error::Settings { problem })
}
