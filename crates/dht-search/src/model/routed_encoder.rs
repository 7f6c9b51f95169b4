//! An encoder with exits, without routers.

use dht_transformer::{
    EncodedDataset, Encoder, HeadSet, PackedBatch, SampleGroup,
    pruning::{Importance, PrunePlan},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::exits::Exits;
use crate::cost::{ExecutedFlops, WidthCoupling};
use crate::error::{Error, Result};
use crate::routing::{ExitReads, ForwardTrace};
use crate::settings::SearchSettings;
use crate::space::SearchSpace;
use dht_dynamic::Route;

/// An encoder, its exits, and the space of its routes. A clone is another handle on the same weights: training one
/// trains the other.
#[derive(Debug, Clone)]
pub struct RoutedEncoder {
    pub(crate) encoder: Encoder,
    pub(crate) exits: Exits,
    pub(crate) space: SearchSpace,
    pub(crate) coupling: WidthCoupling,
}

impl RoutedEncoder {
    /// Adds the exits of a space to an encoder. With [`WidthCoupling::HeadsAndFfn`] the neurons of its layers are
    /// sorted by magnitude first, which does not change the encoder's output. The layers of the space's tail are
    /// frozen.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings that are out of range or do not fit the space, a space of another size than the
    /// encoder, and fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: &SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        check_size(&encoder, &space)?;
        if settings.width_coupling == WidthCoupling::HeadsAndFfn {
            let importance = Importance::by_magnitude(&encoder)?;
            let (heads, neurons) = (space.model_shape().heads, encoder.block_shape().ffn);
            encoder = encoder.prune(&PrunePlan::most_important(&encoder, &importance, heads, neurons)?)?;
        }
        Self::of_sorted(encoder, space, settings, classes, rng)
    }

    /// Adds the exits as [`new`](Self::new), to an encoder whose neurons are sorted already.
    pub(crate) fn of_sorted<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: &SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        check_size(&encoder, &space)?;
        settings.check_with(&space)?;
        let exits = Exits::new(&mut encoder, classes, &space, settings, rng)?;
        let model = Self { encoder, exits, space, coupling: settings.width_coupling };
        model.freeze_tail(true);
        Ok(model)
    }

    /// Returns a copy with separate weights; `settings` are those of the exits.
    pub(crate) fn deep_clone(&self, settings: &SearchSettings) -> Result<Self> {
        let own = self.encoder.parameters();
        let encoder = self.encoder.bare_clone()?;
        let copied = encoder.parameters().clone();
        // The random values of the exits are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let mut copy = Self::of_sorted(encoder, self.space.clone(), settings, self.classes(), &mut nothing)?;
        for (id, name, var) in own.iter() {
            let known = copy.encoder.parameters().id(name);
            let copy_of = match known {
                Ok(known) => known,
                Err(_) => copy.encoder.add_parameter(name, var.as_tensor())?.id(),
            };
            copy.encoder.parameters().set_frozen(copy_of, own.is_frozen(id));
        }
        copy.encoder.parameters().update_values(own.values_where(|name| copied.id(name).is_err())?)?;
        Ok(copy)
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The space of routes.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.exits.classes()
    }

    /// Changes to another space and its exits, unfreezes the tail of the old space and freezes the tail of the new one.
    pub(crate) fn enter(&mut self, space: SearchSpace, exits: Exits) {
        self.freeze_tail(false);
        (self.space, self.exits) = (space, exits);
        self.freeze_tail(true);
    }

    /// Freezes or unfreezes the layers of the tail.
    fn freeze_tail(&self, frozen: bool) {
        if let Some(tail) = self.space.tail() {
            tail.layers().for_each(|layer| self.encoder.freeze_layer(layer, frozen));
        }
    }

    /// A group of adjacent samples that keep these heads, with the number of neurons coupled to them.
    pub(crate) fn sample_group(&self, samples: usize, heads: HeadSet) -> SampleGroup {
        let width = self.coupling.width(&self.encoder.block_shape(), heads.len());
        SampleGroup { samples, heads, neurons: width.ffn }
    }

    /// The heads to pin: those with the largest sum of `importance` over the layers of the dynamic groups (with a
    /// choice of heads); in a tie, the lower index. `importance` gives a value for each head of a layer. `None` if the
    /// space pins no heads.
    pub(crate) fn most_important_heads(
        &self,
        importance: impl Fn(usize) -> Result<Vec<f64>>,
    ) -> Result<Option<HeadSet>> {
        let (heads, pinned) = (self.space.model_shape().heads, self.space.pinned());
        if pinned == 0 {
            return Ok(None);
        }
        let mut sums = vec![0.0; heads];
        for layer in self.space.groups().iter().flat_map(|group| group.layers()) {
            sums.iter_mut().zip(importance(layer)?).for_each(|(sum, of_head)| *sum += of_head);
        }
        let mut order: Vec<usize> = (0..heads).collect();
        order.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]).then(a.cmp(b)));
        Ok(Some(HeadSet::from_indices(order.into_iter().take(pinned), heads)?))
    }

    /// The heads to pin by the largest norm, from [`Encoder::head_magnitudes`].
    pub(crate) fn heads_of_largest_norm(&self) -> Result<Option<HeadSet>> {
        self.most_important_heads(|layer| Ok(self.encoder.head_magnitudes(layer)?))
    }

    /// Rejects texts on which this model cannot be trained or scored.
    pub(crate) fn check_texts(&self, texts: &EncodedDataset) -> Result<()> {
        if let Some(sample) = texts.samples.iter().find(|sample| !sample.targets.is_empty()) {
            let expected = "none: a search takes texts of one class each, not of several labels or of a number";
            let got = format!("{} in row {}", sample.targets.len(), sample.id);
            return Err(Error::shape("targets", expected, got));
        }
        self.encoder.check_samples(texts)?;
        texts.check_classes(self.classes())?;
        if texts.labels.len() != self.classes() {
            return Err(Error::shape("labels", format!("the model's {} classes", self.classes()), texts.labels.len()));
        }
        Ok(())
    }

    /// The FLOPs formulas of the layers.
    pub(crate) fn layer_flops(&self) -> ExecutedFlops {
        ExecutedFlops { block: self.encoder.block_shape(), coupling: self.coupling }
    }

    /// Forward FLOPs of a sample on a route, given the number of reads by each exit.
    pub(crate) fn forward_flops(&self, route: &Route, tokens: usize, reads: &[ExitReads]) -> u64 {
        let of_exit = |(exit, reads): (usize, &ExitReads)| match reads.total() {
            0 => 0,
            total => total * self.exits.at(exit).flops(tokens).forward.0,
        };
        let exits = reads.iter().enumerate().map(of_exit);
        self.layer_flops().forward(route, tokens).0 + exits.sum::<u64>()
    }

    /// Backward FLOPs of a sample on a route, given the number of reads by each exit.
    pub(crate) fn backward_flops(&self, route: &Route, tokens: usize, reads: &[ExitReads]) -> u64 {
        let of_exit = |(exit, reads): (usize, &ExitReads)| {
            let flops = self.exits.at(exit).flops(tokens);
            reads.attached * flops.backward.0 + reads.detached * flops.backward_weights.0
        };
        self.layer_flops().backward(route, tokens).0 + reads.iter().enumerate().map(of_exit).sum::<u64>()
    }

    /// Forward FLOPs by sample, given the routes. The pre-pass is included, if there was one.
    pub(crate) fn trace_flops(&self, batch: &PackedBatch, trace: &ForwardTrace, routes: &[Route]) -> Vec<u64> {
        let pre_pass = |tokens| if trace.pre_pass { self.layer_flops().pre_pass(&self.space, tokens).0 } else { 0 };
        let of_sample =
            |(sample, (route, tokens))| pre_pass(tokens) + self.forward_flops(route, tokens, &trace.reads_of(sample));
        routes.iter().zip(batch.spans.lengths()).enumerate().map(of_sample).collect()
    }

    /// The full model's route: all layers with all heads.
    pub(crate) fn full_route(&self) -> Result<Route> {
        Ok(Route::truncated(self.space.model_shape(), self.space.model_shape().layers)?)
    }

    /// The exit reads of a sample in the full model: the last exit, once.
    pub(crate) fn full_reads(&self) -> Vec<ExitReads> {
        let mut reads = vec![ExitReads::default(); self.space.exits().len()];
        if let Some(last) = reads.last_mut() {
            last.attached = 1;
        }
        reads
    }

    /// FLOPs of one training epoch of the full model on these texts with the last exit: the denominator of training FLOPs ratios.
    ///
    /// # Errors
    /// None for a model of this space.
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (route, reads) = (self.full_route()?, self.full_reads());
        let of_text = |tokens| self.forward_flops(&route, tokens, &reads) + self.backward_flops(&route, tokens, &reads);
        Ok(texts.lengths().into_iter().map(of_text).sum())
    }

    /// FLOPs of predicting these texts with the full model and the last exit: the denominator of inference FLOPs
    /// ratios.
    ///
    /// # Errors
    /// None for a model of this space.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (route, reads) = (self.full_route()?, self.full_reads());
        Ok(texts.lengths().into_iter().map(|tokens| self.forward_flops(&route, tokens, &reads)).sum())
    }
}

fn check_size(encoder: &Encoder, space: &SearchSpace) -> Result<()> {
    let (shape, heads) = (space.model_shape(), encoder.block_shape().heads);
    if (encoder.layers(), heads) == (shape.layers, shape.heads) {
        return Ok(());
    }
    let expected = format!("a space of {} layers and {heads} heads", encoder.layers());
    Err(Error::argument("space", expected, format!("{} and {}", shape.layers, shape.heads)))
}
