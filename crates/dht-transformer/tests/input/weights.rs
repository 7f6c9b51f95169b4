use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use dht_toys::outside;
use dht_transformer::{BertConfig, Error, TextTokenizer, error::WeightsProblem, pretrained::PretrainedWeights};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config() -> BertConfig {
    let mut config = BertConfig::small(2, 2, 4, 10).expect("a right size");
    (config.intermediate_size, config.max_position_embeddings) = (6, 5);
    config
}

/// Tensor filled with different numbers that f16 and bf16 represent exactly.
fn numbers(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|index| (index % 200) as f32 / 16.0 - 4.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many as the shape holds")
}

/// Tensors with the names and shapes of the specification, written out independently.
fn tensors() -> BTreeMap<String, Tensor> {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![10, 4]),
        ("embeddings.position_embeddings.weight".into(), vec![5, 4]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, 4]),
        ("embeddings.LayerNorm.weight".into(), vec![4]),
        ("embeddings.LayerNorm.bias".into(), vec![4]),
    ];
    for layer in 0..2 {
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            shapes.push((format!("encoder.layer.{layer}.attention.{part}.weight"), vec![4, 4]));
            shapes.push((format!("encoder.layer.{layer}.attention.{part}.bias"), vec![4]));
        }
        for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
            shapes.push((format!("encoder.layer.{layer}.{part}.weight"), vec![4]));
            shapes.push((format!("encoder.layer.{layer}.{part}.bias"), vec![4]));
        }
        shapes.push((format!("encoder.layer.{layer}.intermediate.dense.weight"), vec![6, 4]));
        shapes.push((format!("encoder.layer.{layer}.intermediate.dense.bias"), vec![6]));
        shapes.push((format!("encoder.layer.{layer}.output.dense.weight"), vec![4, 6]));
        shapes.push((format!("encoder.layer.{layer}.output.dense.bias"), vec![4]));
    }
    shapes.into_iter().map(|(name, shape)| (name, numbers(&shape))).collect()
}

fn with_heads() -> BTreeMap<String, Tensor> {
    let heads = [
        ("pooler.dense.weight", vec![4, 4]),
        ("pooler.dense.bias", vec![4]),
        ("classifier.weight", vec![3, 4]),
        ("classifier.bias", vec![3]),
    ];
    tensors().into_iter().chain(heads.map(|(name, shape)| (name.to_owned(), numbers(&shape)))).collect()
}

fn same(left: &BTreeMap<String, Tensor>, right: &BTreeMap<String, Tensor>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, tensor) in left {
        assert_eq!((tensor.dims(), tensor.dtype()), (right[name].dims(), DType::F32), "{name}");
        let flat =
            |tensor: &Tensor| tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("an f32 tensor");
        assert_eq!(flat(tensor), flat(&right[name]), "{name}");
    }
}

/// Writes a directory without any checks, and reads it.
fn read_raw(tensors: &BTreeMap<String, Tensor>) -> Result<PretrainedWeights, Error> {
    read_bytes(&safetensors::serialize(tensors, None).expect("right tensors"))
}

fn read_bytes(bytes: &[u8]) -> Result<PretrainedWeights, Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let text = config().to_json().expect("a right configuration");
    std::fs::write(folder.path().join("config.json"), text).expect("a temporary file");
    std::fs::write(folder.path().join("model.safetensors"), bytes).expect("a temporary file");
    PretrainedWeights::read(folder.path())
}

/// Tensor and problem of an error about weights.
fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> (Option<String>, WeightsProblem) {
    match result {
        Err(Error::Weights { path, tensor, problem }) => {
            assert!(path.ends_with("model.safetensors"));
            (tensor, problem)
        }
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

#[test]
fn a_directory_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, tensors, architecture, first) in [
        ("bare", tensors(), "BertModel", "embeddings.LayerNorm.bias"),
        ("classifier", with_heads(), "BertForSequenceClassification", "bert.embeddings.LayerNorm.bias"),
    ] {
        let path = folder.path().join("new").join(name);
        let words = ["cat", "dog"].map(String::from);
        let tokenizer = TextTokenizer::from_vocabulary(&words).unwrap();
        PretrainedWeights::write(&path, &config(), &tensors, Some(&tokenizer)).unwrap();
        let read = PretrainedWeights::read(&path).unwrap();
        same(&read.tensors, &tensors);
        assert!(read.unused.is_empty());
        assert_eq!(read.config.other["architectures"], json!([architecture]));
        let bytes = std::fs::read(path.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert!(file.tensor(first).is_ok());
        let encoding = TextTokenizer::from_dir(&path).unwrap().encode("cat dog", None, 8).unwrap();
        assert_eq!(encoding, tokenizer.encode("cat dog", None, 8).unwrap());
        // The directory is written again over itself, and no temporary directory remains beside it.
        PretrainedWeights::write(&path, &read.config, &read.tensors, Some(&tokenizer)).unwrap();
        assert_eq!(PretrainedWeights::read(&path).unwrap().config, read.config);
    }
    assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 2);
}

#[test]
fn a_directory_with_other_files_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    PretrainedWeights::write(&path, &config(), &tensors(), None).unwrap();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let error = PretrainedWeights::write(&path, &config(), &tensors(), None).unwrap_err();
    assert!(matches!(error, Error::ForeignDirectory { entry, .. } if entry == "notes.txt"));
    assert_eq!(std::fs::read_to_string(path.join("notes.txt")).unwrap(), "mine");
    PretrainedWeights::read(&path).unwrap();
    std::fs::write(folder.path().join("file"), "mine").unwrap();
    assert!(matches!(
        PretrainedWeights::write(folder.path().join("file"), &config(), &tensors(), None),
        Err(Error::Io { .. })
    ));
}

#[test]
fn nothing_wrong_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let write = |tensors: &BTreeMap<String, Tensor>| PretrainedWeights::write(&path, &config(), tensors, None);
    let mut bad = tensors();
    bad.remove("encoder.layer.1.output.dense.bias");
    assert!(
        matches!(problem(write(&bad)), (None, WeightsProblem::Missing { names }) if names == "encoder.layer.1.output.dense.bias")
    );
    bad.insert("encoder.layer.1.output.dense.bias".into(), numbers(&[5]));
    assert!(
        matches!(problem(write(&bad)).1, WeightsProblem::Shape { expected, got } if (expected.as_slice(), got.as_slice()) == (&[4], &[5]))
    );
    bad.insert(
        "encoder.layer.1.output.dense.bias".into(),
        Tensor::new(&[0.0, 1.0, f32::NAN, 2.0], &Device::Cpu).unwrap(),
    );
    assert!(matches!(problem(write(&bad)).1, WeightsProblem::NotFinite { element: 2, .. }));
    let words: Vec<String> = (0..9).map(|index| format!("word{index}")).collect();
    let tokenizer = TextTokenizer::from_vocabulary(&words).unwrap();
    let result = PretrainedWeights::write(&path, &config(), &tensors(), Some(&tokenizer));
    assert!(matches!(result, Err(Error::Argument { name: "vocab_size", .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_with_more_layers_than_configured_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    PretrainedWeights::write(&path, &config(), &tensors(), None).unwrap();
    let fewer = BertConfig { num_hidden_layers: 1, ..config() };
    fewer.save(path.join("config.json")).unwrap();
    let (tensor, problem) = problem(PretrainedWeights::read(&path));
    assert_eq!(problem, WeightsProblem::MoreLayers { layers: 1 });
    assert!(tensor.is_some_and(|tensor| tensor.starts_with("encoder.layer.1.")));
}

#[test]
fn a_git_lfs_pointer_is_called_one() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n";
    let folder = tempfile::tempdir().unwrap();
    config().save(folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), pointer).unwrap();
    assert_eq!(problem(PretrainedWeights::read(folder.path())), (None, WeightsProblem::GitLfsPointer));
    std::fs::write(folder.path().join("tokenizer.json"), pointer).unwrap();
    let tokenizer = TextTokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(
        tokenizer.ends_with("tokenizer.json: is a Git LFS pointer and not the file: fetch it, as by `git lfs pull`"),
        "{tokenizer}"
    );
}

#[test]
fn a_target_is_looked_at_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("model");
    PretrainedWeights::check_target(&path).unwrap();
    PretrainedWeights::write(&path, &config(), &tensors(), None).unwrap();
    PretrainedWeights::check_target(&path).unwrap();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let refused = PretrainedWeights::check_target(&path);
    assert!(matches!(refused, Err(Error::ForeignDirectory { entry, .. }) if entry == "notes.txt"));
    assert!(matches!(PretrainedWeights::check_target(path.join("notes.txt")), Err(Error::Io { .. })));
}

#[test]
fn other_types_and_old_names_become_f32_under_bare_names() {
    let plain = tensors();
    for dtype in [DType::F16, DType::BF16, DType::F64] {
        let mut old: BTreeMap<String, Tensor> = BTreeMap::new();
        for (name, tensor) in &plain {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
            old.insert(format!("bert.{name}"), tensor.to_dtype(dtype).unwrap());
        }
        old.insert("cls.predictions.bias".into(), numbers(&[10]));
        old.insert("bert.embeddings.position_ids".into(), Tensor::arange(0_i64, 5, &Device::Cpu).unwrap());
        let read = read_raw(&old).unwrap();
        same(&read.tensors, &plain);
        assert_eq!(read.unused, ["bert.embeddings.position_ids", "cls.predictions.bias"]);
    }
}

#[test]
fn every_wrong_tensor_is_named() {
    let name = "encoder.layer.0.attention.self.key.weight";
    let mut bad = tensors();
    bad.insert(format!("bert.{name}"), numbers(&[4, 4]));
    same(&read_raw(&bad).unwrap().tensors, &tensors());
    bad.insert(format!("bert.{name}"), numbers(&[4, 4]).affine(1.0, 1.0).unwrap());
    assert_eq!(problem(read_raw(&bad)).1, WeightsProblem::Conflict { other: format!("bert.{name}") });
    let shape = WeightsProblem::Shape { expected: vec![4, 4], got: vec![4, 3] };
    let infinite = numbers(&[4, 4]).affine(f64::INFINITY, 0.0).unwrap();
    let integers = Tensor::zeros((4, 4), DType::I64, &Device::Cpu).unwrap();
    for (tensor, expected) in [
        (numbers(&[4, 3]), shape),
        (infinite, WeightsProblem::NotFinite { element: 0, value: "-inf".into() }),
        (integers, WeightsProblem::Type { dtype: "I64".into() }),
    ] {
        let mut bad = tensors();
        bad.insert(name.into(), tensor);
        assert_eq!(problem(read_raw(&bad)), (Some(name.into()), expected));
    }
    let mut half = with_heads();
    half.remove("classifier.bias");
    assert_eq!(problem(read_raw(&half)).1, WeightsProblem::Missing { names: "classifier.bias".into() });
    assert!(
        matches!(problem(read_raw(&BTreeMap::new())).1, WeightsProblem::Missing { names } if names.ends_with("and 29 more"))
    );
}

/// Safetensors file with a header, and a number of data bytes.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

fn entry(name: &str, dtype: &str, shape: Value, offsets: [u64; 2]) -> String {
    format!("\"{name}\":{}", json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}))
}

#[test]
fn every_lie_of_a_header_is_noticed() {
    use WeightsProblem as P;
    let one = |dtype, shape, offsets| format!("{{{}}}", entry("t", dtype, shape, offsets));
    let two = |left: String, right: String| format!("{{{left},{right}}}");
    let t = || Some("t".to_owned());
    let huge = u64::MAX;
    let cases = [
        (vec![], None, P::Truncated { expected: 8, got: 0 }),
        (huge.to_le_bytes().to_vec(), None, P::HeaderTooLong { bytes: huge, most: 100_000_000 }),
        ([99_u64.to_le_bytes().as_slice(), b"{}"].concat(), None, P::Truncated { expected: 107, got: 10 }),
        (file("{}", 3), None, P::Trailing { bytes: 3 }),
        (file(&one("F32", json!([2]), [0, 8]), 7), t(), P::Truncated { expected: 70, got: 69 }),
        (file(&one("F32", json!([2]), [8, 0]), 8), t(), P::Offsets { begin: 8, end: 0 }),
        (file(&one("F32", json!([3]), [0, 8]), 8), t(), P::Length { shape: vec![3], bytes: 8 }),
        (file(&one("F32", json!([1_u64 << 62, 4]), [0, 8]), 8), t(), P::Length { shape: vec![1 << 62, 4], bytes: 8 }),
        (file(&one("F4", json!([1]), [0, 0]), 0), t(), P::Length { shape: vec![1], bytes: 0 }),
        (file(&one("X9", json!([2]), [0, 8]), 8), t(), P::Type { dtype: "X9".into() }),
        (file(&one("U8", json!([2]), [1, 3]), 3), t(), P::Gap { begin: 1, expected: 0 }),
        (
            file(&two(entry("s", "U8", json!([4]), [0, 4]), entry("t", "U8", json!([4]), [2, 6])), 6),
            t(),
            P::Gap { begin: 2, expected: 4 },
        ),
        (file(&two(entry("t", "U8", json!([4]), [0, 4]), entry("t", "U8", json!([4]), [4, 8])), 8), t(), P::Duplicate),
    ];
    for (bytes, tensor, expected) in cases {
        assert_eq!(problem(read_bytes(&bytes)), (tensor, expected), "{:?}", String::from_utf8_lossy(&bytes));
    }
    let far = file(&one("U8", json!([huge - 1]), [0, huge - 1]), 4);
    assert!(matches!(problem(read_bytes(&far)), (Some(_), P::Length { .. } | P::Truncated { .. })));
    for header in [
        "",
        "[]",
        "{\"t\":3}",
        "{\"t\":{\"dtype\":\"F32\"}}",
        "{\"t\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
    ] {
        assert!(matches!(problem(read_bytes(&file(header, 4))), (None, P::Header { .. })), "{header}");
    }
}

#[test]
fn every_cut_of_a_file_is_noticed() {
    let bytes = safetensors::serialize(&tensors(), None).unwrap();
    for end in (0..bytes.len()).step_by(41) {
        problem(read_bytes(&bytes[..end]));
    }
    read_bytes(&bytes).unwrap();
}

#[test]
fn a_directory_without_its_files_is_an_io_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |name: &str| {
        let result = PretrainedWeights::read(folder.path());
        assert!(matches!(&result, Err(Error::Io { path, .. }) if path.ends_with(Path::new(name))), "{result:?}");
    };
    missing("config.json");
    config().save(folder.path().join("config.json")).unwrap();
    missing("model.safetensors");
}

#[test]
fn the_real_model_is_read_and_written_back() {
    let Some(folder) = outside("DHT_MODELS", "minilm-l6") else { return };
    let model = PretrainedWeights::read(&folder).unwrap();
    assert_eq!(model.unused, ["embeddings.position_ids"]);
    assert_eq!(model.tensors.len(), 5 + 6 * 16 + 2);
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("copy");
    PretrainedWeights::write(&path, &model.config, &model.tensors, Some(&TextTokenizer::from_dir(&folder).unwrap()))
        .unwrap();
    let again = PretrainedWeights::read(&path).unwrap();
    same(&again.tensors, &model.tensors);
    assert_eq!(again.config, model.config);
}

proptest! {
    #[test]
    fn no_soup_makes_the_weights_panic(
        header in prop_oneof![".{0,80}", Just(String::new()), any::<[u64; 3]>().prop_map(|[size, begin, end]| format!("{{{}}}", entry("t", "F32", json!([size]), [begin, end])))],
        data in 0_usize..40,
        at in any::<proptest::sample::Index>(),
        byte: u8,
    ) {
        prop_assert!(read_bytes(&file(&header, data)).is_err());
        // A valid file with one changed byte gives an error, or another number.
        let mut bytes = safetensors::serialize(tensors(), None).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read_bytes(&bytes);
    }
}
