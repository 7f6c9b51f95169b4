//! Where a search differs from the paper.

use serde_json::Value;

use super::SearchSettings;
use super::routing::ContextDesign;
use super::training::Dispatch;
use crate::space::{BaseState, ModelShape, Preset, SearchSpace, SevenLayerHeads};

/// Layers, heads and width of the encoder in the paper's experiments (6.1).
const PAPERS_ENCODER: (usize, usize, usize) = (12, 12, 768);

/// Slips of the paper, and the reading that is used. Each other reading that can be computed is an option.
const READINGS: [&str; 8] = [
    "the binary reward of the heads is 1 when the ratio exceeds 1; the printed formula says 0, against its text \
     (HeadFeedback::AsPublished)",
    "the prior term of the head-set bandit's objective has a minus sign; with the printed plus sign there is no maximum",
    "the head-set bandit's rewards 0 and 1 enter its loss as -1 and +1; with the printed 0 a failure would teach nothing",
    "the embedding is pooled to 4 + 8 + 16 = 28 values; the paper says 26 and 36, and only 28 gives its 168 dimensions",
    "an axis is split into powers of two; the printed 1, 2, 4, 6, 8 contradicts the printed example of seven parts",
    "the numbers of layers 3, 6, 9 and 12 are total depths, as in the experiments; Algorithm 2 adds the base layers to them",
    "of the 12 heads 4 are always kept; 70, 28 and 1 head sets for 8, 10 and 12 heads are possible in no other way, but the \
     paper does not say so",
    "in Algorithm 1 the matrix A has as many dimensions as w = [x ; z]; the paper gives it those of x alone",
];

/// What the paper leaves open or cannot be run as published, and what is done.
const ADDITIONS: [&str; 10] = [
    "ratios are computed with losses of at least 1e-7, and the first batch is compared with its own mean, since there is no \
     previous one",
    "the previous batch is the last one of the whole training; for the head-count and head-set bandits it is the last one that \
     ran the group of layers",
    "scaled contexts are kept within 5 standard deviations; a dimension that does not vary is 0; the reference for the \
     rolling statistics is missing in the paper",
    "a batch is scaled by rolling statistics that include it, without forgetting; inference keeps the last ones",
    "arms' features are scaled like contexts; the head-set bandit's single feature is not",
    "arms' features are computed once, at the start of the training",
    "a text of fewer tokens than parts of an axis repeats its nearest token; padding is not pooled",
    "the head-set bandit learns from all samples of a batch together, one group of layers after another",
    "equal scores are decided at random in training, and equal head scores by the lower index at inference",
    "the optimiser, its learning rate and the number of epochs are the training's own",
];

/// Each place where a search with these settings in this space differs from the paper: slips of the paper with the
/// reading that is used, values and rules that it leaves open, settings other than
/// [`SearchSettings::paper`]'s, and another size of the encoder. `hidden` is the width of its states.
///
/// # Examples
/// ```
/// use dht_search::{Preset, SearchSettings, settings::deviations};
///
/// let space = Preset::TDht.space(12, 12)?;
/// let paper = deviations(&SearchSettings::paper(), &space, 768);
/// assert!(paper.iter().any(|line| line.contains("drained")));
/// let shared = SearchSettings { forgetting_decay: 0.99, ..SearchSettings::paper() };
/// let more = deviations(&shared, &space, 768);
/// assert_eq!(more[0], "forgetting_decay is 0.99; 1.0 as published");
/// assert_eq!(more.len(), paper.len() + 1);
/// # Ok::<(), dht_search::Error>(())
/// ```
pub fn deviations(settings: &SearchSettings, space: &SearchSpace, hidden: usize) -> Vec<String> {
    let mut found = changed(settings);
    found.extend(unpublished_values(settings));
    if let Dispatch::Queue { .. } = settings.dispatch {
        found.push(
            "queues are drained at the end of an epoch, in smaller batches; as published, samples of a queue that never \
             fills are not trained on"
                .into(),
        );
    }
    if settings.context == ContextDesign::Paper && space.is_tree() && space.groups().len() != 3 {
        let size = 84 + space.groups().len();
        found.push(format!(
            "contexts of the head-count bandit have {size} dimensions; 87 as published, for three groups"
        ));
    }
    found.extend(of_routes(space));
    found.extend(of_two_phases(space));
    let ModelShape { layers, heads } = space.model_shape();
    if (layers, heads, hidden) != PAPERS_ENCODER {
        found.push(format!(
            "the encoder has {layers} layers of {heads} heads and width {hidden}; 12 of 12 and 768 as published"
        ));
    }
    found.extend(READINGS.iter().chain(&ADDITIONS).map(|line| (*line).to_owned()));
    found
}

/// Settings of other values than the paper's, but for the values that the paper does not give.
fn changed(settings: &SearchSettings) -> Vec<String> {
    let paper = SearchSettings::paper();
    // Not values of the paper, or without effect on a search that has the paper's other choices.
    let open = SearchSettings {
        dispatch: match (settings.dispatch, paper.dispatch) {
            (queue @ Dispatch::Queue { .. }, Dispatch::Queue { .. }) => queue,
            (_, paper) => paper,
        },
        exploration: settings.exploration,
        prior_precision: settings.prior_precision,
        kappa: settings.kappa,
        pinned_heads: settings.pinned_heads.clone(),
        head_set_prior_precision: settings.head_set_prior_precision,
        warm_up_contexts: settings.warm_up_contexts,
        explore_power: settings.explore_power,
        ..paper
    };
    let value = |settings: &SearchSettings, field: &str| -> Value {
        // A setting that is not written has its default.
        let found = serde_json::to_value(settings).ok().and_then(|found| found.get(field).cloned());
        found.unwrap_or_else(|| Value::from("the default"))
    };
    let fields = serde_json::to_value(&open).ok().and_then(|fields| fields.as_object().cloned()).unwrap_or_default();
    let differs = |field: &String| {
        let (own, printed) = (value(settings, field), value(&open, field));
        (own != printed).then(|| format!("{field} is {}; {} as published", plain(&own), plain(&printed)))
    };
    fields.keys().filter_map(differs).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        other => other.to_string(),
    }
}

/// The values that the paper does not give.
fn unpublished_values(settings: &SearchSettings) -> Vec<String> {
    let SearchSettings { exploration, kappa, .. } = settings;
    let [alpha, kappa] =
        [exploration, kappa].map(|value| format!("{}, {} and {}", value.depth, value.heads, value.arms));
    let mut found = vec![
        format!("exploration of the depth, head-count and joint bandits is {alpha}; the paper gives no value"),
        format!("the factors of their rewards are {kappa}; the paper gives no value"),
        format!("their prior precision is {}; the paper gives no value", settings.prior_precision),
        format!(
            "the head-set bandit's prior precision is {}; the published 0 is an infinite variance",
            settings.head_set_prior_precision
        ),
    ];
    let pinned = serde_json::to_value(&settings.pinned_heads).unwrap_or_default();
    found.push(format!("the heads that are always kept are chosen by {}; the paper does not say how", plain(&pinned)));
    if let Dispatch::Queue { size } = settings.dispatch {
        found.push(format!("a queue holds {size} samples; the paper gives no value"));
    }
    found
}

/// Other routes than those of the paper's four configurations, or of their analogues for other sizes.
fn of_routes(space: &SearchSpace) -> Option<String> {
    let ModelShape { layers, heads } = space.model_shape();
    let published = [(Preset::PDht, SevenLayerHeads::AsPublished)].into_iter();
    let standard = Preset::ALL.map(|preset| (preset, SevenLayerHeads::Standard)).into_iter();
    let mut same = standard.chain(published).filter(|(preset, seven_layers)| {
        preset.config(layers, heads, *seven_layers).is_ok_and(|config| config == *space.config())
    });
    match same.next() {
        None => Some("the routes are none of the four configurations'".into()),
        Some((Preset::PDht, SevenLayerHeads::Standard)) if layers == 12 => Some(
            "routes of 7 layers before the frozen ones keep 8, 10 or 12 of 12 heads; 6, 9 or 12 as published".into(),
        ),
        Some(_) => None,
    }
}

/// What P-DHT's second phase adds.
fn of_two_phases(space: &SearchSpace) -> Option<String> {
    let BaseState::PrePass { layers } = space.config().base_state else { return None };
    space.tail()?;
    Some(format!(
        "after the switch to frozen layers each new arm starts from the old one of its depth and heads, with its features; \
         contexts still come from the first {layers} layers with all heads, in a pass without gradient, while the route prunes \
         from its first layer on"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::RewardShape;
    use crate::space::SpaceConfig;

    #[test]
    fn the_papers_settings_differ_from_the_print_only_where_it_is_open_or_wrong() {
        for preset in Preset::ALL {
            let space = SearchSpace::new(preset.config(12, 12, SevenLayerHeads::AsPublished).unwrap()).unwrap();
            let found = deviations(&SearchSettings::paper(), &space, 768);
            assert!(!found.iter().any(|line| line.ends_with("as published")), "{preset}: {found:?}");
            // Six values, the drained queues, and the switch of P-DHT.
            let switch = usize::from(preset == Preset::PDht);
            assert_eq!(found.len(), 6 + 1 + switch + READINGS.len() + ADDITIONS.len(), "{preset}: {found:?}");
            let distinct: std::collections::BTreeSet<&String> = found.iter().collect();
            assert_eq!(distinct.len(), found.len());
        }
    }

    #[test]
    fn another_size_of_the_encoder_and_of_the_contexts_is_named() {
        let space = Preset::TDht.space(3, 4).unwrap();
        let found = deviations(&SearchSettings::paper(), &space, 48);
        let named = |part: &str| found.iter().any(|line| line.contains(part));
        assert!(named("3 layers of 4 heads and width 48"), "{found:?}");
        assert!(named("have 86 dimensions"), "{found:?}");
    }

    #[test]
    fn other_routes_are_named() {
        let of = |config| deviations(&SearchSettings::paper(), &SearchSpace::new(config).unwrap(), 768);
        let standard = of(Preset::PDht.config(12, 12, SevenLayerHeads::Standard).unwrap());
        assert!(standard.iter().any(|line| line.ends_with("6, 9 or 12 as published")), "{standard:?}");
        let tree = Preset::TDht.config(12, 12, SevenLayerHeads::Standard).unwrap();
        let found = of(SpaceConfig { pinned: 2, ..tree });
        assert!(found.iter().any(|line| line.starts_with("the routes are none of")), "{found:?}");
    }

    #[test]
    fn our_settings_differ_in_every_choice_that_they_make_otherwise() {
        let ours = SearchSettings::default();
        let found = deviations(&ours, &Preset::TDht.space(12, 12).unwrap(), 768);
        let changed = |field: &str| found.iter().any(|line| line.starts_with(field) && line.ends_with("as published"));
        for field in [
            "dispatch",
            "context",
            "head_draws",
            "cost_model",
            "exit_losses",
            "classifier_sharing",
            "pooling",
            "forgetting_decay",
            "head_set_prior",
            "reward_shape",
            "reward_memory",
            "nested_feedback",
            "normalization",
            "explore_share",
            "arm_feature_texts",
        ] {
            assert!(changed(field), "{field}: {found:?}");
        }
        assert!(!changed("head_feedback") && !changed("kappa"));
        assert!(!found.iter().any(|line| line.contains("drained")), "there are no queues");
        let clipped = SearchSettings { reward_shape: RewardShape::Clipped { max: 2.0 }, ..SearchSettings::paper() };
        let found = deviations(&clipped, &Preset::TDht.space(12, 12).unwrap(), 768);
        assert_eq!(found[0], r#"reward_shape is {"clipped":{"max":2.0}}; ratio as published"#);
    }
}
