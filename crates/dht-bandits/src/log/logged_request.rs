//! Requests of decisions and slates, as a log stores them.

use serde::{Deserialize, Serialize};

use super::error::LogProblem;
use crate::arm::ArmId;
use crate::decision::{Actions, Request};

/// Request of a decision or slate, as a log stores it. `DecisionLog::append_request` and `append_slate_request` write
/// it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoggedRequest {
    /// Context of the request. `None` if it equals the context that the decision stores. Policies with arm features
    /// store the context followed by the features of the chosen arm, so that the two differ. Always present for a
    /// slate.
    #[serde(default)]
    pub(super) context: Option<Vec<f64>>,
    /// Available arms; `None` if all arms were available.
    #[serde(default)]
    pub(super) available: Option<Vec<ArmId>>,
    /// Feature vectors of the `available` arms in their order, row-major. `None` if arms have no features.
    #[serde(default)]
    pub(super) features: Option<Vec<f64>>,
}

impl LoggedRequest {
    /// Creates the stored form of a request. The context is left out if it equals `decision_context`, which the log
    /// already contains.
    pub(super) fn new(
        request: &Request<'_>,
        decision_context: Option<&[f64]>,
        probabilities: Option<&[(ArmId, f64)]>,
    ) -> Result<Self, LogProblem> {
        let (available, features) = match request.actions {
            Actions::All => (None, None),
            Actions::Only(arms) => (Some(arms.to_vec()), None),
            Actions::Featured(featured) => (Some(featured.ids().to_vec()), Some(featured.rows().to_vec())),
            Actions::Except([]) => (None, None),
            // The request excludes some arms. The policy's probabilities list the others.
            Actions::Except(without) => match probabilities {
                Some(all) => {
                    let arms = all.iter().map(|(arm, _)| *arm).filter(|arm| !without.contains(arm));
                    (Some(arms.collect()), None)
                }
                None => {
                    let what = "list of the arms that could be chosen: name them (`Request::only`), or, for a decision, \
                                log probabilities";
                    return Err(LogProblem::Missing(what.to_owned()));
                }
            },
        };
        let context = (Some(request.context) != decision_context).then(|| request.context.to_vec());
        Ok(Self { context, available, features })
    }
}
