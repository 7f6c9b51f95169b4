//! List of differences between a search and the DHT paper (Meng et al. 2023).

use dht_dynamic::route::ModelShape;
use dht_transformer::Pooling;
use serde_json::Value;

use super::experiment::Experiment;
use super::routing::ContextDesign;
use super::settings::SearchSettings;
use super::training::Dispatch;
use crate::space::{BaseState, Preset, SearchSpace, SevenLayerHeads};

const PAPERS_ENCODER: (usize, usize, usize) = (12, 12, 768);
const PAPERS_EPOCHS: std::ops::RangeInclusive<usize> = 3..=6;

/// Errors and ambiguities of the DHT paper (Meng et al. 2023), with the interpretation used here. Every other
/// interpretation that can be computed is available as an option.
const READINGS: [&str; 16] = [
    "the binary reward of the heads is 1 when the ratio, without its factor, exceeds 1; the published formula says 0, against its \
     text, and takes the ratio with its factor (HeadFeedback::AsPublished)",
    "the prior term of the head-set bandit's objective has a minus sign; with the published plus sign there is no maximum",
    "the head-set bandit's new mean is the maximiser over the weights p, and its precision grows by the curvature there; the \
     published objective is maximised over g, on which its likelihood does not depend",
    "the head-set bandit's rewards 0 and 1 enter its loss as -1 and +1; with the published 0 a failure would teach nothing",
    "the embedding is pooled to 4 + 8 + 16 = 28 values; the paper says 26 and 36, and only 28 gives its 168 dimensions",
    "an axis is split into powers of two; the published 1, 2, 4, 6, 8 contradicts the published example of seven parts",
    "the feature of a head in the head-set bandit's context is one number, since 13 = 12 + 1; 7.1 pools features like contexts",
    "the one-hot vector of the head-count bandit marks the group of layers, since 87 = 42 + 42 + 3; the paper says the depth",
    "the numbers of layers 3, 6, 9 and 12 are total depths, as in the experiments; Algorithm 2 adds the base layers to them",
    "four of the 12 heads are pinned: in every head set, without feedback; C(8, 4), C(8, 6) and C(8, 8) are the published 70, 28 \
     and 1 head sets, and the paper does not mention pinned heads",
    "in Algorithm 1 the matrix A has as many dimensions as w = [x ; z]; the paper gives it those of x alone",
    "the head-count bandit's cost-weighted loss has the total number of layers of the route; \"at the l-th layer\" can be read otherwise",
    "the joint bandit's cost-weighted loss is the loss times the arm's layers times its heads; the reported share of layers and \
     heads counts base and frozen layers with all their heads, and second passes not at all",
    "all depths share one pooler and one classifier; the paper mentions neither",
    "the encoder starts from pre-trained BERT; 6.2 says \"from scratch\", and its F1 is that of fine-tuned models",
    "F1 is macro F1; the paper says only F1",
];

/// Rules that the DHT paper (Meng et al. 2023) leaves open or that cannot be run as published, with their replacements.
const ADDITIONS: [&str; 18] = [
    "ratios are computed with losses of at least 1e-7, and the first batch is compared with its own mean, since there is no \
     previous one",
    "the previous batch is the batch trained on just before, of any depth; for the head-count bandit, and the head sets of a tree \
     search, it is the batch before that ran the same group of layers",
    "contexts for the depth come from the base state with the weights at the sample's arrival, without dropout; those for heads \
     come from the state before each group of layers in the training pass",
    "samples arrive in batches: a batch is routed by one state of the bandits, which learn when a batch leaves its queue",
    "a queue may hold more than its size for a moment, since samples arrive in batches; the first ones leave",
    "batches hold texts of similar lengths: rows are shuffled, and sorted by length within a window of 8 batches",
    "scaled contexts are kept within 5 standard deviations; a dimension that does not vary is 0; the reference for the \
     rolling statistics is missing in the paper",
    "a batch is scaled by rolling statistics of all samples that were learned from and its own, without those that wait in queues; \
     a sample is learned from under later statistics than it was routed under; all groups share the statistics of a bandit",
    "inference scales contexts by the statistics at the end of the training",
    "features of arms are scaled like contexts, except for the single feature of a head",
    "features of arms are computed once, at the start of the training, in two passes: one with all heads, one in which texts take the \
     numbers of heads in turn, with one random head set for each number in a batch",
    "a text with fewer tokens than an axis has parts repeats its nearest token; padding is not pooled",
    "the head-set bandit learns from all samples of a batch together, one group of layers after another",
    "equal scores: an arm at random in training, and at inference the first arm or the lowest head index",
    "at inference the bandits neither explore nor learn; the paper does not say so",
    "one learning rate serves all data sets unless it is given; the paper adapts it to the data set, and gives no values and no \
     optimiser",
    "pinned heads are those of the largest norm before the training, and stay the same in both phases of P-DHT",
    "the frozen layers of P-DHT are the encoder's last two, whatever the depth of the route; pooler and classifier still learn",
];

impl SearchSettings {
    /// Lists the differences between the DHT paper (Meng et al. 2023) and a search with these settings in a space, one
    /// sentence each.
    ///
    /// The list has errors of the paper with the interpretation used here, values and rules that the paper leaves open,
    /// settings other than those of [`paper`](Self::paper), and another size of the encoder.
    ///
    /// # Examples
    /// ```
    /// use dht_search::{Preset, SearchSettings};
    /// use dht_search::settings::{Experiment, PublishedDataset};
    ///
    /// let space = Preset::TDht.space(12, 12)?;
    /// let experiment = Experiment::published(PublishedDataset::AgNews);
    /// let paper = SearchSettings::paper().deviations(&space, &experiment);
    /// assert!(paper.iter().any(|line| line.contains("drained")));
    /// let shared = SearchSettings { forgetting_decay: 0.99, ..SearchSettings::paper() };
    /// let more = shared.deviations(&space, &experiment);
    /// assert_eq!(more[0], "forgetting_decay is 0.99; 1.0 as published");
    /// assert_eq!(more.len(), paper.len() + 1);
    /// # Ok::<(), dht_search::Error>(())
    /// ```
    pub fn deviations(&self, space: &SearchSpace, experiment: &Experiment) -> Vec<String> {
        let mut lines = changed(self);
        lines.extend(unpublished_values(self));
        if let Dispatch::Queue { .. } = self.dispatch {
            lines.push(
                "queues are drained at the end of an epoch, in smaller batches; as published, samples of a queue that never \
                 fills are not trained on"
                    .into(),
            );
        }
        if self.context == ContextDesign::Paper && space.is_tree() && space.groups().len() != 3 {
            let size = 84 + space.groups().len();
            lines.push(format!(
                "contexts of the head-count bandit have {size} dimensions; 87 as published, for three groups"
            ));
        }
        lines.extend(of_routes(space));
        lines.extend(of_two_phases(space));
        let ModelShape { layers, heads } = space.model_shape();
        let hidden = experiment.hidden;
        if (layers, heads, hidden) != PAPERS_ENCODER {
            lines.push(format!(
                "the encoder has {layers} layers of {heads} heads and width {hidden}; 12 of 12 and 768 as published"
            ));
        }
        if self.pooling == Pooling::Pooler && !experiment.own_pooler {
            lines.push(
                "the pooler starts at random, since the encoder has none; in our reading of the paper it is BERT's"
                    .into(),
            );
        }
        if !experiment.pretrained {
            lines.push("the encoder starts at random; in our reading of the paper it is pre-trained".into());
        }
        lines.extend(of_data(experiment));
        lines.extend(READINGS.iter().chain(&ADDITIONS).map(|line| (*line).to_owned()));
        lines
    }
}

/// Differences of an experiment's texts, numbers of rows and epochs from the DHT paper (Meng et al. 2023).
fn of_data(experiment: &Experiment) -> Vec<String> {
    let Experiment { dataset, training_rows, validation_rows, test_rows, max_tokens, epochs, .. } = *experiment;
    let mut lines = Vec::new();
    match dataset {
        None => lines.push(format!(
            "the data are none of the paper's: {training_rows} rows to train on and {test_rows} to test, of up to {max_tokens} tokens"
        )),
        Some(dataset) => {
            let (name, (training, test)) = (dataset.name(), dataset.rows());
            let counts = [
                ("rows to train on", training_rows, training),
                ("rows to test", test_rows, test),
                ("tokens of a text", max_tokens, dataset.max_tokens()),
            ];
            let differing = counts.into_iter().filter(|(_, own, published)| own != published);
            lines.extend(differing.map(|(what, own, published)| {
                format!("{what}, at most: {own}; {published} as published for {name}")
            }));
        }
    }
    if validation_rows > 0 {
        lines.push(format!(
            "{validation_rows} rows are held out, and the epoch with the best macro F1 on them is used, of {epochs}; the paper \
             names no such rows, and does not say which epoch it uses"
        ));
    }
    if !PAPERS_EPOCHS.contains(&epochs) {
        lines.push(format!("the number of epochs is {epochs}; 3 to 6 as published"));
    }
    lines
}

/// Sentences on the settings whose values differ from the DHT paper's. Settings for which the paper gives no value are
/// not included.
fn changed(settings: &SearchSettings) -> Vec<String> {
    let paper = SearchSettings::paper();
    // Settings that are not values of the DHT paper, or have no effect on a search with the paper's other choices.
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
        head_set_prior_weight: settings.head_set_prior_weight,
        warm_up_contexts: settings.warm_up_contexts,
        explore_power: settings.explore_power,
        ..paper
    };
    let fields = |settings: &SearchSettings| serde_json::to_value(settings).unwrap_or_default();
    let (own, printed) = (fields(settings), fields(&open));
    let names = printed.as_object().into_iter().flat_map(|fields| fields.keys());
    let differs = names.filter(|field| own[*field] != printed[*field]);
    let line = |field: &String| format!("{field} is {}; {} as published", plain(&own[field]), plain(&printed[field]));
    differs.map(line).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        other => other.to_string(),
    }
}

/// Settings for which the DHT paper (Meng et al. 2023) gives no value, with the values used here.
fn unpublished_values(settings: &SearchSettings) -> Vec<String> {
    let SearchSettings { exploration, kappa, .. } = settings;
    let [alpha, kappa] =
        [exploration, kappa].map(|value| format!("{}, {} and {}", value.depth, value.heads, value.arms));
    let mut lines = vec![
        format!("exploration of the depth, head-count and joint bandits is {alpha}; the paper gives no value"),
        format!("the factors of the rewards of these three bandits are {kappa}; the paper gives no value"),
        format!("the prior precision of these three bandits is {}; the paper gives no value", settings.prior_precision),
        format!(
            "the head-set bandit's prior precision is {}; the published 0 is an infinite variance",
            settings.head_set_prior_precision
        ),
        format!("the head-set bandit's λ is {}; the paper gives no value", settings.head_set_prior_weight),
    ];
    let pinned = serde_json::to_value(&settings.pinned_heads).unwrap_or_default();
    lines.push(format!("the pinned heads are chosen by {}; the paper does not mention them", plain(&pinned)));
    if let Dispatch::Queue { size } = settings.dispatch {
        lines.push(format!("a queue holds {size} samples; the paper gives no value"));
    }
    lines
}

/// Sentence on a search space whose routes differ from the DHT paper's four configurations, generalised to the size of
/// the model. `None` if they do not differ.
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

/// Sentence on the rules that the second training phase of the preset P-DHT requires and the DHT paper does not state.
/// `None` for a space without frozen last layers.
fn of_two_phases(space: &SearchSpace) -> Option<String> {
    space.tail()?;
    let layers = match space.config().base_state {
        BaseState::OnRoute => return None,
        BaseState::PrePass { layers } => layers,
        BaseState::Embedding => {
            let anew =
                "after the switch to frozen layers contexts come from the embeddings, and the joint bandit starts anew";
            return Some(format!("{anew}; the paper does not say where they come from"));
        }
    };
    Some(format!(
        "after the switch to frozen layers each new arm starts from the old arm of its depth with the nearest number of heads, and \
         keeps that arm's feature; contexts still come from the first {layers} layers with all heads, in a pass without gradient, \
         although the route prunes from its first layer on"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::RewardShape;
    use crate::settings::PublishedDataset;
    use crate::space::SpaceConfig;

    fn published() -> Experiment {
        Experiment::published(PublishedDataset::AgNews)
    }

    #[test]
    fn other_data_poolers_and_epochs_are_named() {
        let space = Preset::TDht.space(12, 12).unwrap();
        let of = |experiment: &Experiment| SearchSettings::paper().deviations(&space, experiment);
        for dataset in PublishedDataset::ALL {
            let published = Experiment::published(dataset);
            assert_eq!(of(&published), of(&self::published()), "the paper's own experiments have no line of their own");
            let (rows, tokens) = (dataset.rows(), dataset.max_tokens());
            let own = Experiment {
                training_rows: 5_400,
                validation_rows: 600,
                test_rows: 1_000,
                max_tokens: 64,
                own_pooler: false,
                pretrained: false,
                epochs: 2,
                ..published
            };
            let lines = of(&own);
            let added: Vec<&String> = lines.iter().filter(|line| !of(&published).contains(line)).collect();
            let parts = [
                "it is BERT's".to_owned(),
                "the encoder starts at random".to_owned(),
                format!("5400; {} as published for {}", rows.0, dataset.name()),
                format!("1000; {} as published", rows.1),
                format!("64; {tokens} as published"),
                "600 rows are held out, and the epoch with the best macro F1 on them is used, of 2".to_owned(),
                "epochs is 2; 3 to 6".to_owned(),
            ];
            assert_eq!(added.len(), parts.len(), "{added:?}");
            assert!(added.iter().zip(&parts).all(|(line, part)| line.contains(part)), "{added:?}");
            let unknown = of(&Experiment { dataset: None, ..own });
            assert!(unknown.iter().any(|line| line.starts_with("the data are none of the paper's: 5400 rows")));
        }
        let mean = SearchSettings { pooling: Pooling::Mean, ..SearchSettings::paper() };
        let lines = mean.deviations(&space, &Experiment { own_pooler: false, ..published() });
        assert!(!lines.iter().any(|line| line.contains("starts at random")), "a mean needs no pooler");
    }

    #[test]
    fn paper_settings_deviate_only_where_the_print_is_open_or_wrong() {
        for preset in Preset::ALL {
            let space = SearchSpace::new(preset.config(12, 12, SevenLayerHeads::AsPublished).unwrap()).unwrap();
            let lines = SearchSettings::paper().deviations(&space, &published());
            assert!(!lines.iter().any(|line| line.ends_with("as published")), "{preset}: {lines:?}");
            // Seven values, the drained queues, and the switch of P-DHT.
            let switch = usize::from(preset == Preset::PDht);
            assert_eq!(lines.len(), 7 + 1 + switch + READINGS.len() + ADDITIONS.len(), "{preset}: {lines:?}");
            let distinct: std::collections::BTreeSet<&String> = lines.iter().collect();
            assert_eq!(distinct.len(), lines.len());
        }
    }

    #[test]
    fn another_size_of_the_encoder_and_of_the_contexts_is_named() {
        let space = Preset::TDht.space(3, 4).unwrap();
        let lines = SearchSettings::paper().deviations(&space, &Experiment { hidden: 48, ..published() });
        let named = |part: &str| lines.iter().any(|line| line.contains(part));
        assert!(named("3 layers of 4 heads and width 48"), "{lines:?}");
        assert!(named("have 86 dimensions"), "{lines:?}");
    }

    #[test]
    fn other_routes_are_named() {
        let of = |config| SearchSettings::paper().deviations(&SearchSpace::new(config).unwrap(), &published());
        let standard = of(Preset::PDht.config(12, 12, SevenLayerHeads::Standard).unwrap());
        assert!(standard.iter().any(|line| line.ends_with("6, 9 or 12 as published")), "{standard:?}");
        let tree = Preset::TDht.config(12, 12, SevenLayerHeads::Standard).unwrap();
        let lines = of(SpaceConfig { pinned: 2, ..tree });
        assert!(lines.iter().any(|line| line.starts_with("the routes are none of")), "{lines:?}");
    }

    #[test]
    fn the_contexts_after_the_switch_are_named() {
        for (base_state, part) in [
            (BaseState::PrePass { layers: 3 }, "contexts still come from the first 3 layers"),
            (BaseState::Embedding, "contexts come from the embeddings"),
        ] {
            let config = Preset::PDht.config(12, 12, SevenLayerHeads::AsPublished).unwrap();
            let space = SearchSpace::new(SpaceConfig { base_state, ..config }).unwrap();
            let lines = SearchSettings::paper().deviations(&space, &published());
            assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
        }
    }

    #[test]
    fn our_settings_differ_in_every_choice_that_they_make_otherwise() {
        let ours = SearchSettings::default();
        let lines = ours.deviations(&Preset::TDht.space(12, 12).unwrap(), &published());
        let changed = |field: &str| lines.iter().any(|line| line.starts_with(field) && line.ends_with("as published"));
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
            "full_set_feedback",
        ] {
            assert!(changed(field), "{field}: {lines:?}");
        }
        assert!(!changed("head_feedback") && !changed("kappa"));
        assert!(!lines.iter().any(|line| line.contains("drained")), "there are no queues");
        let clipped = SearchSettings { reward_shape: RewardShape::Clipped { max: 2.0 }, ..SearchSettings::paper() };
        let lines = clipped.deviations(&Preset::TDht.space(12, 12).unwrap(), &published());
        assert_eq!(lines[0], r#"reward_shape is {"clipped":{"max":2.0}}; ratio as published"#);
    }
}
