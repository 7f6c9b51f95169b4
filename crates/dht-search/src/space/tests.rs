use dht_dynamic::Error as Dynamic;
use dht_dynamic::{
    Route,
    route::{ModelShape, RouteSpec},
};
use proptest::prelude::*;

use super::*;
use crate::error::Error;

/// Random search space for property tests: a preset for a random model size, sometimes with two tail layers or with
/// contexts from the embeddings, which the DHT paper does not have.
fn any_space() -> impl Strategy<Value = SearchSpace> {
    (0_usize..4, 4_usize..14, 2_usize..14, any::<bool>()).prop_map(|(preset, layers, heads, embedding)| {
        let mut config = Preset::ALL[preset].config(layers, heads, SevenLayerHeads::Standard).unwrap();
        if embedding && config.base_state != BaseState::OnRoute {
            config.base_state = BaseState::Embedding;
        }
        if embedding && matches!(config.search, Search::Tree { .. }) {
            config.layers += 2;
            config.tail = 2;
        }
        SearchSpace::new(config).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arms_and_routes_and_their_notation_are_one_bijection(space in any_space()) {
        let routes = space.routes();
        for (arms, route) in &routes {
            prop_assert_eq!(&space.route(arms).unwrap(), route);
            prop_assert_eq!(&space.arms(route).unwrap(), arms);
            let spec: RouteSpec = route.to_string().parse().unwrap();
            prop_assert_eq!(&space.resolve(&spec).unwrap(), route);
        }
        let written: std::collections::BTreeSet<_> = routes.iter().map(|(_, route)| route.to_string()).collect();
        prop_assert_eq!(written.len(), routes.len(), "two routes have the same notation");
        let json = serde_json::to_string(&space).unwrap();
        prop_assert_eq!(serde_json::from_str::<SearchSpace>(&json).unwrap(), space);
    }
}

fn t_dht() -> SearchSpace {
    Preset::TDht.space(12, 12).unwrap()
}

#[test]
fn a_route_may_be_written_by_groups_or_in_longer_runs() {
    let space = t_dht();
    let resolve = |text: &str| space.resolve(&text.parse().unwrap());
    assert_eq!(resolve("3L12H+6L8H+3L10H").unwrap().to_string(), "3L12H+3L8H+3L8H+3L10H");
    assert_eq!(resolve("3L12H+9L8H").unwrap().to_string(), "12L8H");
    assert_eq!(resolve("3L12H+3L8H+3L10H").unwrap().to_string(), "3L12H+3L8H+3L10H");
    let last = resolve("3L12H+3L8H+3L10H").unwrap();
    assert_eq!(space.arms(&last).unwrap(), RouteArms::Tree { depth: 2, heads: vec![0, 1] });
}

#[test]
fn a_route_that_the_space_lacks_is_refused() {
    let tree = ["5L12H", "15L12H", "12L9H", "3L8H", "3L8H+3L8H", "3L12H+2L8H+4L10H", "1L8H+2L12H", "12L13H"];
    for text in tree {
        assert!(t_dht().resolve(&text.parse().unwrap()).is_err(), "{text} was accepted");
    }
    let frozen = Preset::PDht.space(12, 12).unwrap();
    for text in ["12L12H", "2L12H", "1L8H+2L8H", "1L8H+3L12H", "3L8H+2L12H", "1L8H+3L10H+2L12H", "1L9H+2L12H"] {
        assert!(frozen.resolve(&text.parse().unwrap()).is_err(), "{text} was accepted");
    }
    let other_model = Route::truncated(ModelShape { layers: 6, heads: 12 }, 3).unwrap();
    assert!(matches!(t_dht().arms(&other_model), Err(Error::Dynamic(Dynamic::RouteNotInSpace { .. }))));
}

#[test]
fn arms_that_the_space_lacks_are_refused() {
    let space = t_dht();
    for (depth, heads) in [(4, vec![]), (1, vec![]), (1, vec![0, 0]), (1, vec![3])] {
        assert!(matches!(space.route(&RouteArms::Tree { depth, heads }), Err(Error::Arm { .. })));
    }
    assert!(matches!(space.route(&RouteArms::Integrated { arm: 0 }), Err(Error::Arm { .. })));
    let full = Preset::FDht.space(12, 12).unwrap();
    assert!(matches!(full.route(&RouteArms::Integrated { arm: 10 }), Err(Error::Arm { .. })));
    assert!(matches!(full.route(&RouteArms::Tree { depth: 0, heads: vec![] }), Err(Error::Arm { .. })));
}

#[test]
fn an_integrated_space_knows_the_options_of_its_groups() {
    let space = Preset::SDht.space(12, 12).unwrap();
    assert_eq!((space.head_options(0), space.head_options(2)), (&[8, 10, 12][..], &[8, 10, 12][..]));
    let config = Preset::PDht.config(12, 12, SevenLayerHeads::AsPublished).unwrap();
    let published = SearchSpace::new(config).unwrap();
    assert_eq!(published.head_options(0), [6, 8, 9, 10, 12]);
    assert_eq!(published.head_options(3), [8, 10, 12]);
}
