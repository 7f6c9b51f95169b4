use candle_core::Device;
use clap::Parser;
use dht_search::{reward::RewardShape, settings::Normalization};
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
        // From scratch, .2 of the first phase runs the full model, and another .2 runs random routes.
        assert!((chosen_from - 0.4 * switch).abs() < 1e-12, "{line}: {chosen_from} of a switch at {switch}");
        // Presets other than P-DHT have one phase.
        let one = planned(Preset::FDht, &plan, 6).unwrap();
        assert_eq!((one.settings.full_model_steps.first, one.settings.explore_share), (0.2, 0.2));
        assert!(one.first.is_none());
    }
}

#[test]
fn p_dht_has_epochs_after_its_layers_are_frozen() {
    for (epochs, fits) in [(1, false), (2, false), (3, true)] {
        let search = planned(Preset::PDht, &plan(&format!("--epochs {epochs}")), 6);
        assert_eq!(search.is_ok(), fits, "{epochs} epochs");
        assert!(fits || matches!(search, Err(Error::Argument { flag: "epochs", .. })));
        assert!(planned(Preset::FDht, &plan(&format!("--epochs {epochs}")), 6).is_ok());
    }
}

#[test]
fn paper_settings_are_the_librarys_with_queues_of_a_batch() {
    for preset in Preset::ALL {
        let search = planned(preset, &plan("--settings paper --batch 20"), 6).unwrap();
        let expected = SearchSettings { dispatch: Dispatch::Queue { size: 20 }, ..SearchSettings::paper() };
        assert_eq!(search.settings, expected, "{preset}");
        assert_eq!(search.space, preset.space(6, 12).unwrap());
        let ours = planned(preset, &plan(""), 6).unwrap();
        assert_eq!(ours.settings.normalization, Normalization::FrozenAfterWarmUp);
        assert_ne!(ours.settings.reward_shape, RewardShape::Ratio);
    }
}

#[test]
fn paper_settings_have_the_printed_seven_layer_routes() {
    let arms = |line: &str| -> Vec<String> {
        let space = planned(Preset::PDht, &plan(line), 12).unwrap().space;
        space.integrated_arms().iter().map(ToString::to_string).collect()
    };
    assert_eq!(arms("--settings paper")[6..9], ["7L6H+2L12H", "7L9H+2L12H", "7L12H+2L12H"]);
    assert_eq!(arms("")[6..9], ["7L8H+2L12H", "7L10H+2L12H", "7L12H+2L12H"]);
}
