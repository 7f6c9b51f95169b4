//! Comparison of every model family with PyTorch's results, which `scripts/golden_families.py` wrote. A model of
//! `transformers` is read, run forward and backward, and written back under the same names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use dht_toys::{Outcome, batch, numbers, outside, run};
use dht_transformer::{
    BertConfig, Encoder, Error, ForwardContext, MaskedLanguageModel, PackedBatch, TextClassifier, TextTokenizer,
    config::Family,
    data::{MaskSettings, MaskedBatch},
    pretrained::PretrainedWeights,
    tensors::{Gradient, Parameters, cross_entropy},
};
use serde::Deserialize;
use serde_json::Value;

const FAMILIES: [(&str, Family); 6] = [
    ("bert", Family::Bert),
    ("distilbert", Family::DistilBert),
    ("roberta", Family::Roberta),
    ("xlm-roberta", Family::XlmRoberta),
    ("camembert", Family::Camembert),
    ("mpnet", Family::MpNet),
];

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Vec<u32>>,
    labels: Vec<u32>,
    rows: Vec<u32>,
    targets: Vec<u32>,
    hidden: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    loss: f32,
    gradient_norms: BTreeMap<String, f64>,
}

impl Expected {
    fn batch(&self) -> PackedBatch {
        batch(&self.texts, &self.labels)
    }
}

fn golden(family: &str, kind: &str) -> Outcome<(PathBuf, Expected)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/families/{family}-{kind}"));
    let expected = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
    Ok((folder, expected))
}

/// Tokenizer with the same number of tokens as the models.
fn tokenizer() -> Outcome<TextTokenizer> {
    let words: Vec<String> = (b'a'..b'p').map(|letter| char::from(letter).to_string()).collect();
    let tokenizer = TextTokenizer::from_vocabulary(&words)?;
    assert_eq!(tokenizer.vocabulary_size(), 20);
    Ok(tokenizer)
}

fn assert_close(what: &str, ours: &Tensor, theirs: &[Vec<f32>]) -> Outcome {
    let ours: Vec<Vec<f32>> = ours.to_vec2()?;
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{what}: {a} and {b}");
    }
    Ok(())
}

fn assert_gradients(
    what: &str,
    loss: &Tensor,
    ctx: &ForwardContext,
    parameters: &Parameters,
    expected: &Expected,
) -> Outcome {
    let value = loss.to_scalar::<f32>()?;
    assert!((value - expected.loss).abs() < 2e-5, "{what}: loss {value}, expected {}", expected.loss);
    let gradients = ctx.backward(loss, parameters)?;
    for (name, norm) in &expected.gradient_norms {
        let values = match gradients.get(parameters.id(name)?) {
            Some(Gradient::Dense(values) | Gradient::Rows { values, .. }) => values,
            other => return Err(format!("{what}: the gradient of {name} is {other:?}").into()),
        };
        let ours = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((ours - norm).abs() <= 1e-4 * norm, "{what}: the gradient of {name} has norm {ours}, expected {norm}");
    }
    Ok(())
}

/// Shapes and bit patterns of tensors, by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u32>)>;

/// Content of a directory: the tensors of its file under their names, bit for bit, and the configuration.
fn content(folder: &Path) -> Outcome<(Tensors, Value)> {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
    let bits = |tensor| numbers(tensor).into_iter().map(f32::to_bits).collect();
    let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), (tensor.dims().to_vec(), bits(tensor))));
    Ok((tensors.collect(), serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?))
}

#[test]
fn classifiers_of_each_family_match_transformers_and_round_trip() -> Outcome {
    let place = tempfile::tempdir()?;
    for (name, family) in FAMILIES {
        let (folder, expected) = golden(name, "classifier")?;
        let model = TextClassifier::load(&folder, &Device::Cpu)?;
        assert_eq!(model.encoder().config().family, family);
        assert_eq!(PretrainedWeights::read(&folder)?.unused, Vec::<String>::new());
        let batch = expected.batch();
        let ctx = ForwardContext::training_without_dropout(model.encoder().parameters());
        let hidden = run(model.encoder(), &batch, &ctx)?;
        assert_close(name, hidden.tensor(), &expected.hidden)?;
        let logits = model.classifier().forward(&hidden, &ctx)?;
        assert_close(name, &logits, &expected.logits)?;
        let loss = cross_entropy(&logits, &expected.labels)?.mean_all()?;
        assert_gradients(name, &loss, &ctx, model.encoder().parameters(), &expected)?;

        let labels = model.encoder().config().labels().ok_or("no labels")?;
        model.save(place.path().join(name), None, &labels)?;
        assert!(content(&place.path().join(name))? == content(&folder)?, "{name}");
    }
    Ok(())
}

#[test]
fn masked_lms_of_each_family_match_transformers_and_round_trip() -> Outcome {
    let place = tempfile::tempdir()?;
    for (name, _) in FAMILIES {
        let (folder, expected) = golden(name, "masked")?;
        let model = MaskedLanguageModel::load(&folder, &tokenizer()?, MaskSettings::default(), &Device::Cpu)?;
        let (rows, targets) = (expected.rows.clone(), expected.targets.clone());
        let masked = MaskedBatch { batch: expected.batch(), rows, targets };
        let ctx = ForwardContext::training_without_dropout(model.encoder().parameters());
        let loss = model.loss(&masked, &ctx)?.ok_or("nothing is masked")?;
        assert_gradients(name, &loss, &ctx, model.encoder().parameters(), &expected)?;

        let ctx = ForwardContext::inference();
        let hidden = run(model.encoder(), &masked.batch, &ctx)?;
        let rows = Tensor::from_vec(masked.rows, expected.rows.len(), &Device::Cpu)?;
        let logits = model.logits(&hidden.tensor().index_select(&rows, 0)?, &ctx)?;
        assert_close(name, &logits, &expected.logits)?;

        model.save(place.path().join(name), &tokenizer()?)?;
        assert!(content(&place.path().join(name))? == content(&folder)?, "{name}");
    }
    Ok(())
}

#[test]
fn a_text_may_be_as_long_as_its_family_has_positions_for() -> Outcome {
    for (name, _) in FAMILIES {
        let (folder, _) = golden(name, "classifier")?;
        let model = TextClassifier::load(&folder, &Device::Cpu)?;
        let longest = match name {
            "bert" | "distilbert" => 12,
            "mpnet" => 58,
            _ => 10,
        };
        assert_eq!(model.encoder().config().longest_text(), longest, "{name}");
        let text = |length| batch(&[vec![5; length]], &[0]);
        assert!(model.logits(&text(longest), &ForwardContext::inference()).is_ok(), "{name}");
        let refused = model.logits(&text(longest + 1), &ForwardContext::inference());
        assert!(matches!(refused, Err(Error::Range { what: "position", .. })), "{name}");
    }
    Ok(())
}

#[test]
fn positions_begin_after_the_padding_token_or_mpnets() -> Outcome {
    // A padding token other than 1, as in Japanese RoBERTa, takes positions from the longest text; MPNet ignores it.
    for (family, longest) in [("roberta", 510), ("xlm-roberta", 510), ("camembert", 510), ("mpnet", 512)] {
        let config = format!(
            r#"{{"model_type": "{family}", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 514, "pad_token_id": 3}}"#
        );
        assert_eq!(BertConfig::from_json("config.json", config.as_bytes())?.longest_text(), longest, "{family}");
    }
    Ok(())
}

#[test]
fn types_of_tokens_matter_where_the_family_has_them() -> Outcome {
    for (name, family) in FAMILIES {
        let (folder, expected) = golden(name, "classifier")?;
        let model = TextClassifier::load(&folder, &Device::Cpu)?;
        let batch = expected.batch();
        let second = PackedBatch { type_ids: vec![1; batch.ids.len()], ..batch.clone() };
        let logits =
            |batch| model.logits(batch, &ForwardContext::inference()).and_then(|logits| Ok(logits.to_vec2::<f32>()?));
        match family {
            Family::Bert => assert_ne!(logits(&second)?, logits(&batch)?),
            Family::DistilBert | Family::MpNet => assert_eq!(logits(&second)?, logits(&batch)?),
            // The family has only one token type.
            _ => assert!(matches!(logits(&second), Err(Error::Range { what: "token type", .. }))),
        }
    }
    Ok(())
}

#[test]
fn a_bad_configuration_is_rejected_by_its_familys_field_names() {
    let read = |text: &str| BertConfig::from_json("config.json", text.as_bytes());
    let missing =
        read(r#"{"model_type": "distilbert", "vocab_size": 9, "n_layers": 1, "n_heads": 2, "hidden_dim": 4}"#);
    assert!(missing.is_err_and(|error| error.to_string().contains("dim is missing")));
    let sizes = r#""vocab_size": 9, "dim": 9, "n_layers": 1, "n_heads": 2, "hidden_dim": 4"#;
    let odd = read(&format!(r#"{{"model_type": "distilbert", {sizes}}}"#));
    assert!(matches!(odd, Err(Error::Config { field: "dim", .. })), "{odd:?}");
    let none = read(r#"{"model_type": "gpt2"}"#);
    assert!(
        none.is_err_and(|error| error.to_string().contains(r#"one of "bert", "distilbert", "roberta", "xlm-roberta""#))
    );
    let sizes = r#""vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                   "intermediate_size": 16, "max_position_embeddings": 2"#;
    for family in ["roberta", "xlm-roberta", "camembert", "mpnet"] {
        let short = read(&format!(r#"{{"model_type": "{family}", {sizes}}}"#));
        assert!(matches!(short, Err(Error::Config { field: "max_position_embeddings", .. })), "{short:?}");
    }
    let buckets = read(&format!(r#"{{"model_type": "mpnet", "relative_attention_num_buckets": 64, {sizes}}}"#));
    assert!(matches!(buckets, Err(Error::Config { field: "relative_attention_num_buckets", .. })), "{buckets:?}");
}

#[derive(Deserialize)]
struct RealTexts {
    texts: Vec<RealText>,
}

/// Reference values of a text: its tokens, the first values of the mean of its last hidden states, and their norm.
#[derive(Deserialize)]
struct RealText {
    text: String,
    ids: Vec<u32>,
    mean: Vec<f32>,
    norm: f32,
}

#[test]
fn a_real_mpnet_of_12_by_768_matches_transformers() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = root.join("../../target/models/all-mpnet-base-v2");
    let folder = if fetched.exists() { Some(fetched) } else { outside("DHT_MODELS", "all-mpnet-base-v2") };
    let Some(folder) = folder else { return Ok(()) };
    let expected: RealTexts = serde_json::from_slice(&std::fs::read(root.join("tests/golden/mpnet.json"))?)?;
    let (tokenizer, encoder) = (TextTokenizer::from_dir(&folder)?, Encoder::from_pretrained(&folder, &Device::Cpu)?);
    assert_eq!(tokenizer.model_max_length(), Some(384), "of sentence_bert_config.json");
    for RealText { text, ids, mean, norm } in expected.texts {
        assert_eq!(tokenizer.encode(&text, None, 384)?.ids, ids, "{text}");
        let hidden = run(&encoder, &batch(&[ids], &[0]), &ForwardContext::inference())?;
        let actual: Vec<f32> = hidden.tensor().mean(0)?.narrow(0, 0, mean.len())?.to_vec1()?;
        for (actual, expected) in actual.iter().zip(&mean) {
            assert!((actual - expected).abs() < 2e-4, "{text}: {actual}, expected {expected}");
        }
        let actual = hidden.tensor().sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt();
        assert!((actual - norm).abs() < 1e-4 * norm, "{text}: {actual}, expected {norm}");
    }
    Ok(())
}
