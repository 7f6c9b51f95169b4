//! Every kind of directory that this crate writes is read again with equal logits. The directories stay in
//! `target/tmp/directories`, where `scripts/check-directories` loads them with `transformers`.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use dht_toys::{Outcome, config, head_set, outside, rng, run};
use dht_transformer::{
    BertConfig, Encoder, ForwardContext, MaskedLanguageModel, PackedBatch, Pooling, Result, Sample, Task,
    TextClassifier, TextTokenizer,
    config::Family,
    data::{MaskSettings, NamedDataset},
    pretrained::PretrainedWeights,
    pruning::PrunePlan,
};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::json;

const FAMILIES: [(&str, Family); 6] = [
    ("bert", Family::Bert),
    ("distilbert", Family::DistilBert),
    ("roberta", Family::Roberta),
    ("xlm-roberta", Family::XlmRoberta),
    ("camembert", Family::Camembert),
    ("mpnet", Family::MpNet),
];
const TEXTS: [&[u32]; 3] = [&[2, 7, 19, 3], &[2, 5, 5, 11, 3], &[2, 18, 10, 6, 9, 8, 3]];

fn folder(name: &str) -> std::io::Result<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("directories");
    std::fs::create_dir_all(&place)?;
    Ok(place.join(name))
}

fn encoder(family: Family) -> Encoder {
    let mut config = BertConfig { family, max_position_embeddings: 12, ..config([3, 4, 16, 20], 0.3) };
    if family != Family::Bert {
        (config.type_vocab_size, config.pad_token_id) = (1, 1);
    }
    dht_toys::encoder(&config, &mut rng(4))
}

fn batch() -> PackedBatch {
    dht_toys::batch(&TEXTS, &[0; 3])
}

/// Writes the values that `transformers` must compute, beside the directory.
fn expect(name: &str, logits: &Tensor) -> Outcome {
    let expected = json!({"texts": TEXTS, "logits": logits.to_vec2::<f32>()?});
    Ok(std::fs::write(folder(name)?.with_extension("json"), expected.to_string())?)
}

fn classifier_survives(name: &str, model: &TextClassifier) -> Outcome {
    let labels: Vec<String> = (0..model.classifier().classes()).map(|label| format!("label {label}")).collect();
    model.save(folder(name)?, None, &labels)?;
    let logits = |model: &TextClassifier| model.logits(&batch(), &ForwardContext::inference());
    let again = TextClassifier::load(folder(name)?, &Device::Cpu)?;
    assert_eq!(logits(&again)?.to_vec2::<f32>()?, logits(model)?.to_vec2::<f32>()?, "{name}");
    expect(name, &logits(model)?)
}

#[test]
fn models_of_one_directory_share_no_weights() -> Outcome {
    let rng = &mut rng(3);
    let place = folder("shared")?;
    TextClassifier::new(encoder(Family::Bert), 3, Pooling::Pooler, rng)?.save(
        &place,
        None,
        &["a", "b", "c"].map(String::from),
    )?;
    let weights = PretrainedWeights::read(&place)?;
    assert!(weights.tensors.values().all(|tensor| !tensor.is_variable()));
    let (first, second) = (TextClassifier::load(&place, &Device::Cpu)?, TextClassifier::load(&place, &Device::Cpu)?);
    let encoder = Encoder::from_pretrained(&place, &Device::Cpu)?;
    let taken = TextClassifier::new(encoder.clone(), 3, Pooling::Pooler, rng)?;
    let copy = TextClassifier::new(encoder.deep_clone()?, 3, Pooling::Pooler, rng)?;
    let before = second.encoder().parameters().values()?;
    for (_, _, var) in first.encoder().parameters().iter().chain(taken.encoder().parameters().iter()) {
        var.set(&var.zeros_like()?)?;
    }
    assert_eq!(second.encoder().parameters().values()?, before);
    let pooler = |model: &TextClassifier| model.encoder().parameters().values_where(|name| name.contains("pooler"));
    assert!(pooler(&taken)?.values().all(|stored| stored.values.iter().all(|value| *value == 0.0)));
    assert!(pooler(&copy)?.values().any(|stored| stored.values.iter().any(|value| *value != 0.0)));
    Ok(())
}

#[test]
fn classifiers_of_every_family_and_task_come_back_whole_and_cut() -> Outcome {
    for (name, family) in FAMILIES {
        let rng = &mut rng(8);
        let model = TextClassifier::new(encoder(family), 3, Pooling::Pooler, rng)?;
        classifier_survives(&format!("{name}-class"), &model)?;

        let whole = PrunePlan::first_layers(model.encoder(), 3)?;
        let uniform =
            PrunePlan { neurons: vec![(3..40).rev().collect(); 2], ..PrunePlan::first_layers(model.encoder(), 2)? };
        classifier_survives(&format!("{name}-fewer-layers-and-neurons"), &model.prune(&uniform)?)?;
        let set = |heads: &[usize]| head_set(heads, 4);
        let ragged = PrunePlan {
            heads: vec![set(&[0, 2]), set(&[3]), set(&[0, 1, 2, 3])],
            neurons: vec![(0..64).step_by(2).collect(), vec![5], (10..30).collect()],
            ..whole
        };
        classifier_survives(&format!("{name}-ragged"), &model.prune(&ragged)?)?;

        for (task, outputs) in [(Task::Labels, 3), (Task::Number, 1)] {
            let model = TextClassifier::for_task(task, encoder(family), outputs, Pooling::Pooler, rng)?;
            classifier_survives(&format!("{name}-{task:?}").to_lowercase(), &model)?;
        }
    }
    Ok(())
}

/// Tokenizer and a hundred texts. Texts are real if they are available, otherwise generated.
fn texts() -> Outcome<(TextTokenizer, Vec<String>)> {
    let (Some(model), Some(data)) = (outside("DHT_MODELS", "minilm-l6"), outside("DHT_DATA", "ag_news")) else {
        let words: Vec<String> = (b'a'..=b'z').map(|letter| char::from(letter).to_string()).collect();
        let rng = &mut rng(9);
        let mut text = |_| {
            let length = rng.random_range(1..30);
            (0..length).filter_map(|_| words.choose(rng)).cloned().collect::<Vec<_>>().join(" ")
        };
        let texts = (0..100).map(&mut text).collect();
        return Ok((TextTokenizer::from_vocabulary(&words)?, texts));
    };
    let test = NamedDataset::reader_of_files(&data).read(data.join("test.csv"))?;
    let texts = test.take(100).examples.into_iter().map(|example| example.text);
    Ok((TextTokenizer::from_dir(model)?, texts.collect()))
}

/// Saves a classifier with its tokenizer, and the logits that `transformers` must compute or the refusal that it must
/// give.
fn answers_survive(name: &str, model: &TextClassifier, tokenizer: &TextTokenizer, texts: &[String]) -> Outcome {
    let labels: Vec<String> = (0..model.classifier().classes()).map(|label| format!("label {label}")).collect();
    model.save(folder(name)?, Some(tokenizer), &labels)?;
    let again = TextClassifier::load(folder(name)?, &Device::Cpu)?;
    let mut answers = Vec::new();
    for text in texts {
        let encoding = tokenizer.encode(text, None, 128)?;
        let batch = PackedBatch::from_samples([&Sample { id: 0, label: 0, targets: Vec::new(), encoding }])?;
        let answer = model.probabilities(&batch)?;
        assert_eq!(again.probabilities(&batch)?, answer, "{name}");
        answers.extend(answer);
    }
    let about = json!({
        "family": again.encoder().config().family.model_type(), "pooling": model.classifier().pooling(),
        "task": model.task(), "max_length": 128, "strings": texts, "answers": answers,
    });
    Ok(std::fs::write(folder(name)?.with_extension("json"), about.to_string())?)
}

#[test]
fn classifiers_of_every_family_pooling_and_task_come_back() -> Outcome {
    let (tokenizer, texts) = texts()?;
    for (name, family) in FAMILIES {
        for pooling in [Pooling::Pooler, Pooling::Cls, Pooling::Mean] {
            for (task, outputs) in [(Task::Class, 4), (Task::Labels, 3), (Task::Number, 1)] {
                // The id of the tokenizer's `[PAD]`. RoBERTa's positions begin after this id.
                let max_position_embeddings = 130;
                let type_vocab_size = if family == Family::Bert { 2 } else { 1 };
                let config = config([2, 4, 16, tokenizer.vocabulary_size()], 0.3);
                let config = BertConfig { family, max_position_embeddings, type_vocab_size, ..config };
                let rng = &mut rng(7);
                let model = TextClassifier::for_task(task, dht_toys::encoder(&config, rng), outputs, pooling, rng)?;
                let name = format!("{name}-{pooling:?}-{task:?}").to_lowercase();
                answers_survive(&name, &model, &tokenizer, &texts)?;
            }
        }
    }
    Ok(())
}

#[test]
fn classifiers_on_a_real_encoder_come_back() -> Outcome {
    let Some(encoder) = outside("DHT_MODELS", "minilm-l6") else { return Ok(()) };
    let (tokenizer, texts) = texts()?;
    for pooling in [Pooling::Pooler, Pooling::Cls, Pooling::Mean] {
        let rng = &mut rng(7);
        let model = TextClassifier::from_pretrained(&encoder, 4, pooling, &Device::Cpu, rng)?;
        answers_survive(&format!("minilm-{pooling:?}").to_lowercase(), &model, &tokenizer, &texts)?;
    }
    Ok(())
}

#[test]
fn masked_models_of_every_family_come_back() -> Outcome {
    let words: Vec<String> = (b'a'..b'p').map(|letter| char::from(letter).to_string()).collect();
    let tokenizer = TextTokenizer::from_vocabulary(&words)?;
    for (name, family) in FAMILIES {
        let rng = &mut rng(8);
        let model = MaskedLanguageModel::new(encoder(family), &tokenizer, MaskSettings::default(), rng)?;
        let name = format!("{name}-masked");
        model.save(folder(&name)?, &tokenizer)?;
        let logits = |model: &MaskedLanguageModel| -> Result<Tensor> {
            let (ctx, encoder) = (ForwardContext::inference(), model.encoder());
            model.logits(run(encoder, &batch(), &ctx)?.tensor(), &ctx)
        };
        let again = MaskedLanguageModel::load(folder(&name)?, &tokenizer, MaskSettings::default(), &Device::Cpu)?;
        assert_eq!(logits(&again)?.to_vec2::<f32>()?, logits(&model)?.to_vec2::<f32>()?, "{name}");
        expect(&name, &logits(&model)?)?;
    }
    Ok(())
}
