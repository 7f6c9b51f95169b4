//! Result of an acceleration.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::evaluation::{SpeedPoint, evaluate};
use crate::fit::{DEFAULT_SPEED, Report};
use crate::model::DynamicModel;
use crate::outputs::truth_of;
use crate::router::Router;

/// A dynamic model with the report of its acceleration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accelerated {
    /// The model, set to the [default speed](Report::speed).
    pub model: DynamicModel,
    /// Report of the fits, and of the cost and accuracy at each speed.
    pub report: Report,
}

impl Accelerated {
    /// Replaces the router. Its curve of accuracy against cost is measured on held-out texts: each of the given speeds,
    /// lowest first, takes one pass, and all layers take another. The model starts at the highest of these speeds that keeps
    /// the risk of a [default speed](Report::speed), as all lower ones do, or at the first speed if there is none. A router
    /// with a single speed has no curve: set it on the [model](DynamicModel::with_router).
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
        let exits = model.model().exit_log_probabilities(held_out, batch_size)?;
        let labels = truth_of(held_out);
        report.own_accuracy = exits.last().map_or(0.0, |own| own.score(&labels));
        let all_layers = model.stacked(held_out, exits)?.pop();
        let model = model.with_router(router);
        let full_flops = model.full_flops_of_each(held_out);
        (report.speed, report.curve) = (speeds[0], Vec::new());
        let mut keeps = true;
        for &speed in speeds {
            let found = evaluate(&model.with_speed(speed)?, held_out, batch_size)?;
            let accuracy = model.model().outputs().score(&found.labels, &labels);
            report.curve.push(SpeedPoint::of_texts(speed, accuracy, &found.row_flops, &full_flops));
            keeps =
                keeps && all_layers.as_ref().is_none_or(|last| DEFAULT_SPEED.holds_for(&last.regrets(&found.labels)));
            if keeps {
                report.speed = speed;
            }
        }
        Ok(Self { model: model.with_speed(report.speed)?, report })
    }
}
