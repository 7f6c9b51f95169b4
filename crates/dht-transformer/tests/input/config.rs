use dht_toys::outside;
use dht_transformer::{
    BertConfig, Error,
    config::{Activation, ModelSize},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn smallest() -> Value {
    json!({"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16})
}

fn parse(value: &Value) -> Result<BertConfig, Error> {
    BertConfig::from_json("config.json", value.to_string().as_bytes())
}

#[test]
fn absent_fields_are_what_hugging_face_takes_them_for() {
    let config = parse(&smallest()).unwrap();
    let mut expected = BertConfig { initializer_range: 0.02, ..BertConfig::small(1, 2, 8, 9).unwrap() };
    expected.intermediate_size = 16;
    assert_eq!(config, expected);
    assert_eq!((config.max_position_embeddings, config.type_vocab_size, config.head_size()), (512, 2, 4));
    assert_eq!((config.layer_norm_eps, config.hidden_dropout_prob), (1e-12, 0.1));
}

#[test]
fn unknown_fields_are_kept() {
    let mut value = smallest();
    value["id2label"] = json!({"0": "no", "1": "yes"});
    value["strange"] = json!([1, {"a": null}]);
    let config = parse(&value).unwrap();
    assert_eq!(config.labels().unwrap(), ["no", "yes"]);
    let written: Value = serde_json::from_str(&config.to_json().unwrap()).unwrap();
    for (field, kept) in value.as_object().unwrap() {
        assert_eq!(&written[field], kept);
    }
    assert_eq!(written["model_type"], "bert");
}

#[test]
fn a_saved_configuration_is_the_same_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = "2x4x16".parse::<ModelSize>().unwrap().config(50).unwrap();
    config.layer_norm_eps = 0.1 + 0.2;
    config.hidden_act = Activation::GeluNew;
    config.set_labels(&["a".to_owned(), "b".to_owned()]);
    config.save(folder.path().join("config.json")).unwrap();
    assert_eq!(BertConfig::from_file(folder.path().join("config.json")).unwrap(), config);
}

#[test]
fn a_git_lfs_pointer_is_called_one() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 570\n";
    let refused = BertConfig::from_json("bert/config.json", pointer).unwrap_err().to_string();
    assert!(refused.contains("bert/config.json") && refused.contains("Git LFS pointer"), "{refused}");
}

#[test]
fn every_bad_field_is_refused_by_its_name() {
    let bad = [
        ("vocab_size", json!(0)),
        ("vocab_size", json!(1_u64 << 40)),
        ("hidden_size", json!(9)),
        ("hidden_size", json!(1 << 20)),
        ("num_hidden_layers", json!(0)),
        ("num_attention_heads", json!(0)),
        ("intermediate_size", json!(0)),
        ("max_position_embeddings", json!(0)),
        ("type_vocab_size", json!(0)),
        ("hidden_dropout_prob", json!(1.0)),
        ("attention_probs_dropout_prob", json!(-0.1)),
        ("layer_norm_eps", json!(0.0)),
        ("initializer_range", json!(-1.0)),
        ("pad_token_id", json!(9)),
        ("model_type", json!("gpt2")),
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
    ];
    for (name, value) in bad {
        let mut config = smallest();
        config[name] = value;
        let refused = parse(&config).unwrap_err();
        assert!(matches!(&refused, Error::Config { field, .. } if *field == name), "{config}");
        assert!(refused.to_string().starts_with(&format!("config.json: {name} is ")), "{refused}");
    }
    for (name, value) in [("hidden_act", json!("silu")), ("vocab_size", json!(-1)), ("hidden_size", json!("8"))] {
        let mut config = smallest();
        config[name] = value;
        assert!(matches!(parse(&config), Err(Error::Config { field, .. }) if field == name), "{config}");
    }
    for text in ["", "[]", "{}", "{\"vocab_size\": NaN}"] {
        let error = BertConfig::from_json("here/config.json", text.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("here/config.json: "), "{error}");
    }
    assert!(BertConfig::small(1, 3, 8, 9).is_err());
    assert!(BertConfig::small(1, 1, usize::MAX, 9).is_err());
}

#[test]
fn a_size_is_three_numbers() {
    let size: ModelSize = "6x12x96".parse().unwrap();
    assert_eq!(size, ModelSize { layers: 6, heads: 12, hidden: 96 });
    assert_eq!(size.to_string(), "6x12x96");
    for bad in ["", "6x12", "6x12x96x1", "6x0x96", "6 x 12 x 96", "axbxc", "-6x12x96"] {
        assert!(matches!(bad.parse::<ModelSize>(), Err(Error::Argument { name: "size", .. })), "{bad}");
    }
}

#[test]
fn the_real_configuration_is_read_and_written_back_whole() {
    let Some(path) = outside("DHT_MODELS", "minilm-l6/config.json") else { return };
    let config = BertConfig::from_file(&path).unwrap();
    assert_eq!((config.num_hidden_layers, config.num_attention_heads, config.hidden_size), (6, 12, 384));
    let before: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let after: Value = serde_json::from_str(&config.to_json().unwrap()).unwrap();
    assert_eq!(before, after);
}

proptest! {
    #[test]
    fn no_soup_makes_the_configuration_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        field in proptest::sample::select(vec!["vocab_size", "hidden_size", "hidden_act", "layer_norm_eps", "id2label"]),
        value in prop_oneof![any::<f64>().prop_map(Value::from), any::<u64>().prop_map(Value::from), ".{0,9}".prop_map(Value::from)],
    ) {
        // The result does not matter, as long as the call returns.
        let _ = BertConfig::from_json("soup", &bytes);
        let mut config = smallest();
        config[field] = value;
        if let Ok(config) = parse(&config) {
            let _ = config.labels();
            prop_assert_eq!(BertConfig::from_json("again", config.to_json().unwrap().as_bytes()).unwrap().vocab_size, config.vocab_size);
        }
    }
}
