//! Clones share their weights, and deep copies do not. Contexts, batches and weights that do not fit are refused.

use candle_core::Device;
use dht_toys::{Bits, config, rng, sample};
use dht_transformer::pruning::{Importance, PrunePlan};
use dht_transformer::{
    EncodedDataset, Encoder, Error, ForwardContext, Objective, PackedBatch, Pooling, Result, Sample, Task,
    TextClassifier, TrainSettings, Trainer, train::Predict,
};

const CLASSES: usize = 3;

fn data() -> EncodedDataset {
    let ids = |id| (0..3 + id % 5).map(move |place| (7 * id + 3 * place) % 20);
    dht_toys::data(["a", "b", "c"], (0..24).map(|id| sample(id.into(), id % CLASSES as u32, ids(id))))
}

fn encoder(seed: u64) -> Encoder {
    dht_toys::encoder(&config([2, 4, 16, 20], 0.2), &mut rng(seed))
}

fn model(pooling: Pooling) -> Result<TextClassifier> {
    TextClassifier::new(encoder(1), CLASSES, pooling, &mut rng(2))
}

fn train(model: &mut TextClassifier) -> Result<()> {
    let settings = TrainSettings { epochs: 2, batch_size: 8, ..TrainSettings::default() };
    Trainer::new(settings).fit(model, &data(), &data(), &mut ()).map(drop)
}

fn bits(encoder: &Encoder) -> Bits {
    dht_toys::bits(encoder.parameters())
}

#[test]
fn training_a_clone_trains_the_model_and_a_copy_not() -> Result<()> {
    let data = data();
    for pooling in [Pooling::Mean, Pooling::Pooler] {
        let whole = model(pooling)?;
        let plan = PrunePlan::most_important(whole.encoder(), &Importance::by_magnitude(whole.encoder())?, 3, 20)?;
        for mut model in [whole.prune(&plan)?, whole] {
            model.add_parameter("scale", &candle_core::Tensor::new(&[2f32, 3.0], &Device::Cpu)?)?;
            let frozen = model.parameters().id("classifier.bias")?;
            model.parameters().set_frozen(frozen, true);
            let before = bits(model.encoder());
            let answers = model.probabilities_of_all(&data, 8)?;

            let mut copy = model.deep_clone()?;
            assert!(bits(copy.encoder()) == before && copy.probabilities_of_all(&data, 8)? == answers);
            assert!(copy.parameters().is_frozen(copy.parameters().id("classifier.bias")?));
            train(&mut copy)?;
            assert!(bits(copy.encoder()) != before, "the copy learned");
            assert!(bits(model.encoder()) == before && model.probabilities_of_all(&data, 8)? == answers);

            let encoder = model.encoder().deep_clone()?;
            assert!(bits(&encoder) == before);
            let mut clone = model.clone();
            train(&mut clone)?;
            assert!(bits(model.encoder()) == bits(clone.encoder()) && bits(model.encoder()) != before);
            assert!(bits(&encoder) == before, "a copied encoder is no handle either");
        }
    }
    Ok(())
}

#[test]
fn a_training_context_of_other_parameters_is_refused() -> Result<()> {
    let (small, mut large) = (encoder(1), encoder(2));
    let batch = data().batch(&[0, 1])?;
    let refused = |encoder: &Encoder, ctx: &ForwardContext| encoder.embed(&batch, ctx).expect_err("others").to_string();
    let ctx = ForwardContext::training(small.parameters(), 1, 0);
    small.embed(&batch, &ctx)?;
    assert!(refused(&large, &ctx).starts_with("context is made for others, expected one of a training step over"));
    let early = ForwardContext::training(large.parameters(), 1, 0);
    large.add_parameter("late", &candle_core::Tensor::new(&[1f32], &Device::Cpu)?)?;
    assert!(refused(&large, &early).starts_with("context is made before parameters were added to them"));
    let ctx = ForwardContext::training(large.parameters(), 1, 0);
    let loss = large.embed(&batch, &ctx)?.tensor().sqr()?.mean_all()?;
    assert!(ctx.backward(&loss, small.parameters()).is_err());
    ctx.backward(&loss, large.parameters()).map(drop)
}

#[test]
fn batches_that_do_not_fit_together_are_refused() -> Result<()> {
    let (model, good) = (model(Pooling::Mean)?, data().batch(&[0, 1, 2])?);
    let refused = |change: &dyn Fn(&mut PackedBatch)| {
        let mut batch = good.clone();
        change(&mut batch);
        model.probabilities(&batch).expect_err("a wrong batch").to_string()
    };
    let none = PackedBatch::from_samples([])?;
    for refused in [
        model.probabilities(&none).expect_err("no sample").to_string(),
        model.loss(&none, &ForwardContext::inference()).expect_err("no sample").to_string(),
    ] {
        assert_eq!(refused, "batch is none, expected at least one sample");
    }
    assert!(refused(&|batch| batch.ids.truncate(2)).starts_with("ids of a batch has shape [2], expected [12]"));
    assert!(refused(&|batch| batch.ids.push(5)).starts_with("ids of a batch"));
    assert!(refused(&|batch| batch.type_ids.clear()).starts_with("type_ids of a batch"));
    assert!(refused(&|batch| batch.sample_ids.truncate(2)).starts_with("sample_ids of a batch"));
    assert!(refused(&|batch| batch.labels.truncate(2)).starts_with("labels of a batch"));
    assert!(refused(&|batch| batch.targets.push(1.0)).starts_with("targets of a batch"));
    let refused = data().batch(&[3, 24]).expect_err("no such row").to_string();
    assert_eq!(refused, "row is 24, expected below 24");
    let uneven = data().samples.into_iter().zip([vec![1.0, 0.0], vec![1.0]]);
    let uneven: Vec<Sample> = uneven.map(|(sample, targets)| Sample { targets, ..sample }).collect();
    let refused = PackedBatch::from_samples(&uneven).expect_err("targets of two lengths").to_string();
    assert_eq!(refused, "targets of sample 1 has shape [1], expected [2]");
    Ok(())
}

#[test]
fn weights_that_are_no_numbers_give_no_answer() -> Result<()> {
    for wrong in [f64::NAN, f64::INFINITY] {
        for task in [Task::Class, Task::Labels] {
            let model = TextClassifier::for_task(task, encoder(1), CLASSES, Pooling::Mean, &mut rng(2))?;
            let parameters = model.parameters();
            let bias = parameters.var(parameters.id("encoder.layer.1.output.dense.bias")?);
            bias.set(&bias.affine(0.0, wrong)?)?;
            let answers = model.probabilities_of_all(&data(), 8);
            assert!(matches!(answers, Err(Error::NotFinite { .. })), "{task:?} {wrong}: {answers:?}");
            let predicted = model.predictions(&data(), 8);
            assert!(matches!(predicted, Err(Error::NotFinite { .. })), "{task:?} {wrong}: {predicted:?}");
        }
    }
    Ok(())
}

#[test]
fn names_that_are_equal_and_unknown_settings_are_refused() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let names = ["a", "b ", "b"].map(String::from);
    let refused = model(Pooling::Mean)?.save(folder.path().join("model"), None, &names).expect_err("equal names");
    assert!(refused.to_string().ends_with("expected another name for each class"), "{refused}");
    assert!(!folder.path().join("model").exists());
    let unknown = serde_json::from_str::<TrainSettings>("{\"epoch\": 5}").expect_err("a misspelled field");
    assert!(unknown.to_string().starts_with("unknown field `epoch`"), "{unknown}");
    Ok(())
}
