//! Treatment of `config.json`: its fields, and the model classes that it names.

use dht_transformer::{BertConfig, Error, account::Treatment, config::Family};
use serde_json::{Value, json};

use crate::directory::{Directory, FAMILIES};

#[test]
fn optional_fields_may_be_null_in_every_family() {
    let fields = [
        "classifier_dropout",
        "bos_token_id",
        "eos_token_id",
        "problem_type",
        "position_embedding_type",
        "dtype",
        "torch_dtype",
        "architectures",
        "label2id",
        "output_hidden_states",
        "return_dict",
        "transformers_version",
        "is_encoder_decoder",
        "chunk_size_feed_forward",
        "pruned_heads",
        "quantization_config",
        "auto_map",
        "tokenizer_class",
        "per_layer_config",
    ];
    for (_, family) in FAMILIES {
        let plain = Directory::new(family, 2).logits();
        for field in fields {
            let directory = Directory::new(family, 2);
            directory.config(json!({field: null}));
            assert_eq!(directory.logits(), plain, "{field}");
        }
        let directory = Directory::new(family, 2);
        directory.config(json!({"pad_token_id": null}));
        if [Family::Roberta, Family::XlmRoberta, Family::Camembert].contains(&family) {
            let refused = directory.refused(false);
            assert!(refused.contains("pad_token_id is null, expected the number of the padding token"), "{refused}");
        } else {
            assert_eq!(directory.logits(), plain);
        }
    }
}

#[test]
fn a_field_without_a_value_or_of_another_type_is_named() {
    for (_, family) in FAMILIES {
        let names = |ours: &'static [&'static str], theirs: &'static [&'static str]| match family {
            Family::DistilBert => theirs,
            _ => ours,
        };
        let sizes = names(
            &["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"],
            &["vocab_size", "dim", "n_layers", "n_heads", "hidden_dim"],
        );
        let others = names(
            &[
                "hidden_act",
                "hidden_dropout_prob",
                "attention_probs_dropout_prob",
                "initializer_range",
                "layer_norm_eps",
            ],
            &["activation", "dropout", "attention_dropout", "initializer_range"],
        );
        let named = |directory: &Directory, field: &str| {
            let error = directory.load().expect_err("a refusal");
            assert!(matches!(&error, Error::Config { field: got, .. } if *got == field), "{field}: {error}");
        };
        for field in sizes.iter().chain(others).chain(&["max_position_embeddings"]) {
            for value in [Value::Null, json!("8"), json!([8]), json!(true)] {
                let directory = Directory::new(family, 2);
                directory.config(json!({*field: value}));
                named(&directory, field);
            }
        }
        for field in sizes {
            let directory = Directory::new(family, 2);
            directory.without(field);
            named(&directory, field);
        }
    }
}

#[test]
fn fields_that_change_answers_are_refused() {
    let refused = [
        ("quantization_config", json!({"load_in_8bit": true})),
        ("pruned_heads", json!({"0": [1]})),
        ("is_decoder", json!(true)),
        ("is_encoder_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("position_embedding_type", json!("relative_key_query")),
        ("per_layer_config", json!({"0": {"hidden_act": "relu"}})),
        ("auto_map", json!({"AutoModel": "modeling.OwnModel"})),
        ("attribute_map", json!({"hidden_size": "width"})),
        ("rope_scaling", json!({"type": "linear"})),
        ("problem_type", json!("ranking")),
    ];
    for (_, family) in FAMILIES {
        for (field, value) in &refused {
            let directory = Directory::new(family, 2);
            directory.config(json!({*field: value}));
            assert!(directory.refused(false).contains(&format!("{field} is ")), "{field}");
            assert_eq!(directory.treatment(field), Treatment::Refused);
        }
    }
    // Fields that enable nothing are treated as if they were absent.
    let directory = Directory::new(Family::Bert, 2);
    directory.config(json!({"pruned_heads": {}, "is_decoder": false, "use_cache": true, "strange": 3}));
    directory.logits();
    assert_eq!(directory.treatment("strange"), Treatment::Unknown);
    assert_eq!(directory.treatment("use_cache"), Treatment::Harmless);
}

#[test]
fn a_size_by_berts_name_is_taken_for_distilberts() {
    let config = |width: Value| {
        let fields = json!({
            "model_type": "distilbert", "vocab_size": 9, "hidden_size": width, "num_hidden_layers": 1, "n_heads": 2,
            "hidden_dim": 4,
        });
        BertConfig::from_json("config.json", fields.to_string().as_bytes())
    };
    assert_eq!(config(json!(8)).unwrap().hidden_size, 8);
    let both = json!({
        "model_type": "distilbert", "vocab_size": 9, "hidden_size": 8, "dim": 6, "n_layers": 1, "n_heads": 2, "hidden_dim": 4,
    });
    let refused = BertConfig::from_json("config.json", both.to_string().as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("dim is 6, expected 8, as `hidden_size` says"), "{refused}");
}

#[test]
fn classes_of_other_tasks_are_refused_by_name() {
    let other = [
        ("ForTokenClassification", "a classifier of single tokens, not a classifier of texts"),
        ("ForMultipleChoice", "a model that selects one of several texts"),
        ("ForQuestionAnswering", "a model that marks answers in texts"),
        ("ForNextSentencePrediction", "whether one text follows another"),
        ("LMHeadModel", "a model that generates text"),
        ("ForCausalLM", "a model that generates text"),
        ("Model", "an encoder without a classifier: fine-tune it first"),
        ("ForMaskedLM", "a model of masked tokens: fine-tune it first"),
        ("ForPreTraining", "fine-tune it first"),
        ("ForMultiLabelSequenceClassification", "is not a class of transformers for the model type"),
    ];
    for (name, family) in FAMILIES {
        for (class, reason) in other {
            let directory = Directory::new(family, 2);
            directory.config(json!({"architectures": [format!("{name}{class}")]}));
            // The directory's encoder can still be trained.
            let refused = directory.refused(true);
            assert!(refused.contains(reason) && refused.contains(class), "{refused}");
        }
        let directory = Directory::new(family, 2);
        for classes in [json!([format!("{name}ForMaskedLM"), format!("{name}ForSequenceClassification")]), json!([])] {
            directory.config(json!({"architectures": classes}));
            directory.logits();
        }
        let stranger =
            if family == Family::Bert { "RobertaForSequenceClassification" } else { "BertForSequenceClassification" };
        directory.config(json!({"architectures": [stranger]}));
        assert!(directory.refused(true).contains("is not a class of transformers for the model type"));
    }
}

#[test]
fn tensors_decide_where_no_class_is_named() {
    for (_, family) in FAMILIES {
        let directory = Directory::new(family, 2);
        let plain = directory.logits();
        assert_eq!(directory.without("architectures").logits(), plain);
        let number = Directory::new(family, 1);
        number.without("architectures").logits();
        // A single output without label names and problem type may belong to a multiple-choice model.
        number.without("id2label").without("label2id").without("problem_type");
        assert!(number.refused(true).contains("may be that of a multiple choice"));
    }
    let tags = Directory::new(Family::Bert, 3);
    tags.without("architectures").without("label2id");
    tags.config(json!({"id2label": {"0": "O", "1": "B-PER", "2": "I-PER"}}));
    assert!(tags.refused(true).contains("the names of the classes are those of single tokens"));
}

#[test]
fn a_task_needs_its_number_of_outputs() {
    let directory = Directory::new(Family::Bert, 3);
    directory.config(json!({"problem_type": "regression"}));
    assert!(directory.refused(true).contains("problem_type is \"regression\" of 3 outputs"));
    let one = Directory::new(Family::DistilBert, 1);
    one.config(json!({"problem_type": "single_label_classification"}));
    assert!(one.refused(true).contains("problem_type is \"single_label_classification\" of 1 output,"));
}

#[test]
fn a_pooling_that_transformers_ignores_is_refused() {
    let directory = Directory::new(Family::Bert, 2);
    directory.config(json!({"classifier_pooling": "mean", "architectures": ["BertForSequenceClassification"]}));
    let refused = directory.refused(true);
    assert!(refused.contains("classifier_pooling") && refused.contains("remove the field"), "{refused}");
    directory.config(json!({"classifier_pooling": "pooler"}));
    assert!(directory.load().is_ok());
}
