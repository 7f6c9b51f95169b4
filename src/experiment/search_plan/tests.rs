use candle_core::Device;
use clap::Parser;
use dht_search::{SpaceConfig, reward::RewardShape, settings::Normalization};
use dht_transformer::BertConfig;
use rand::SeedableRng;

use crate::experiment::plan::Arguments;
use crate::experiment::search_plan::*;

fn plan(line: &str) -> RunPlan {
    RunPlan::try_from(Arguments::parse_from(std::iter::once("dht").chain(line.split_whitespace()))).unwrap()
}

fn planned(preset: Preset, plan: &RunPlan, layers: usize) -> Result<PlannedSearch> {
    let config = BertConfig::small(layers, 12, 24, 50)?;
    let encoder = Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1))?;
    PlannedSearch::new(preset, plan, &encoder, Pooling::Pooler)
}

#[test]
fn p_dht_lets_its_bandits_choose_in_both_of_its_phases() {
    for line in ["", "--epochs 3", "--epochs 9"] {
        let plan = plan(line);
        let search = planned(Preset::PDht, &plan, 6).unwrap();
        let (full, epochs) = search.first.unwrap();
        assert_eq!((full, epochs), (Preset::FDht.space(6, 12).unwrap(), 2));
        let switch = 2.0 / plan.epochs as f64;
        let chosen_from = search.settings.full_model_steps.first + search.settings.explore_share;
        // From scratch .2 and .2 of the training run the full model and random routes, here of the first phase.
        assert!((chosen_from - 0.4 * switch).abs() < 1e-12, "{line}: {chosen_from} of a switch at {switch}");
        // Other searches have one phase.
        let one = planned(Preset::FDht, &plan, 6).unwrap();
        assert_eq!((one.settings.full_model_steps.first, one.settings.explore_share), (0.2, 0.2));
        assert!(one.first.is_none());
    }
}

#[test]
fn the_papers_settings_are_those_of_the_library_with_queues_of_a_batch() {
    for preset in Preset::ALL {
        let search = planned(preset, &plan("--settings paper --batch 20"), 6).unwrap();
        let expected = SearchSettings { dispatch: Dispatch::Queue { size: 20 }, ..SearchSettings::paper() };
        assert_eq!(search.settings, expected, "{preset}");
        assert_eq!(search.name, format!("{preset}, the paper's settings"));
        assert_eq!(search.space, preset.space(6, 12).unwrap());
        let in_flight = planned(preset, &plan("--settings paper --dispatch in-flight"), 6).unwrap();
        assert_eq!(in_flight.settings.dispatch, Dispatch::InFlight);
        let ours = planned(preset, &plan(""), 6).unwrap();
        assert_eq!(ours.settings.normalization, Normalization::FrozenAfterWarmUp);
        assert_ne!(ours.settings.reward_shape, RewardShape::Ratio);
        assert_eq!(ours.name, preset.name());
    }
}

#[test]
fn with_the_papers_settings_twelve_layers_have_the_printed_routes_of_seven() {
    let arms = |line: &str| -> Vec<String> {
        let space = planned(Preset::PDht, &plan(line), 12).unwrap().space;
        space.integrated_arms().iter().map(ToString::to_string).collect()
    };
    assert_eq!(arms("--settings paper")[6..9], ["7L6H+2L12H", "7L9H+2L12H", "7L12H+2L12H"]);
    assert_eq!(arms("")[6..9], ["7L8H+2L12H", "7L10H+2L12H", "7L12H+2L12H"]);
}

#[test]
fn p_dht_keeps_its_first_phase_before_a_given_space_and_refuses_one_that_cannot_follow_it() {
    let standard = |preset: Preset| preset.config(6, 12, SevenLayerHeads::Standard).unwrap();
    let of = |preset: Preset, config: SpaceConfig| {
        let plan = RunPlan { space: Some(config), ..plan("") };
        planned(preset, &plan, 6)
    };
    let one_frozen = SpaceConfig {
        tail: 1,
        search: dht_search::space::Search::Integrated {
            arms: ["1L8H+1L12H", "4L12H+1L12H"].map(|arm| arm.parse().unwrap()).into(),
        },
        ..standard(Preset::PDht)
    };
    let search = of(Preset::PDht, one_frozen.clone()).unwrap();
    assert_eq!(search.first.unwrap().0, Preset::FDht.space(6, 12).unwrap());
    assert_eq!((search.space.tail().unwrap().len(), &*search.name), (1, "custom space"));
    assert!(of(Preset::FDht, one_frozen.clone()).unwrap().first.is_none(), "only P-DHT has two phases");

    let refused = |config: SpaceConfig| match of(Preset::PDht, config).err().unwrap() {
        Error::Argument { flag: "space", expected, got } => (expected, got),
        other => panic!("{other}"),
    };
    let (expected, got) = refused(standard(Preset::FDht));
    assert!(expected.contains("`tail = 2`") && got == "a space without a tail", "{expected}, {got}");
    let search = dht_search::space::Search::Tree { heads: vec![vec![8, 12]; 3] };
    let (expected, got) = refused(SpaceConfig { search, ..standard(Preset::PDht) });
    assert!(expected.contains("integrated") && got == "a tree search", "{expected}, {got}");
    let base_state = dht_search::space::BaseState::PrePass { layers: 2 };
    let (expected, got) = refused(SpaceConfig { base_state, ..one_frozen.clone() });
    assert!(expected.contains("pre_pass = { layers = 1 }") && got == "contexts from 2 layers", "{expected}, {got}");
    let base_state = dht_search::space::BaseState::Embedding;
    of(Preset::PDht, SpaceConfig { base_state, ..one_frozen }).unwrap();
}
