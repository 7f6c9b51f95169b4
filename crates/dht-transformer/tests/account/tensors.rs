//! Treatment of tensors that a model uses, and of tensors that it does not use.

use candle_core::{DType, Device, Tensor};
use dht_transformer::{
    Encoder, Error, Pooling, TextClassifier, account::Treatment, config::Family, error::WeightsProblem,
    pretrained::PretrainedWeights,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::directory::{Directory, FAMILIES, full};

#[test]
fn a_tensor_that_is_not_used_never_conflicts() {
    let square = |name: &'static str| {
        [(format!("{name}.weight"), full(7.0, &[8, 8])), (format!("{name}.bias"), full(7.0, &[8]))]
    };
    for (_, family) in FAMILIES {
        let unused: &[&str] = match family {
            Family::Roberta | Family::XlmRoberta | Family::Camembert => {
                &["roberta.pooler.dense", "pooler.dense", "lm_head.dense", "qa_outputs"]
            }
            Family::MpNet => &["mpnet.pooler.dense", "pooler.dense", "lm_head.dense", "qa_outputs"],
            Family::DistilBert => {
                &["distilbert.pooler.dense", "pooler.dense", "vocab_transform", "cls.seq_relationship"]
            }
            _ => &["pre_classifier", "cls.seq_relationship", "cls.predictions.transform.dense", "lm_head.dense"],
        };
        let plain = Directory::new(family, 2).logits();
        for name in unused {
            let directory = Directory::new(family, 2);
            directory.tensors(|tensors| tensors.extend(square(name)));
            assert_eq!(directory.logits(), plain, "{family:?} {name}");
            assert_eq!(directory.treatment(&format!("{name}.weight")), Treatment::Harmless, "{family:?} {name}");
        }
    }
}

#[test]
fn a_pooler_of_the_encoder_is_used_where_no_head_is() {
    let directory = Directory::new(Family::Roberta, 2);
    directory.tensors(|tensors| {
        tensors.retain(|name, _| !name.starts_with("classifier."));
        tensors.insert("roberta.pooler.dense.weight".into(), full(0.5, &[8, 8]));
        tensors.insert("roberta.pooler.dense.bias".into(), full(0.25, &[8]));
    });
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let started = TextClassifier::from_pretrained(directory.path(), 2, Pooling::Pooler, &Device::Cpu, rng).unwrap();
    let pooler = &started.classifier().to_tensors().unwrap()["pooler.dense.bias"];
    assert_eq!(pooler.to_vec1::<f32>().unwrap(), [0.25; 8]);
    // A pre-training model is not a classifier, and neither is a token classifier, whose head is called `classifier`.
    directory.tensors(|tensors| {
        tensors.insert("classifier.weight".into(), full(1.0, &[2, 8]));
        tensors.insert("classifier.bias".into(), full(1.0, &[2]));
    });
    directory.without("architectures");
    assert!(directory.refused(true).contains("lacks the tensors classifier.out_proj.weight, classifier.out_proj.bias"));
}

#[test]
fn names_old_and_new_conflict_only_with_other_values() {
    let norm = "bert.embeddings.LayerNorm";
    for (value, differs) in [(0.0, false), (1.0, true)] {
        let directory = Directory::new(Family::Bert, 2);
        let plain = directory.logits();
        directory.tensors(|tensors| {
            let old = (&tensors[&format!("{norm}.weight")] + value).unwrap();
            tensors.insert(format!("{norm}.gamma"), old);
            let bare = tensors["bert.pooler.dense.bias"].clone();
            tensors.insert("pooler.dense.bias".into(), bare);
        });
        match directory.load() {
            Ok(_) if !differs => assert_eq!(directory.logits(), plain),
            Err(Error::Weights { tensor, problem: WeightsProblem::Conflict { other }, .. }) if differs => {
                assert_eq!((tensor.as_deref(), &*other), (Some(&*format!("{norm}.weight")), &*format!("{norm}.gamma")));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tensors_that_change_answers_are_refused() {
    for (_, family) in FAMILIES {
        let (start, attention) = match family {
            Family::Bert => ("bert.encoder.layer.0.", "attention.self.query"),
            Family::Roberta | Family::XlmRoberta | Family::Camembert => {
                ("roberta.encoder.layer.0.", "attention.self.query")
            }
            Family::MpNet => ("mpnet.encoder.layer.0.", "attention.attn.q"),
            _ => ("distilbert.transformer.layer.0.", "attention.q_lin"),
        };
        for part in [
            format!("{attention}.lora_A.default.weight"),
            format!("{attention}.SCB"),
            "attention.self.distance_embedding.weight".to_owned(),
            "crossattention.self.query.weight".to_owned(),
            "output.adapters.own.adapter_down.0.weight".to_owned(),
            "another.weight".to_owned(),
        ] {
            let directory = Directory::new(family, 2);
            let name = format!("{start}{part}");
            directory.tensors(|tensors| drop(tensors.insert(name.clone(), full(0.0, &[3]))));
            assert!(directory.refused(false).contains(&name), "{name}");
            assert_eq!(directory.treatment(&name), Treatment::Refused, "{name}");
        }
        let directory = Directory::new(family, 2);
        directory.tensors(|tensors| drop(tensors.insert("score.weight".into(), full(0.0, &[3]))));
        directory.logits();
        assert_eq!(directory.treatment("score.weight"), Treatment::Unknown);
    }
}

#[test]
fn a_table_of_relative_biases_must_be_there_and_fit() {
    const TABLE: &str = "mpnet.encoder.relative_attention_bias.weight";
    let directory = Directory::new(Family::MpNet, 2);
    directory.tensors(|tensors| drop(tensors.insert(TABLE.into(), full(0.0, &[16, 2]))));
    assert!(matches!(
        directory.load(),
        Err(Error::Weights { tensor: Some(name), problem: WeightsProblem::Shape { .. }, .. }) if name == TABLE
    ));
    directory.tensors(|tensors| drop(tensors.remove(TABLE)));
    assert!(directory.refused(false).contains("encoder.relative_attention_bias.weight"));
}

#[test]
fn buffers_of_earlier_releases_are_harmless() {
    let directory = Directory::new(Family::Bert, 2);
    directory.tensors(|tensors| {
        let positions = Tensor::arange(0_i64, 16, &Device::Cpu).unwrap();
        tensors.insert("bert.embeddings.token_type_ids".into(), positions.zeros_like().unwrap());
        tensors.insert("bert.embeddings.position_ids".into(), positions);
    });
    directory.logits();
    assert_eq!(directory.treatment("bert.embeddings.position_ids"), Treatment::Harmless);
    let unused = PretrainedWeights::read(directory.path()).unwrap().unused;
    assert_eq!(unused, ["bert.embeddings.position_ids", "bert.embeddings.token_type_ids"]);
}

#[test]
fn quantized_weights_are_refused_by_their_type() {
    let directory = Directory::new(Family::Bert, 2);
    directory.tensors(|tensors| {
        let weight = Tensor::zeros((8, 8), DType::U8, &Device::Cpu).unwrap();
        tensors.insert("bert.encoder.layer.0.attention.self.key.weight".into(), weight);
    });
    assert!(directory.load().unwrap_err().to_string().contains("has the type U8"));
    assert!(Encoder::from_pretrained(directory.path(), &Device::Cpu).is_err());
}

#[test]
fn a_classifier_of_this_project_keeps_its_names() {
    for (_, family) in FAMILIES {
        let directory = Directory::new(family, 2);
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let encoder = Encoder::from_pretrained(directory.path(), &Device::Cpu).unwrap();
        let own = TextClassifier::new(encoder, 2, Pooling::Mean, rng).unwrap();
        own.save(directory.path().join("own"), None, &["a".to_owned(), "b".to_owned()]).unwrap();
        let config = std::fs::read_to_string(directory.path().join("own/config.json")).unwrap();
        assert!(config.contains("modeling_dht.Dht"), "{config}");
        assert!(TextClassifier::load(directory.path().join("own"), &Device::Cpu).is_ok());
        let mut fields: serde_json::Value = serde_json::from_str(&config).unwrap();
        fields["auto_map"]["AutoModel"] = json!("elsewhere.Model");
        std::fs::write(directory.path().join("own/config.json"), fields.to_string()).unwrap();
        let refused = TextClassifier::load(directory.path().join("own"), &Device::Cpu).unwrap_err().to_string();
        assert!(refused.contains("auto_map is "), "{refused}");
    }
}
