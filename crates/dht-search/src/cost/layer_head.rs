//! Cost estimate of the DHT paper (Meng et al. 2023): layers × heads.

use dht_dynamic::{Route, route::ModelShape};
use serde::{Deserialize, Serialize};

/// Variant of the DHT paper's cost estimate, layers × heads.
///
/// The paper estimates cost "based on the layer/head number selection". This is too low for routes with few heads,
/// because feed-forward layers and embeddings are not counted: 8 of 12 heads would save a third of a layer, but save
/// only 11 % of its FLOPs.
///
/// # Examples
/// ```
/// # fn main() -> dht_search::Result<()> {
/// use dht_search::{Preset, cost::LayerHeadCount};
///
/// let route = Preset::FDht.space(12, 12)?.resolve(&"12L8H".parse()?)?;
/// assert_eq!(LayerHeadCount::AsExecuted.share(&route), 0.75);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerHeadCount {
    /// Heads that run, divided by all heads of all layers. Base layers count with all heads. The route 12L8H, with 3
    /// base layers, costs (3·12 + 9·8)/144 = .75.
    #[default]
    AsExecuted,
    /// Product L·H / (N_L·N_H), where a route runs L of the model's N_L layers with H of N_H heads. H is the mean
    /// number of heads in the layers outside base and tail (first and last layers that every route runs). Without such
    /// layers, H is all heads. The route 12L8H costs .667.
    PlainProduct,
}

impl LayerHeadCount {
    /// Estimated cost of a route, as a share of the full model's cost.
    pub fn share(self, route: &Route) -> f64 {
        match self {
            Self::AsExecuted => route.head_share(),
            Self::PlainProduct => {
                let ModelShape { layers: all, heads } = route.model_shape();
                let (layers, sum) = route.dynamic_groups().fold((0, 0), |(layers, sum), group| {
                    (layers + group.layers.len(), sum + group.layers.len() * group.heads)
                });
                let mean = if layers == 0 { heads as f64 } else { sum as f64 / layers as f64 };
                route.depth() as f64 * mean / (all * heads) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::space::Preset;

    #[test]
    fn the_papers_estimate_is_the_share_of_layers_times_heads() {
        let space = Preset::TDht.space(12, 12).unwrap();
        let cases = [
            ("3L12H", 0.25, 0.25),
            ("12L12H", 1.0, 1.0),
            ("12L8H", 0.75, 96.0 / 144.0),
            ("6L10H", 66.0 / 144.0, 60.0 / 144.0),
            ("3L12H+3L8H+3L10H", 90.0 / 144.0, 81.0 / 144.0),
        ];
        for (text, as_executed, product) in cases {
            let route = space.resolve(&text.parse().unwrap()).unwrap();
            assert_relative_eq!(LayerHeadCount::AsExecuted.share(&route), as_executed);
            assert_relative_eq!(LayerHeadCount::PlainProduct.share(&route), product);
        }
        let frozen = Preset::PDht.space(12, 12).unwrap().resolve(&"7L8H+2L12H".parse().unwrap()).unwrap();
        assert_relative_eq!(LayerHeadCount::AsExecuted.share(&frozen), (56.0 + 24.0) / 144.0);
    }
}
