//! Recording of the cost and the decisions of a training run.

use dht_dynamic::Route;
use dht_dynamic::exit::ExitReads;
use dht_dynamic::passage::Trace;
use dht_transformer::{PackedBatch, Progress};

use super::objective::SearchObjective;
use crate::cost::LayerHeadCount;
use crate::error::Result;

impl SearchObjective {
    /// Records the cost and the decisions of a training batch.
    pub(super) fn record_trace(
        &mut self,
        batch: &PackedBatch,
        trace: &Trace,
        loss: &dyn Fn(usize) -> f64,
        progress: Progress,
    ) -> Result<()> {
        let routes = trace.routes(self.dynamic.space.layout(), 0)?;
        for (sample, (route, tokens)) in routes.iter().zip(batch.spans.lengths()).enumerate() {
            self.record_text(route, tokens, &trace.reads_of(sample), loss(sample), progress)?;
        }
        self.record_teacher(batch);
        self.record_routing(trace);
        for trace in &trace.groups {
            let layers = self.dynamic.space().groups()[trace.group];
            for group in &trace.decisions.head_sets {
                self.accounting.curves.head_set(layers, group.heads, group.samples.len() as u64)?;
            }
        }
        Ok(())
    }

    /// Records the cost, route and loss of a training text.
    pub(super) fn record_text(
        &mut self,
        route: &Route,
        tokens: usize,
        reads: &[ExitReads],
        loss: f64,
        progress: Progress,
    ) -> Result<()> {
        let model = self.exit_model();
        let flops = model.forward_flops(route, tokens, reads) + model.backward_flops(route, tokens, reads);
        self.accounting.flops += flops;
        self.accounting.layer_head_sum += LayerHeadCount::default().share(route);
        *self.accounting.routes.entry(route.to_string()).or_default() += 1;
        self.accounting.samples += 1;
        if let Some(observer) = &mut self.observer.0 {
            observer(route.depth());
        }
        self.accounting.curves.outcome(progress.share.min(1.0), route, loss)
    }

    pub(super) fn record_routing(&mut self, trace: &Trace) {
        let members = trace.groups.iter().map(|group| group.members.len()).sum();
        self.accounting.bandit_flops += self.dynamic.routing_flops(&trace.decisions.exits, members);
    }
}
