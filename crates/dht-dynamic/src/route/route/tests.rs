use super::*;

const SHAPE: ModelShape = ModelShape { layers: 12, heads: 12 };

fn group(role: GroupRole, layers: Range<usize>, heads: usize) -> RouteGroup {
    RouteGroup { role, layers: LayerGroup::new(layers).unwrap(), heads }
}

fn tree_route() -> Route {
    let groups =
        vec![group(GroupRole::Base, 0..3, 12), group(GroupRole::Dynamic, 3..6, 8), group(GroupRole::Dynamic, 6..9, 10)];
    Route::new(SHAPE, groups).unwrap()
}

fn frozen_route(heads: usize) -> Route {
    let groups = vec![
        group(GroupRole::Dynamic, 0..1, heads),
        group(GroupRole::Dynamic, 1..4, heads),
        group(GroupRole::Tail, 10..12, 12),
    ];
    Route::new(SHAPE, groups).unwrap()
}

#[test]
fn tree_routes_list_their_groups_and_uniform_routes_are_short() {
    assert_eq!(tree_route().to_string(), "3L12H+3L8H+3L10H");
    assert_eq!(tree_route().uniform_heads(), None);
    let even = vec![group(GroupRole::Base, 0..3, 12), group(GroupRole::Dynamic, 3..12, 8)];
    assert_eq!(Route::new(SHAPE, even).unwrap().to_string(), "12L8H");
    assert_eq!(Route::truncated(SHAPE, 3).unwrap().to_string(), "3L12H");
}

#[test]
fn a_tail_runs_the_models_last_layers() {
    let route = frozen_route(9);
    assert_eq!(route.to_string(), "4L9H+2L12H");
    assert_eq!((route.depth(), route.exit()), (6, 4));
    let layers: Vec<_> = route.layers().collect();
    assert_eq!(layers, [(0, 9), (1, 9), (2, 9), (3, 9), (10, 12), (11, 12)]);
}

#[test]
fn an_illegal_route_cannot_be_built() {
    use GroupRole::{Base, Dynamic, Tail};
    let build = |groups: Vec<RouteGroup>| Route::new(SHAPE, groups);
    assert!(matches!(build(vec![]), Err(Error::NoLayers { .. })));
    assert!(matches!(LayerGroup::new(3..3), Err(Error::NoLayers { start: 3, end: 3 })));
    let gap = build(vec![group(Base, 0..3, 12), group(Dynamic, 4..6, 8)]);
    assert!(matches!(gap, Err(Error::GroupOrder { group: 1, got: 4, .. })));
    let late = build(vec![group(Dynamic, 1..3, 12)]);
    assert!(matches!(late, Err(Error::GroupOrder { group: 0, got: 1, .. })));
    let two_bases = build(vec![group(Base, 0..3, 12), group(Base, 3..6, 12)]);
    assert!(matches!(two_bases, Err(Error::GroupOrder { group: 1, .. })));
    let early_tail = build(vec![group(Dynamic, 0..2, 8), group(Tail, 10..12, 12), group(Dynamic, 12..13, 8)]);
    assert!(matches!(early_tail, Err(Error::GroupOrder { group: 1, .. })));
    let overlapping_tail = build(vec![group(Dynamic, 0..11, 8), group(Tail, 10..12, 12)]);
    assert!(matches!(overlapping_tail, Err(Error::GroupOrder { group: 1, got: 10, .. })));
    let lone_tail = build(vec![group(Tail, 0..12, 12)]);
    assert!(matches!(lone_tail, Err(Error::GroupOrder { group: 0, .. })));
    let short_tail = build(vec![group(Dynamic, 0..2, 8), group(Tail, 9..11, 12)]);
    assert!(matches!(short_tail, Err(Error::GroupEnd { group: 1, got: 11, .. })));
    let beyond = build(vec![group(Dynamic, 0..13, 8)]);
    assert!(matches!(beyond, Err(Error::GroupEnd { group: 0, got: 13, .. })));
    for (role, heads) in [(Base, 11), (Dynamic, 0), (Dynamic, 13)] {
        let bad = build(vec![group(role, 0..3, heads)]);
        assert!(matches!(bad, Err(Error::HeadCount { group: 0, got, .. }) if got == heads));
    }
    assert!(matches!(Route::truncated(SHAPE, 0), Err(Error::NoLayers { .. })));
    for shape in
        [ModelShape { layers: 0, heads: 12 }, ModelShape { layers: 3, heads: 0 }, ModelShape { layers: 3, heads: 129 }]
    {
        assert!(matches!(Route::truncated(shape, 1), Err(Error::Argument { .. })));
    }
}

#[test]
fn a_route_without_layers_has_no_depth() {
    let route = Route::without_layers(SHAPE).unwrap();
    assert_eq!((route.to_string(), route.depth(), route.exit(), route.layers().count()), ("0L".into(), 0, 0, 0));
    assert_eq!((route.tail(), route.uniform_heads()), (None, Some(12)));
    assert!(Route::without_layers(ModelShape { layers: 0, heads: 12 }).is_err());
    let json = serde_json::to_string(&route).unwrap();
    assert_eq!(serde_json::from_str::<Route>(&json).unwrap(), route);
    assert!(serde_json::from_str::<Route>(&json.replace("\"layers\":12", "\"layers\":0")).is_err());
}

#[test]
fn a_stored_route_is_checked_when_it_is_read() {
    for route in [tree_route(), frozen_route(8)] {
        let json = serde_json::to_string(&route).unwrap();
        assert_eq!(serde_json::from_str::<Route>(&json).unwrap(), route);
        assert!(serde_json::from_str::<Route>(&json.replacen("\"layers\":12", "\"layers\":5", 1)).is_err());
    }
}
