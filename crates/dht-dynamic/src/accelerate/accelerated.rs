//! Result of an acceleration.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::evaluation::{SpeedPoint, evaluate};
use crate::fit::Report;
use crate::model::DynamicModel;
use crate::router::Router;

/// A dynamic model with the report of its acceleration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accelerated {
    /// The model, set to the cheapest speed at which the judged texts are answered [without
    /// loss](crate::evaluation::Stages::lossless) of accuracy.
    pub model: DynamicModel,
    /// Report of the fits, and of the cost and accuracy at each speed.
    pub report: Report,
}

impl Accelerated {
    /// Replaces the router. Its curve of accuracy against cost is measured on held-out texts: each of the given speeds,
    /// lowest first, takes one pass, and the classifier alone takes another. The model starts at the highest of these
    /// speeds at which it is as accurate as the classifier, or at the first speed if there is none. A router with a
    /// single speed has no curve: set it on the [model](DynamicModel::with_router).
    ///
    /// # Errors
    /// [`Error::Argument`] for no speeds or no texts, and for a speed that the router rejects; errors of the router and
    /// the encoder.
    pub fn with_router(
        self,
        router: Box<dyn Router>,
        held_out: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
    ) -> Result<Self> {
        let Self { model, mut report } = self;
        for (field, given) in [("speeds", speeds.len()), ("held-out texts", held_out.len())] {
            if given == 0 {
                return Err(Error::argument(field, "at least one", "none"));
            }
        }
        let own = model.model().exit_log_probabilities(held_out, batch_size)?.pop();
        let labels: Vec<u32> = held_out.samples.iter().map(|sample| sample.label).collect();
        report.own_accuracy = own.map_or(0.0, |own| own.accuracy(&labels));
        let model = model.with_router(router);
        let full_flops = model.full_inference_flops(held_out);
        let point = |speed: &f64| {
            let found = evaluate(&model.with_speed(*speed)?, held_out, batch_size)?;
            let flops_ratio = (found.flops + found.bandit_flops) as f64 / full_flops.max(1) as f64;
            Ok(SpeedPoint { speed: *speed, flops_ratio, accuracy: found.confusion.accuracy() })
        };
        report.of_curve(speeds.iter().map(point).collect::<Result<_>>()?);
        Ok(Self { model: model.with_speed(report.speed)?, report })
    }
}
