//! The FLOPs of every baseline's training equal the count of the one function through which every product runs.
//!
//! The count belongs to the process, so this file holds one test.

use dht_dynamic::evaluate;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::training::{ExitTargets, FrozenExits};
use dht_search::baselines::distilbert::distilbert;
use dht_search::baselines::fastbert::{self, FastBertSettings};
use dht_search::baselines::pabee::{PabeeSettings, pabee};
use dht_search::baselines::{Baseline, truncation};
use dht_search::{Error, Result};
use dht_search::{
    transformer::flops::FlopCount,
    transformer::pruning::PrunePlan,
    transformer::tasks::{Distillation, DistillationSettings, FineTuning},
    transformer::{EncodedDataset, Encoder, Pooling, TextClassifier, TrainSettings, Trainer},
};
use dht_toys::{config, head_set, random_texts};
use rand_chacha::ChaCha8Rng;

const LAYERS: usize = 4;
const CLASSES: usize = 3;

fn rng() -> ChaCha8Rng {
    dht_toys::rng(1)
}

fn texts(rows: u64) -> EncodedDataset {
    random_texts(rows, 1..9, &mut rng())
}

fn encoder() -> Encoder {
    dht_toys::encoder(&config([LAYERS, 4, 24, 50], None), &mut rng())
}

fn full_model(pooling: Pooling) -> Result<TextClassifier> {
    Ok(TextClassifier::new(encoder(), CLASSES, pooling, &mut rng())?)
}

/// Trains and evaluates, and compares the reported FLOPs of both with the count.
fn check<B: Baseline>(name: &str, mut baseline: B) -> Result<()> {
    let train = TrainSettings { epochs: 2, batch_size: 8, ..TrainSettings::default() };
    let start = FlopCount::executed().0;
    Trainer::new(train).fit(&mut baseline, &texts(37), &texts(0), &mut ()).map_err(Into::<Error>::into)?;
    let ran = FlopCount::executed().0 - start;
    assert!(ran > 0 && baseline.flops() == ran, "training, {name}: {} of {ran}", baseline.flops());
    let (model, start) = (baseline.into_model(), FlopCount::executed().0);
    assert_eq!(evaluate(&model, &texts(20), 6)?.flops, FlopCount::executed().0 - start, "evaluation, {name}");
    Ok(())
}

/// Training runs in which some layers are frozen.
fn check_frozen() -> Result<()> {
    for frozen in [vec![], vec![1], vec![0, 1], vec![2, 3], vec![0, 1, 2, 3]] {
        for embeddings in [false, true] {
            for pooling in [Pooling::Pooler, Pooling::Mean] {
                let model = full_model(pooling)?;
                model.encoder().freeze_embeddings(embeddings);
                frozen.iter().for_each(|layer| model.encoder().freeze_layer(*layer, true));
                let name = format!("frozen {frozen:?}, embeddings {embeddings}, {pooling:?}");
                let distillation =
                    Distillation::new(model.clone(), &full_model(pooling)?, DistillationSettings::default())?;
                check(&name, FineTuning::new(model))?;
                check(&format!("distillation, {name}"), distillation)?;
            }
        }
    }
    Ok(())
}

#[test]
fn counted_training_flops_equal_the_products_that_ran() -> Result<()> {
    check_frozen()?;
    for pooling in [Pooling::Cls, Pooling::Pooler] {
        let (full, soft) = (full_model(pooling)?, DistillationSettings::soft_labels());
        check("truncation", truncation::fine_tuned(full.encoder(), 2, CLASSES, pooling, &mut rng())?)?;
        check("distilled truncation", truncation::distilled(full.encoder(), 3, &full, soft, &mut rng())?)?;
        for layers in [1, 2, LAYERS] {
            check("DistilBERT", distilbert(&full, layers, DistillationSettings::default())?)?;
        }
        // A pruned teacher runs only its remaining heads and neurons.
        let mut plan = PrunePlan::first_layers(full.encoder(), LAYERS)?;
        plan.heads[1] = head_set(&[0, 2], 4);
        plan.neurons[2].truncate(5);
        check("DistilBERT of a pruned teacher", distilbert(&full.prune(&plan)?, 2, DistillationSettings::default())?)?;

        for (exit_kind, of_exits) in [
            (ExitKind::Linear, Pooling::Mean),
            (ExitKind::Linear, Pooling::Pooler),
            (ExitKind::SideLayer { width: 7 }, Pooling::Cls),
            (ExitKind::SideLayer { width: 8 }, Pooling::Mean),
        ] {
            for exits in [None, Some(vec![1, 3, LAYERS])] {
                let name = format!("{exit_kind:?}, {of_exits:?}, {exits:?}");
                for speed in [0.0, 0.99] {
                    let settings = FastBertSettings {
                        speed,
                        exit_kind,
                        pooling: of_exits,
                        exits: exits.clone(),
                        ..Default::default()
                    };
                    check(&format!("FastBERT, {name}"), fastbert::fastbert(&full, &settings, &mut rng())?)?;
                }
                for targets in [ExitTargets::Labels, ExitTargets::Both { temperature: 2.0 }] {
                    let settings =
                        FastBertSettings { exit_kind, pooling: of_exits, exits: exits.clone(), ..Default::default() };
                    let model = fastbert::fastbert(&full, &settings, &mut rng())?.into_model();
                    check(&format!("{targets:?}, {name}"), FrozenExits::new(model.clone(), targets)?)?;
                    // Room for some of the texts, and for all.
                    for bytes in [3_000, 1 << 20] {
                        let training = FrozenExits::new(model.clone(), targets)?.with_cache(bytes);
                        check(&format!("{bytes} bytes, {targets:?}, {name}"), training)?;
                    }
                }
                let settings = PabeeSettings { patience: 1, exits, exit_kind, pooling: of_exits };
                check(&format!("PABEE, {name}"), pabee(encoder(), CLASSES, &settings, &mut rng())?)?;
            }
        }
    }
    Ok(())
}
