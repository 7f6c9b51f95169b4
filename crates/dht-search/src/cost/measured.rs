//! Cost of a route in seconds, from measurements of single layers.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Device;
use dht_dynamic::{Route, route::ModelShape};
use dht_transformer::{Encoder, Encoding, ForwardContext, HeadSet, PackedBatch, Sample, SampleGroup};
use serde::{Deserialize, Serialize};

use super::WidthCoupling;
use crate::error::{Error, Result};

/// Measured seconds of one layer with a fixed number of heads and text length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSeconds {
    /// Number of heads that the layer keeps.
    pub heads: usize,
    /// Number of tokens of the text.
    pub tokens: usize,
    /// Seconds per text and layer.
    pub seconds: f64,
}

/// Cost of routes in seconds, interpolated from times that were measured for several numbers of heads and text lengths.
///
/// Seconds are interpolated linearly between two measured lengths and between two measured head counts. A text shorter
/// or longer than all measured ones gets the cost of the nearest measured length, so measure the whole range.
///
/// # Examples
/// ```
/// use dht_search::Preset;
/// use dht_search::cost::{LayerSeconds, MeasuredCost};
///
/// let space = Preset::FDht.space(12, 12)?;
/// let rows = [
///     LayerSeconds { heads: 12, tokens: 64, seconds: 6e-3 },
///     LayerSeconds { heads: 8, tokens: 64, seconds: 5e-3 },
/// ];
/// let cost = MeasuredCost::new(space.model_shape(), 0.0, &rows)?;
/// // 3 base layers with 12 heads and 9 layers with 8 heads: (3·6 + 9·5) / (12·6).
/// let share = cost.share(&space.resolve(&"12L8H".parse()?)?, 64)?;
/// assert!((share - 0.875).abs() < 1e-12);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MeasuredData", into = "MeasuredData")]
pub struct MeasuredCost {
    shape: ModelShape,
    exit_seconds: f64,
    /// For each measured number of heads, pairs of text length (in tokens) and seconds. Numbers of heads and lengths
    /// ascend. A layer with all its heads is always included.
    table: Vec<(usize, Vec<(usize, f64)>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasuredData {
    layers: usize,
    heads: usize,
    exit_seconds: f64,
    table: Vec<LayerSeconds>,
}

impl MeasuredCost {
    /// Creates the cost of a model from measured rows. `exit_seconds` are the seconds per text outside the layers:
    /// embedding, pooler and classifier.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) in these cases:
    ///
    /// * No row is for all heads of a layer, or two rows are for the same numbers of heads and tokens.
    /// * A row is for no head, for more heads than a layer has, or for no token.
    /// * A time is not finite and positive; `exit_seconds` may be 0.
    /// * [`ModelShape::check`] rejects the size of the model.
    pub fn new(shape: ModelShape, exit_seconds: f64, rows: &[LayerSeconds]) -> Result<Self> {
        shape.check()?;
        if !exit_seconds.is_finite() || exit_seconds < 0.0 {
            return Err(Error::argument("exit_seconds", "a finite number, 0 or more", exit_seconds));
        }
        let mut table: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
        for row in rows {
            let LayerSeconds { heads, tokens, seconds } = *row;
            if heads == 0 || heads > shape.heads || tokens == 0 || !seconds.is_finite() || seconds <= 0.0 {
                let expected = format!("1 to {} heads, a token or more, finite seconds above 0", shape.heads);
                return Err(Error::argument("measured row", expected, format!("{row:?}")));
            }
            if table.entry(heads).or_default().insert(tokens, seconds).is_some() {
                let expected = "one row for each number of heads and tokens";
                return Err(Error::argument("measured row", expected, format!("a second {row:?}")));
            }
        }
        if !table.contains_key(&shape.heads) {
            let expected = format!("rows for {} heads, the full model's", shape.heads);
            return Err(Error::argument("measured rows", expected, "none"));
        }
        let table = table.into_iter().map(|(heads, seconds)| (heads, seconds.into_iter().collect())).collect();
        Ok(Self { shape, exit_seconds, table })
    }

    /// Measures the layers of an encoder on this machine.
    ///
    /// For each number of heads and tokens, 8 texts of random tokens run through all layers; the minimum time of five
    /// runs is used. The time outside the layers is the largest over all lengths. `heads` should contain every head
    /// count of the routes, and `tokens` should cover the lengths of the texts. The measurement takes about as long as
    /// 40 texts for each combination of heads and tokens.
    ///
    /// # Errors
    /// * As [`new`](Self::new).
    /// * The encoder's error if it has fewer positions than a measured text has tokens.
    pub fn of_encoder(encoder: &Encoder, heads: &[usize], tokens: &[usize], coupling: WidthCoupling) -> Result<Self> {
        const TEXTS: usize = 8;
        let (block, layers) = (encoder.block_shape(), encoder.layers());
        let shape = ModelShape { layers, heads: block.heads };
        let vocabulary = encoder.config().vocab_size.max(1) as u32;
        let batch = |tokens: usize| {
            let sample = |id: u64| {
                // The values of the tokens do not matter.
                let ids = (0..tokens as u32).map(|index| (index * 7919 + id as u32 * 104_729) % vocabulary).collect();
                let encoding = Encoding { ids, type_ids: vec![0; tokens], truncated: false, rest: Default::default() };
                Sample { id, label: 0, targets: Vec::new(), encoding }
            };
            PackedBatch::from_samples(&(0..TEXTS as u64).map(sample).collect::<Vec<_>>())
        };
        let (ctx, device) = (ForwardContext::inference(), encoder.parameters().device());
        let (mut rows, mut exit_seconds) = (Vec::new(), 0.0_f64);
        for &tokens in tokens {
            let batch = batch(tokens)?;
            let hidden = encoder.embed(&batch, &ctx)?;
            let outside = minimum_seconds(device, || Ok(encoder.embed(&batch, &ctx)?.mean_rows()?))?;
            exit_seconds = exit_seconds.max(outside / TEXTS as f64);
            for &heads in heads {
                let set = HeadSet::from_indices(0..heads, block.heads)?;
                let group = [SampleGroup { samples: TEXTS, heads: set, neurons: coupling.width(&block, heads).ffn }];
                let all = minimum_seconds(device, || Ok(encoder.run_groups(0..layers, &hidden, &group, &ctx)?))?;
                // A clock too coarse to measure a layer gives 0, which the table rejects.
                let seconds = (all / (TEXTS * layers) as f64).max(1e-9);
                rows.push(LayerSeconds { heads, tokens, seconds });
            }
        }
        Self::new(shape, exit_seconds, &rows)
    }

    /// Number of layers and heads of the model.
    pub fn model_shape(&self) -> ModelShape {
        self.shape
    }

    /// Seconds of a route for a text of `tokens` tokens.
    ///
    /// # Errors
    /// * [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if the route is for a model of another size.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the route keeps fewer heads than any row of the table.
    pub fn seconds(&self, route: &Route, tokens: usize) -> Result<f64> {
        route.check_shape(self.shape)?;
        let mut sum = self.exit_seconds;
        for group in route.groups() {
            sum += self.layer_seconds(group.heads, tokens)? * group.layers.len() as f64;
        }
        Ok(sum)
    }

    /// Seconds of a route for a text of `tokens` tokens, as a share of the full model's seconds.
    ///
    /// # Errors
    /// * As [`seconds`](Self::seconds).
    /// * [`Argument`](dht_dynamic::Error::Argument) if the text has no tokens.
    pub fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        if tokens == 0 {
            return Err(Error::argument("tokens", "at least 1", tokens));
        }
        let full = self.exit_seconds + self.layer_seconds(self.shape.heads, tokens)? * self.shape.layers as f64;
        Ok(self.seconds(route, tokens)? / full)
    }

    fn layer_seconds(&self, heads: usize, tokens: usize) -> Result<f64> {
        let least = self.table[0].0;
        if heads < least {
            let got = format!("a route of {heads}");
            return Err(Error::argument("heads of a measured cost", format!("{least} or more"), got));
        }
        let by_heads: Vec<_> =
            self.table.iter().map(|(heads, seconds)| (*heads, interpolate(seconds, tokens))).collect();
        Ok(interpolate(&by_heads, heads))
    }
}

/// Minimum time of five runs, in seconds. Each time includes the wait for the device to complete its work.
fn minimum_seconds<T>(device: &Device, mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    let mut least = f64::INFINITY;
    device.synchronize()?;
    for _ in 0..5 {
        let start = Instant::now();
        work()?;
        device.synchronize()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Interpolates linearly between the two points around `at`; outside all points, returns the value of the nearest
/// point. `points` are pairs in ascending order, at least one.
fn interpolate(points: &[(usize, f64)], at: usize) -> f64 {
    let after = points.partition_point(|(point, _)| *point < at);
    if after == 0 || after == points.len() {
        return points[after.min(points.len() - 1)].1;
    }
    let ((left, low), (right, high)) = (points[after - 1], points[after]);
    low + (high - low) * (at - left) as f64 / (right - left) as f64
}

impl TryFrom<MeasuredData> for MeasuredCost {
    type Error = Error;

    fn try_from(data: MeasuredData) -> Result<Self> {
        Self::new(ModelShape { layers: data.layers, heads: data.heads }, data.exit_seconds, &data.table)
    }
}

impl From<MeasuredCost> for MeasuredData {
    fn from(cost: MeasuredCost) -> Self {
        let rows = |(heads, seconds): (usize, Vec<(usize, f64)>)| {
            seconds.into_iter().map(move |(tokens, seconds)| LayerSeconds { heads, tokens, seconds })
        };
        Self {
            layers: cost.shape.layers,
            heads: cost.shape.heads,
            exit_seconds: cost.exit_seconds,
            table: cost.table.into_iter().flat_map(rows).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use dht_dynamic::Error as Dynamic;

    use super::*;
    use crate::space::Preset;

    const SHAPE: ModelShape = ModelShape { layers: 12, heads: 12 };

    fn row(heads: usize, tokens: usize, seconds: f64) -> LayerSeconds {
        LayerSeconds { heads, tokens, seconds }
    }

    fn rows() -> Vec<LayerSeconds> {
        vec![row(12, 64, 6.0), row(8, 64, 5.0), row(8, 32, 2.0), row(12, 32, 3.0)]
    }

    fn seconds(cost: &MeasuredCost, text: &str, tokens: usize) -> f64 {
        let space = Preset::FDht.space(12, 12).unwrap();
        cost.seconds(&space.resolve(&text.parse().unwrap()).unwrap(), tokens).unwrap()
    }

    #[test]
    fn a_route_takes_the_seconds_of_its_layers_and_its_exit() {
        let cost = MeasuredCost::new(SHAPE, 1.0, &rows()).unwrap();
        assert_eq!(seconds(&cost, "12L8H", 64), 1.0 + 3.0 * 6.0 + 9.0 * 5.0);
        assert_eq!(seconds(&cost, "3L12H", 32), 1.0 + 3.0 * 3.0);
        let space = Preset::FDht.space(12, 12).unwrap();
        let route = space.resolve(&"3L12H".parse().unwrap()).unwrap();
        assert_relative_eq!(cost.share(&route, 32).unwrap(), 10.0 / 37.0);
    }

    #[test]
    fn lengths_and_heads_between_the_measured_ones_are_interpolated() {
        let cost = MeasuredCost::new(SHAPE, 0.0, &rows()).unwrap();
        // At 48 tokens 12 heads take 4.5 and 8 heads 3.5; ten heads take 4.
        assert_relative_eq!(seconds(&cost, "3L12H", 48), 3.0 * 4.5);
        assert_relative_eq!(seconds(&cost, "6L10H", 48), 3.0 * 4.5 + 3.0 * 4.0);
        assert_eq!(seconds(&cost, "3L12H", 5), seconds(&cost, "3L12H", 32));
        assert_eq!(seconds(&cost, "3L12H", 500), seconds(&cost, "3L12H", 64));
    }

    #[test]
    fn a_table_that_could_mislead_is_refused() {
        let build = |change: &dyn Fn(&mut Vec<LayerSeconds>)| {
            let mut rows = rows();
            change(&mut rows);
            MeasuredCost::new(SHAPE, 0.0, &rows)
        };
        assert!(build(&|_| {}).is_ok());
        for bad in
            [row(13, 8, 1.0), row(0, 8, 1.0), row(8, 0, 1.0), row(8, 8, 0.0), row(8, 8, f64::NAN), row(8, 64, 9.0)]
        {
            assert!(matches!(
                build(&|rows| rows.push(bad)),
                Err(Error::Dynamic(Dynamic::Argument { name: "measured row", .. }))
            ));
        }
        let no_full = build(&|rows| rows.retain(|row| row.heads == 8));
        assert!(matches!(no_full, Err(Error::Dynamic(Dynamic::Argument { name: "measured rows", .. }))));
        assert!(MeasuredCost::new(SHAPE, f64::INFINITY, &rows()).is_err());
        let narrow = build(&|rows| rows.retain(|row| row.heads == 12)).unwrap();
        let route = Preset::FDht.space(12, 12).unwrap().integrated_arms()[1].clone();
        assert!(matches!(
            narrow.seconds(&route, 8),
            Err(Error::Dynamic(Dynamic::Argument { name: "heads of a measured cost", .. }))
        ));
    }

    #[test]
    fn a_table_survives_storing_and_is_checked_when_read() {
        let cost = MeasuredCost::new(SHAPE, 0.5, &rows()).unwrap();
        let json = serde_json::to_string(&cost).unwrap();
        assert_eq!(serde_json::from_str::<MeasuredCost>(&json).unwrap(), cost);
        assert!(serde_json::from_str::<MeasuredCost>(&json.replace("0.5", "-0.5")).is_err());
    }
}
