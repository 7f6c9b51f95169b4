//! What decides whether a text goes on: thresholds, whose curves are arithmetic, and bandits, which learn from held-out texts.

use dht_transformer::EncodedDataset;

use crate::error::Result;
use crate::evaluation::{SpeedPoint, evaluate};
use crate::model::DynamicModel;
use crate::reward::RewardShape;
use crate::settings::{ContextDesign, RouterKind, SearchSettings};

/// Contexts that bandits see before they learn: signals keep their ranges, so that there is nothing to scale.
const WARM_UP: usize = 2;
/// The speeds λ of the curve: 0, and from the first to the last in equal ratios.
const SPEEDS: [f64; 2] = [0.003, 10.0];
const STEPS: i32 = 32;

/// What follows from the router for the settings of the model.
pub(super) fn search_settings(router: RouterKind) -> SearchSettings {
    SearchSettings {
        router,
        context: ContextDesign::Signals,
        reward_shape: RewardShape::Gain { lambda: 0.0 },
        nested_feedback: true,
        forgetting_decay: 1.0,
        warm_up_contexts: WARM_UP,
        ..SearchSettings::default()
    }
}

/// The curve of a bandit: the texts, predicted at several speeds.
pub(super) fn curve(
    model: &DynamicModel,
    texts: &EncodedDataset,
    full_flops: u64,
    batch_size: usize,
) -> Result<Vec<SpeedPoint>> {
    let [first, last] = SPEEDS;
    let speed = |step: i32| first * (last / first).powf(f64::from(step) / f64::from(STEPS - 1));
    let point = |speed: f64| {
        let found = evaluate(&model.with_speed(speed)?, texts, batch_size)?;
        let flops_ratio = (found.flops + found.bandit_flops) as f64 / full_flops.max(1) as f64;
        Ok(SpeedPoint { speed, flops_ratio, accuracy: found.confusion.accuracy() })
    };
    std::iter::once(0.0).chain((0..STEPS).map(speed)).map(point).collect()
}
