//! Search presets T-, S-, F- and P-DHT of a reproduction.

use dht_dynamic::evaluate;
use dht_search::{
    Preset,
    evaluation::evaluate_shuffled,
    evaluation::{Queued, evaluate_queued},
};

use super::files::{SeedRow, UnitResult};
use super::options::{SINGLE_ROWS, TIMED_ROWS};
use super::units::Unit;
use super::worker::Worker;
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, CONTROL, PlannedSearch, experiment, pooling, rng};
use crate::record::{RouteCounts, RowGroup};

/// Number of random assignments of the selected routes to the texts. The score of these assignments is the control for
/// selecting a route by text.
const SHUFFLES: u64 = 3;
/// Number of most frequent head sets that are stored for each group of layers.
const HEAD_SETS: usize = 12;

impl Worker<'_> {
    /// Trains the model of a search preset, and tests it.
    pub(super) fn search(&self, preset: Preset) -> Result<UnitResult> {
        let published = matches!(self.unit, Unit::AsPublished(_));
        let planned = PlannedSearch::new(preset, &self.run, &self.encoder, pooling(&self.run))?;
        let copy = self.encoder.truncated(self.encoder.layers())?;
        let mut search = planned.objective(copy, self.classes(), &mut rng(&self.run, CLASSIFIERS))?;
        let history = self.fit(&mut search)?;
        let model = search.model();
        // The paper uses its queues at inference too.
        let evaluation = match published {
            true => evaluate_queued(model, &self.data.test, self.batch())?,
            false => evaluate(model, &self.data.test, self.batch())?,
        };

        let clock = if published { self.wall_ratio(&Queued(model))? } else { self.wall_ratio(model)? };
        let mut row = SeedRow {
            group: if published { RowGroup::AsPublished } else { RowGroup::Ours },
            epochs: self.run.epochs,
            labels: evaluation.labels.clone(),
            macro_f1: evaluation.confusion.macro_f1(),
            accuracy: evaluation.confusion.accuracy(),
            inference_flops: evaluation.flops + evaluation.routing_flops,
            inference_layer_head_ratio: evaluation.layer_head_ratio,
            inference_wall_ratio: clock.batches,
            ..SeedRow::default()
        };
        if published {
            // A single text fills no queue, and queues have no cost for each row, so neither clock is scaled.
            let experiment = experiment(&self.run, &self.data, &self.encoder);
            row.deviations = model.settings().deviations(model.space(), &experiment);
        } else {
            let tested = self.test(model)?;
            row.inference_wall_ratio = self.of_all_rows(clock.batches, TIMED_ROWS, &tested);
            row.single_text_wall_ratio = Some(self.of_all_rows(clock.single_texts, SINGLE_ROWS, &tested));
        }
        let accounting = search.accounting();
        row.method = preset.name().into();
        row.setting = if published { "as published" } else { "ours" }.into();
        row.train_flops = accounting.flops + accounting.bandit_flops;
        row.train_seconds = history.train_seconds - history.optimizer_seconds;
        row.train_layer_head_ratio = accounting.layer_head_sum / accounting.samples.max(1) as f64;

        let mut rng = rng(&self.run, CONTROL);
        let mut random = 0.0;
        for _ in 0..SHUFFLES {
            let shuffled = evaluate_shuffled(model, &self.data.test, &evaluation, self.batch(), &mut rng)?;
            random += shuffled.confusion.macro_f1() / SHUFFLES as f64;
        }
        row.random_macro_f1 = Some(random);
        row.routes = Some(RouteCounts { train: accounting.routes.clone(), test: evaluation.route_counts() });
        let curves = accounting.curves.curves(HEAD_SETS);
        row.curves = Some(curves);
        self.save_exits(model)?;
        Ok(UnitResult {
            hash: String::new(),
            train_flops: row.train_flops,
            train_seconds: row.train_seconds,
            rows: vec![row],
        })
    }
}
