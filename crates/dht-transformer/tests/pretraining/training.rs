//! A masked language model learns from the words around a mask, and resumes bit for bit after an interruption.

use candle_core::Device;
use dht_toys::{Outcome, adamw, bits, checkpointed, config, data, encoder, numbers, refused, rng, run, sample};
use dht_transformer::{
    BertConfig, EncodedDataset, Error, ForwardContext, MaskedLanguageModel, Objective, Pooling, TextClassifier,
    TextTokenizer, TrainSettings, Trainer, data::MaskSettings, error::CheckpointProblem, train::Event,
};
use rand::RngExt;

const WORDS: u32 = 16;

fn tokenizer() -> Result<TextTokenizer, Error> {
    TextTokenizer::from_vocabulary(&(0..WORDS).map(|word| format!("w{word}")).collect::<Vec<_>>())
}

/// Texts w, w + 3, w + 6, … with a random start. Either neighbour of a masked word determines it.
fn texts(count: u64, seed: u64) -> EncodedDataset {
    let mut rng = rng(seed);
    let text = |id| {
        let start = rng.random_range(0..WORDS);
        let words = (0..10).map(|place| 5 + (start + 3 * place) % WORDS);
        sample(id, 0, [2].into_iter().chain(words).chain([3]))
    };
    data([""; 0], (0..count).map(text))
}

fn model(seed: u64) -> Result<MaskedLanguageModel, Error> {
    let rng = &mut rng(seed);
    let config = BertConfig { max_position_embeddings: 12, ..config([2, 2, 32, 5 + WORDS as usize], None) };
    MaskedLanguageModel::new(encoder(&config, rng), &tokenizer()?, MaskSettings::default(), rng)
}

fn settings(epochs: usize) -> TrainSettings {
    TrainSettings { epochs, batch_size: 16, seed: 3, optimizer: adamw(3e-3), ..TrainSettings::default() }
}

#[test]
fn what_the_words_around_a_gap_tell_is_learnt() -> Outcome {
    let (training, validation) = (texts(400, 1), texts(60, 2));
    let mut model = model(1)?;
    let guessing = f64::from(WORDS).ln();
    let untrained = -model.score(&validation, 16)?;
    assert!((untrained - guessing).abs() < 0.5, "an untrained model has loss {untrained}, guessing has {guessing}");
    Trainer::new(settings(25)).fit(&mut model, &training, &validation, &mut ())?;
    let trained = -model.score(&validation, 7)?;
    // Word frequencies are uninformative here; only neighbours are informative.
    assert!(trained < 0.5 * guessing, "loss {trained}, guessing has {guessing}");
    assert!((trained + model.score(&validation, 60)?).abs() < 1e-5, "the score depends on the batches");
    Ok(())
}

#[test]
fn a_killed_and_resumed_pretraining_ends_with_the_same_bits() -> Outcome {
    let (training, validation) = (texts(50, 1), texts(9, 2));
    let mut whole = model(1)?;
    Trainer::new(settings(3)).fit(&mut whole, &training, &validation, &mut ())?;
    let folder = tempfile::tempdir()?;
    for stop in [1, 4, 6, 11] {
        // A copy of the checkpoint at this step is what a killed process would leave.
        let path = folder.path().join("training");
        let copy = folder.path().join(format!("killed at {stop}"));
        let mut observer = |event: Event<'_>| {
            if matches!(event, Event::Step { progress, .. } if progress.step == stop) {
                std::fs::copy(&path, &copy).expect("there was a step before");
            }
        };
        checkpointed(settings(3), &path, 1).fit(&mut model(1)?, &training, &validation, &mut observer)?;
        std::fs::remove_file(&path)?;
        let mut resumed = model(99)?;
        checkpointed(settings(3), &copy, 1).fit(&mut resumed, &training, &validation, &mut ())?;
        assert!(bits(resumed.parameters()) == bits(whole.parameters()), "stopped at step {stop}");
    }
    Ok(())
}

#[test]
fn a_pretraining_resumes_only_with_its_own_heads_and_masks() -> Outcome {
    let (training, nothing) = (texts(50, 1), texts(0, 2));
    let folder = tempfile::tempdir()?;
    let trainer = checkpointed(settings(1), &folder.path().join("training"), 1);
    trainer.fit(&mut model(1)?, &training, &nothing, &mut ())?;

    let rng = &mut rng(1);
    let mut config = model(1)?.encoder().config().clone();
    config.num_attention_heads *= 2;
    let heads = config.num_attention_heads;
    let masks = MaskSettings { chosen: 0.4, ..MaskSettings::default() };
    let mut other = MaskedLanguageModel::new(encoder(&config, rng), &tokenizer()?, masks, rng)?;
    let before = bits(other.parameters());
    let refused = trainer.fit(&mut other, &training, &nothing, &mut ());
    let Err(Error::Checkpoint { problem: CheckpointProblem::OtherTraining { differences }, .. }) = refused else {
        panic!("{refused:?}");
    };
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let other_heads = format!("encoder.num_attention_heads is {} there and {heads} here", heads / 2);
    assert_eq!(texts, [&other_heads, "masks.chosen is 0.15 there and 0.4 here"]);
    assert!(bits(other.parameters()) == before);
    Ok(())
}

#[test]
fn a_saved_model_loads_for_pretraining_and_fine_tuning() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, texts) = (model(1)?, texts(20, 1));
    let target = folder.path().join("encoder");
    model.save(&target, &tokenizer()?)?;
    let again = MaskedLanguageModel::load(&target, &tokenizer()?, MaskSettings::default(), &Device::Cpu)?;
    assert_eq!(again.score(&texts, 4)?.to_bits(), model.score(&texts, 4)?.to_bits());

    let classifier = TextClassifier::from_pretrained(&target, 2, Pooling::Mean, &Device::Cpu, &mut rng(7))?;
    let batch = texts.batch(&[0, 1])?;
    let states = |encoder| run(encoder, &batch, &ForwardContext::inference()).map(|hidden| numbers(hidden.tensor()));
    assert_eq!(states(classifier.encoder())?, states(model.encoder())?);

    // A directory with only an encoder has no head to continue training.
    classifier.save(&target, None, &["a".into(), "b".into()]).expect_err("the tokenizer's files would be lost");
    let bare = folder.path().join("bare");
    dht_transformer::pretrained::PretrainedWeights::write(
        &bare,
        model.encoder().config(),
        &model.encoder().to_tensors()?,
        None,
    )?;
    let headless = MaskedLanguageModel::load(&bare, &tokenizer()?, MaskSettings::default(), &Device::Cpu);
    assert!(matches!(headless, Err(Error::Weights { .. })));
    Ok(())
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_encoder_is_refused() -> Outcome {
    let rng = &mut rng(1);
    let encoder = encoder(&config([1, 2, 16, 4 + WORDS as usize], None), rng);
    let model = MaskedLanguageModel::new(encoder, &tokenizer()?, MaskSettings::default(), rng);
    assert_eq!(refused(model), "vocab_size");
    Ok(())
}

#[test]
fn a_batch_without_words_makes_no_step() -> Outcome {
    let mut batch = texts(2, 1).batch(&[0, 1])?;
    batch.ids.fill(3);
    let mut model = model(1)?;
    let progress = dht_transformer::Progress { seed: 1, step: 0, epoch: 0, share: 0.0 };
    assert!(model.offer(batch, progress)?.is_none());
    Ok(())
}
