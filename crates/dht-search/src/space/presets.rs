//! The DHT paper's four configurations, generalised to models of other sizes.

use std::fmt;
use std::str::FromStr;

use dht_dynamic::route::BaseState;
use dht_dynamic::route::ModelShape;
use dht_dynamic::route::{RouteSpec, Segment};
use serde::{Deserialize, Serialize};

use super::config::{Search, SpaceConfig};
use super::space::SearchSpace;
use crate::error::{Error, Result};

/// Search space of the DHT paper's experiments (section 6.1), generalised to models of other sizes.
///
/// # Other sizes than 12 layers of 12 heads
/// The presets are described for models of 12 layers with 12 heads each. For other sizes, [`Preset::exits`] gives the
/// depths instead of 3, 6, 9, 12, [`Preset::head_options`] the head counts instead of 8, 10, 12, and
/// [`Preset::pinned_heads`] the number of pinned heads. P-DHT's depths before its frozen layers are 1 and every exit
/// minus two: 1, 4, 7, 10 of 12 layers, and 1, 2, 4 of 6 layers.
///
/// # Examples
/// ```
/// use dht_search::Preset;
///
/// let preset: Preset = "t-dht".parse()?;
/// assert_eq!(preset, Preset::TDht);
/// assert_eq!(preset.space(6, 12)?.exits(), [1, 2, 4, 6]);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Preset {
    /// T-DHT, a tree search: 3, 6, 9 or 12 layers, and 8, 10 or 12 heads in each group of layers.
    #[serde(rename = "T-DHT")]
    TDht,
    /// S-DHT (specialised), with the routes 3L12H (3 layers of 12 heads), 6L12H, 9L12H, 12L8H, 12L10H and 12L12H.
    #[serde(rename = "S-DHT")]
    SDht,
    /// F-DHT (full), with the route 3L12H (3 layers of 12 heads) and every combination of 6, 9 or 12 layers with 8, 10
    /// or 12 heads.
    #[serde(rename = "F-DHT")]
    FDht,
    /// P-DHT (partially frozen): a training run starts as F-DHT. Then the last two layers are frozen, and every route
    /// ends in them. Its routes are 1, 4, 7 or 10 layers of 8, 10 or 12 heads, followed by 2L12H (2 layers of 12
    /// heads).
    #[serde(rename = "P-DHT")]
    PDht,
}

/// Allowed head counts of those routes of the preset P-DHT that have seven layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SevenLayerHeads {
    /// Head counts 8, 10 and 12, as in all other routes of P-DHT.
    #[default]
    Standard,
    /// Head counts 6, 9 and 12, as the DHT paper (Meng et al. 2023) prints for routes of 7 layers; only for models of
    /// 12 layers.
    AsPublished,
}

impl Preset {
    /// All four presets, in the order of the DHT paper's section 6.1.
    pub const ALL: [Self; 4] = [Self::TDht, Self::SDht, Self::FDht, Self::PDht];

    /// Number of frozen layers of P-DHT: the last layers, which every route runs at its end (DHT paper, section 6.1).
    pub const FROZEN_LAYERS: usize = 2;

    /// Number of epochs that P-DHT runs as F-DHT before it freezes layers (DHT paper, section 6.1).
    pub const FULL_EPOCHS_BEFORE_FREEZING: usize = 2;

    /// Name in the DHT paper (Meng et al. 2023).
    pub fn name(self) -> &'static str {
        match self {
            Self::TDht => "T-DHT",
            Self::SDht => "S-DHT",
            Self::FDht => "F-DHT",
            Self::PDht => "P-DHT",
        }
    }

    /// Builds the preset's search space for a model of `layers` layers with `heads` heads each.
    ///
    /// For P-DHT the space is the space of the second training phase, which follows
    /// [`FULL_EPOCHS_BEFORE_FREEZING`](Self::FULL_EPOCHS_BEFORE_FREEZING) epochs in F-DHT's space.
    ///
    /// # Errors
    /// * [`Error::PresetSize`] if there are fewer than two layers or heads, or fewer than four layers for P-DHT.
    /// * [`Argument`](dht_dynamic::Error::Argument) if [`ModelShape::check`] rejects the size.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> dht_search::Result<()> {
    /// use dht_search::Preset;
    ///
    /// let space = Preset::SDht.space(12, 12)?;
    /// let arms: Vec<_> = space.integrated_arms().iter().map(|route| route.to_string()).collect();
    /// assert_eq!(arms, ["3L12H", "6L12H", "9L12H", "12L8H", "12L10H", "12L12H"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn space(self, layers: usize, heads: usize) -> Result<SearchSpace> {
        SearchSpace::new(self.config(layers, heads, SevenLayerHeads::Standard)?)
    }

    /// Builds the configuration of the preset's [`space`](Self::space), for a program to modify. `seven_layers`, the
    /// head counts of routes of seven layers, has an effect only on P-DHT.
    ///
    /// # Errors
    /// * As [`space`](Self::space).
    /// * [`Error::PresetSize`] for [`SevenLayerHeads::AsPublished`] in a P-DHT of other than 12 layers.
    pub fn config(self, layers: usize, heads: usize, seven_layers: SevenLayerHeads) -> Result<SpaceConfig> {
        ModelShape { layers, heads }.check()?;
        let impossible = |expected| Error::PresetSize { preset: self.name(), layers, heads, expected };
        if layers < 2 || heads < 2 {
            return Err(impossible("at least two layers of two heads"));
        }
        if self == Self::PDht && layers < 2 + Preset::FROZEN_LAYERS {
            return Err(impossible("at least four layers: two frozen and two depths before them"));
        }
        let exits = Self::exits(layers);
        let options = Self::head_options(heads);
        let mut config = SpaceConfig {
            layers,
            heads,
            exits: exits.clone(),
            pinned: Self::pinned_heads(heads),
            tail: 0,
            base_state: BaseState::OnRoute,
            search: Search::Tree { heads: vec![options.clone(); exits.len() - 1] },
        };
        match self {
            Self::TDht => {}
            Self::SDht => {
                let shallow = exits[..exits.len() - 1].iter().map(|&depth| (depth, heads));
                let deep = options.iter().map(|&heads| (layers, heads));
                config.search = integrated(shallow.chain(deep).map(|pair| vec![pair]))?;
            }
            Self::FDht => {
                let dynamic = exits[1..].iter().flat_map(|&depth| options.iter().map(move |&heads| (depth, heads)));
                config.search = integrated(std::iter::once((exits[0], heads)).chain(dynamic).map(|pair| vec![pair]))?;
            }
            Self::PDht => {
                config.base_state = BaseState::PrePass { layers: exits[0] };
                config.tail = Preset::FROZEN_LAYERS;
                config.exits = body_depths(&exits);
                let as_published = seven_layers == SevenLayerHeads::AsPublished;
                if as_published && layers != 12 {
                    return Err(impossible("12 layers, the only size for which 6, 9, 12 heads are published"));
                }
                let arms = config.exits.iter().flat_map(|&depth| {
                    let counts =
                        if as_published && depth == 7 { shares_of(heads, [6, 9, 12]) } else { options.clone() };
                    counts.into_iter().map(move |count| vec![(depth, count), (Preset::FROZEN_LAYERS, heads)])
                });
                config.search = integrated(arms)?;
            }
        }
        Ok(config)
    }

    /// Depths of the exits of a model with `layers` layers. The first exit ends the base layers, which every text runs.
    ///
    /// The base has a quarter of the layers, rounded down, at least one. The other layers form three groups of nearly
    /// equal sizes, smaller groups first; empty groups are omitted. The exits are 3, 6, 9, 12 for 12 layers (DHT
    /// paper), and 1, 3, 5, 7 for 7 layers. They are 1, 2, 4, 6 for 6 layers, where the cheapest route is a sixth of
    /// the model.
    pub fn exits(layers: usize) -> Vec<usize> {
        let base = (layers / 4).max(1);
        let others = layers.saturating_sub(base);
        let mut exits: Vec<_> = (0..=3).map(|group| base + others / 3 * group + (group * (others % 3)) / 3).collect();
        exits.dedup();
        exits
    }

    /// Head options of a model with `heads` heads in each layer: 8, 10, 12 for 12 heads (DHT paper).
    ///
    /// For other numbers of heads, the options are 8/12, 10/12 and 12/12 of the heads, rounded to the nearest (ties
    /// up), at least 1, without repetitions.
    pub fn head_options(heads: usize) -> Vec<usize> {
        shares_of(heads, [8, 10, 12])
    }

    /// Number of pinned heads of a model with `heads` heads in each layer: a third of the heads, rounded to the
    /// nearest.
    ///
    /// 4 of 12 heads are pinned, so that 8, 10 and 12 heads have the DHT paper's 70, 28 and 1 head sets.
    pub fn pinned_heads(heads: usize) -> usize {
        share_of(heads, 4)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    /// Parses the name of a preset in either case: `T-DHT`, `t-dht`.
    fn from_str(name: &str) -> Result<Self> {
        let preset = Self::ALL.into_iter().find(|preset| preset.name().eq_ignore_ascii_case(name));
        preset.ok_or_else(|| Error::argument("preset", "T-DHT, S-DHT, F-DHT or P-DHT", name))
    }
}

fn share_of(heads: usize, twelfths: usize) -> usize {
    heads.saturating_mul(twelfths).saturating_add(6) / 12
}

fn shares_of(heads: usize, twelfths: [usize; 3]) -> Vec<usize> {
    let mut shares: Vec<_> = twelfths.into_iter().map(|twelfths| share_of(heads, twelfths).max(1)).collect();
    shares.dedup();
    shares
}

/// Depths at which routes of the preset P-DHT enter its frozen layers: 1, and every exit minus the number of frozen
/// layers.
fn body_depths(exits: &[usize]) -> Vec<usize> {
    let shorter = exits.iter().map(|exit| exit.saturating_sub(Preset::FROZEN_LAYERS));
    let mut depths: Vec<_> = std::iter::once(1).chain(shorter.filter(|&depth| depth > 1)).collect();
    depths.dedup();
    depths
}

/// Builds an integrated search from its arms. Each arm is a list of segments: pairs of a number of layers and a number
/// of heads.
fn integrated(arms: impl Iterator<Item = Vec<(usize, usize)>>) -> Result<Search> {
    let spec = |pairs: Vec<(usize, usize)>| {
        RouteSpec::new(pairs.into_iter().map(|(layers, heads)| Segment { layers, heads }).collect())
    };
    Ok(Search::Integrated { arms: arms.map(spec).collect::<dht_dynamic::Result<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dht_dynamic::Error as Dynamic;

    fn notations(space: &SearchSpace) -> Vec<String> {
        space.integrated_arms().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_integrated_presets_have_the_papers_arms() {
        let arms = |preset: Preset| notations(&preset.space(12, 12).unwrap());
        assert_eq!(arms(Preset::SDht), ["3L12H", "6L12H", "9L12H", "12L8H", "12L10H", "12L12H"]);
        assert_eq!(arms(Preset::FDht).join(" "), "3L12H 6L8H 6L10H 6L12H 9L8H 9L10H 9L12H 12L8H 12L10H 12L12H");
        assert_eq!(
            arms(Preset::PDht).join(" "),
            "1L8H+2L12H 1L10H+2L12H 1L12H+2L12H 4L8H+2L12H 4L10H+2L12H 4L12H+2L12H \
             7L8H+2L12H 7L10H+2L12H 7L12H+2L12H 10L8H+2L12H 10L10H+2L12H 10L12H+2L12H"
        );
        let config = Preset::PDht.config(12, 12, SevenLayerHeads::AsPublished).unwrap();
        let as_published = notations(&SearchSpace::new(config).unwrap());
        assert_eq!(as_published[6..9], ["7L6H+2L12H", "7L9H+2L12H", "7L12H+2L12H"]);
        assert_eq!(as_published[..6], arms(Preset::PDht)[..6]);
    }

    #[test]
    fn t_dht_has_the_papers_depths_and_head_counts() {
        let space = Preset::TDht.space(12, 12).unwrap();
        assert_eq!((space.exits(), space.groups().len(), space.base_layers()), (&[3, 6, 9, 12][..], 3, 3));
        assert!((0..3).all(|group| space.head_options(group) == [8, 10, 12]));
        assert_eq!(space.routes().len(), 1 + 3 + 9 + 27);
    }

    #[test]
    fn p_dht_prunes_from_layer_1_and_ends_in_the_last_two_layers() {
        let space = Preset::PDht.space(12, 12).unwrap();
        let lengths: Vec<_> = space.groups().iter().map(|group| group.len()).collect();
        assert_eq!(lengths, [1, 3, 3, 3]);
        assert_eq!((space.base(), space.base_layers()), (None, 3));
        assert_eq!(space.tail().unwrap().layers(), 10..12);
        assert_eq!((0..4).map(|exit| space.depth(exit)).collect::<Vec<_>>(), [3, 6, 9, 12]);
    }

    #[test]
    fn six_layers_of_twelve_heads_have_the_analogous_arms() {
        let arms = |preset: Preset| notations(&preset.space(6, 12).unwrap()).join(" ");
        assert_eq!(arms(Preset::SDht), "1L12H 2L12H 4L12H 6L8H 6L10H 6L12H");
        assert_eq!(arms(Preset::FDht), "1L12H 2L8H 2L10H 2L12H 4L8H 4L10H 4L12H 6L8H 6L10H 6L12H");
        assert_eq!(
            arms(Preset::PDht),
            "1L8H+2L12H 1L10H+2L12H 1L12H+2L12H 2L8H+2L12H 2L10H+2L12H 2L12H+2L12H \
             4L8H+2L12H 4L10H+2L12H 4L12H+2L12H"
        );
        assert_eq!(Preset::PDht.space(6, 12).unwrap().base_layers(), 1);
        let lengths: Vec<_> = Preset::TDht.space(6, 12).unwrap().groups().iter().map(|group| group.len()).collect();
        assert_eq!(lengths, [1, 2, 2]);
    }

    #[test]
    fn other_sizes_have_three_even_groups_and_heads_in_twelfths() {
        let cases: [(usize, &[usize]); 10] = [
            (2, &[1, 2]),
            (3, &[1, 2, 3]),
            (4, &[1, 2, 3, 4]),
            (5, &[1, 2, 3, 5]),
            (6, &[1, 2, 4, 6]),
            (7, &[1, 3, 5, 7]),
            (8, &[2, 4, 6, 8]),
            (10, &[2, 4, 7, 10]),
            (12, &[3, 6, 9, 12]),
            (24, &[6, 12, 18, 24]),
        ];
        for (layers, expected) in cases {
            assert_eq!(Preset::exits(layers), expected, "{layers} layers");
        }
        assert_eq!((Preset::head_options(16), Preset::pinned_heads(16)), (vec![11, 13, 16], 5));
        assert_eq!((Preset::head_options(4), Preset::pinned_heads(4)), (vec![3, 4], 1));
        assert_eq!((Preset::head_options(2), Preset::pinned_heads(2)), (vec![1, 2], 1));
    }

    #[test]
    fn every_size_gives_a_space_or_a_typed_error() {
        for preset in Preset::ALL {
            for (layers, heads) in (0..=40).flat_map(|layers| (0..=40).map(move |heads| (layers, heads))) {
                let least = if preset == Preset::PDht { 4 } else { 2 };
                match preset.space(layers, heads) {
                    Ok(space) => {
                        assert!(layers >= least && heads >= 2);
                        assert_eq!(space.depth(space.exits().len() - 1), layers, "{preset} at {layers} x {heads}");
                    }
                    Err(Error::PresetSize { .. } | Error::Dynamic(Dynamic::Argument { .. })) => {
                        assert!(layers < least || heads < 2)
                    }
                    Err(other) => panic!("{preset} at {layers} x {heads}: {other}"),
                }
            }
        }
        assert!(matches!(
            Preset::PDht.config(6, 12, SevenLayerHeads::AsPublished),
            Err(Error::PresetSize { layers: 6, .. })
        ));
        assert!(matches!(
            Preset::TDht.space(usize::MAX, 12),
            Err(Error::Dynamic(Dynamic::Argument { name: "layers", .. }))
        ));
    }

    #[test]
    fn p_dht_starts_from_the_arms_of_f_dht_of_its_depth() {
        let full = Preset::FDht.space(12, 12).unwrap();
        let frozen = Preset::PDht.space(12, 12).unwrap();
        let arms: Vec<_> = frozen.closest_arms(&full).into_iter().map(Option::unwrap).collect();
        assert_eq!(arms, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let config = Preset::PDht.config(12, 12, SevenLayerHeads::AsPublished).unwrap();
        let published = SearchSpace::new(config).unwrap();
        // 6 heads are nearest to 9L8H; 9 heads are equally near to 9L8H and 9L10H.
        assert_eq!(published.closest_arms(&full)[6..9], [Some(4), Some(4), Some(6)]);
        let tree = Preset::TDht.space(12, 12).unwrap();
        assert!(frozen.closest_arms(&tree).iter().all(Option::is_none));
    }

    #[test]
    fn a_preset_is_parsed_from_its_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().to_lowercase().parse::<Preset>().unwrap(), preset);
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("{:?}", preset.name()));
        }
        assert!(matches!("X-DHT".parse::<Preset>(), Err(Error::Dynamic(Dynamic::Argument { name: "preset", .. }))));
    }
}
