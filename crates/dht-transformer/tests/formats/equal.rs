//! Weights in every format give the same bits as in `model.safetensors`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use dht_toys::{Outcome, batch, numbers, outside, run};
use dht_transformer::{
    Encoder, ForwardContext,
    account::{Account, Treatment},
    pretrained::PretrainedWeights,
};

use crate::archive::{Member, Pickle, View, members, zip};
use crate::tiny::{self, Tensors, bits, folder, parts, read, read_bin, saved, tensors, write_shards};

fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

fn safetensors(tensors: &Tensors) -> Vec<u8> {
    safetensors::serialize(tensors, None).expect("tensors")
}

/// Bits of the states that an encoder in a directory computes.
fn states(folder: &Path) -> Outcome<Vec<u32>> {
    let encoder = Encoder::from_pretrained(folder, &Device::Cpu)?;
    let texts: [&[u32]; 3] = [&[2, 7, 9, 3], &[2, 5, 3], &[2, 8, 8, 6, 3]];
    let hidden = run(&encoder, &batch(&texts, &[0; 3]), &ForwardContext::inference())?;
    Ok(numbers(hidden.tensor()).into_iter().map(f32::to_bits).collect())
}

/// Writes a model in each format, and compares its hidden states with the original model's.
fn compare(config: &Path, tensors: &Tensors, expected: &[u32]) -> Outcome {
    type Write<'a> = Box<dyn Fn(&Path) + 'a>;
    let one = |name: &'static str, bytes: &'static dyn Fn(&Tensors) -> Vec<u8>, prefix: &'static str| -> Write<'_> {
        Box::new(move |folder| {
            std::fs::write(folder.join(name), bytes(&prefixed(tensors, prefix))).expect("a file");
        })
    };
    let shards = |parts, stem: &'static str, ending: &'static str, prefix: &'static str| -> Write<'_> {
        Box::new(move |folder| write_shards(folder, &prefixed(tensors, prefix), parts, stem, ending))
    };
    let formats = [
        one("model.safetensors", &safetensors, ""),
        shards(2, "model", "safetensors", ""),
        shards(5, "model", "safetensors", ""),
        one("pytorch_model.bin", &saved, ""),
        shards(2, "pytorch_model", "bin", ""),
        shards(5, "pytorch_model", "bin", "module."),
        one("model.safetensors", &safetensors, "module."),
        one("model.safetensors", &safetensors, "_orig_mod.module.bert."),
        one("pytorch_model.bin", &saved, "module._orig_mod."),
        // The format is detected from the content, not from the name.
        one("pytorch_model.bin", &safetensors, ""),
        one("model.safetensors", &saved, ""),
    ];
    for (format, write) in formats.iter().enumerate() {
        let folder = tempfile::tempdir()?;
        std::fs::copy(config, folder.path().join("config.json"))?;
        write(folder.path());
        assert!(states(folder.path())? == expected, "format {format}");
    }
    Ok(())
}

#[test]
fn every_format_gives_the_same_states() -> Outcome {
    let folder = folder(&[("model.safetensors", &safetensors(&tensors()))]);
    compare(&folder.path().join("config.json"), &tensors(), &states(folder.path())?)
}

#[test]
fn every_format_of_a_real_model_gives_the_same_states() -> Outcome {
    let Some(model) = outside("DHT_MODELS", "minilm-l6") else { return Ok(()) };
    let loaded = candle_core::safetensors::load(model.join("model.safetensors"), &Device::Cpu)?;
    compare(&model.join("config.json"), &loaded.into_iter().collect(), &states(&model)?)
}

#[test]
fn types_of_storages_become_f32() {
    let plain = tensors();
    for dtype in [DType::F16, DType::BF16, DType::F64] {
        let cast = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.to_dtype(dtype).expect("a type"));
        let mut cast: Tensors = plain.iter().map(cast).collect();
        cast.insert("embeddings.position_ids".into(), Tensor::arange(0_i64, 6, &Device::Cpu).expect("numbers"));
        let [archive, file] = [
            read_bin(&saved(&cast)).expect("weights"),
            read(&[("model.safetensors", &safetensors(&cast))]).expect("weights"),
        ];
        assert_eq!(bits(&archive.tensors), bits(&file.tensors));
        assert_eq!(archive.unused, ["embeddings.position_ids"]);
    }
}

/// Tensors of a layer that are views of one storage: transposed, between other values, and in the middle.
#[test]
fn views_of_storages_are_read_by_their_strides() {
    let plain = tensors();
    let (mut views, mut storages) = parts(&plain);
    let place = |name: &str, views: &[View]| views.iter().position(|view| view.name == name).expect("a tensor");
    let transposed = place("encoder.layer.0.attention.self.query.weight", &views);
    let flipped = plain[&views[transposed].name].t().and_then(|tensor| tensor.contiguous()).expect("a matrix");
    storages[transposed].1 = tiny::bytes(&flipped);
    views[transposed].strides = vec![1, 8];
    // Every second element of a storage that is twice as long, from the third on.
    let sparse = place("encoder.layer.1.intermediate.dense.weight", &views);
    let values = storages[sparse].1.clone();
    let spread = values.chunks_exact(4).flat_map(|value| [value, &[255; 4]].concat());
    storages[sparse].1 = [0_u8; 12].into_iter().chain(spread).collect();
    let view = &mut views[sparse];
    (view.elements, view.offset) = (2 * view.elements + 3, 3);
    view.strides.iter_mut().for_each(|stride| *stride *= 2);
    // The query and key biases share one storage.
    let (query, key) = (
        place("encoder.layer.0.attention.self.query.bias", &views),
        place("encoder.layer.0.attention.self.key.bias", &views),
    );
    let joined = [&*storages[query].1, &*storages[key].1].concat();
    let name = storages[query].0.clone();
    storages[query].1 = joined;
    for (index, offset) in [(query, 0), (key, 8)] {
        views[index].key.clone_from(&name);
        (views[index].elements, views[index].offset) = (16, offset);
    }
    // A tied head is a second view, and a stride of an axis of one element has no effect.
    let mut tied = views[place("embeddings.word_embeddings.weight", &views)].clone();
    tied.name = "cls.predictions.decoder.weight".into();
    views.push(tied);
    let read = read_bin(&zip(&members(&Pickle::state_dict(&views), &storages))).expect("weights");
    assert_eq!(bits(&read.tensors), bits(&plain));
    assert_eq!(read.unused, ["cls.predictions.decoder.weight"]);
}

#[test]
fn big_endian_archives_are_read() {
    let plain = tensors();
    let (views, mut storages) = parts(&plain);
    for (_, data) in &mut storages {
        data.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    let mut files = members(&Pickle::state_dict(&views), &storages);
    files[1].data = b"big".to_vec();
    assert_eq!(bits(&read_bin(&zip(&files)).expect("weights").tensors), bits(&plain));
}

/// Parameters, old and new functions, untyped storages, protocols 4 and 5, numbers beside the tensors, archives without
/// checksums and byte order, and any name of the archive's directory.
#[test]
fn other_ways_of_saving_are_read() {
    let plain = tensors();
    let (views, storages) = parts(&plain);
    let arguments = |pickle: &mut Pickle, view: &View, class: &str, elements: usize| {
        pickle.op(b"((").text("storage").global("torch", class).text(&view.key).text("cuda:0").number(elements);
        pickle.op(b"tQ").number(view.offset).numbers(&view.shape).numbers(&view.strides);
    };
    let hooks = |pickle: &mut Pickle| {
        pickle.op(b"\x89").global("collections", "OrderedDict").op(b")R");
    };
    for protocol in [2, 4, 5] {
        let mut pickle = Pickle(vec![0x80, protocol]);
        pickle.op(b"\x95").op(&[0; 8]).op(b"}(").text("epoch").number(3).text("loss").op(b"G").op(&[0; 8]);
        pickle.text("best").op(b"\x88").text("note").op(b"N");
        for (number, view) in views.iter().enumerate() {
            pickle.text(&view.name);
            match number % 4 {
                0 => {
                    pickle.op(b"\x8c\x0ctorch._utils\x8c\x12_rebuild_parameter\x93\x94").op(b"(");
                    pickle.tensor(view).op(b"\x88").global("collections", "OrderedDict").op(b")RtR\x94");
                }
                1 => {
                    pickle.global("torch._utils", "_rebuild_tensor");
                    arguments(&mut pickle, view, view.class, view.elements);
                    pickle.op(b"tR");
                }
                2 => {
                    pickle.global("torch._utils", "_rebuild_tensor_v3");
                    arguments(&mut pickle, view, "UntypedStorage", 4 * view.elements);
                    hooks(&mut pickle);
                    pickle.global("torch", "float32").op(b"tR");
                }
                _ => {
                    pickle.global("torch._utils", "_rebuild_tensor_v2");
                    arguments(&mut pickle, view, view.class, view.elements);
                    hooks(&mut pickle);
                    pickle.op(b"}tR");
                }
            }
        }
        let mut files = members(pickle.op(b"u.").0.as_slice(), &storages);
        files.remove(1);
        for Member { name, checksum, .. } in &mut files {
            *name = name.replace("archive/", "my model.v2/");
            *checksum = Some(0);
        }
        assert_eq!(bits(&read_bin(&zip(&files)).expect("weights").tensors), bits(&plain));
    }
}

#[test]
fn the_first_of_several_formats_is_read() {
    let plain = tensors();
    let other: Tensors = plain.iter().map(|(name, tensor)| (name.clone(), (tensor * 2.0).expect("numbers"))).collect();
    let folder = folder(&[("pytorch_model.bin", &saved(&other))]);
    write_shards(folder.path(), &other, 2, "pytorch_model", "bin");
    let read = || PretrainedWeights::read(folder.path()).expect("weights").tensors;
    let treated = |file: &str| {
        let entries = Account::inspect(folder.path()).expect("a directory").entries;
        entries.into_iter().find(|entry| entry.file == file && entry.item.is_none()).expect(file).treatment
    };
    assert_eq!(bits(&read()), bits(&other));
    assert_eq!(treated("pytorch_model.bin"), Treatment::Obeyed);
    write_shards(folder.path(), &plain, 3, "model", "safetensors");
    assert_eq!(bits(&read()), bits(&plain));
    for (file, expected) in [
        ("model.safetensors.index.json", Treatment::Obeyed),
        ("model-00002-of-00003.safetensors", Treatment::Obeyed),
        ("pytorch_model.bin", Treatment::Harmless),
        ("pytorch_model-00001-of-00002.bin", Treatment::Harmless),
    ] {
        assert_eq!(treated(file), expected, "{file}");
    }
    std::fs::write(folder.path().join("model.safetensors"), safetensors(&other)).expect("a file");
    assert_eq!(bits(&read()), bits(&other));
    assert_eq!(treated("model-00002-of-00003.safetensors"), Treatment::Harmless);
}

#[test]
fn an_account_names_the_file_of_each_tensor() {
    let plain = prefixed(&tensors(), "module.bert.");
    let folder = folder(&[]);
    write_shards(folder.path(), &plain, 2, "model", "safetensors");
    let account = Account::inspect(folder.path()).expect("a directory");
    let of = |tensor: &str| account.entries.iter().find(|entry| entry.item.as_deref() == Some(tensor)).expect("listed");
    let first = of("module.bert.embeddings.LayerNorm.bias");
    assert_eq!((&*first.file, first.treatment), ("model-00001-of-00002.safetensors", Treatment::Obeyed));
    assert_eq!(of("module.bert.encoder.layer.1.output.dense.weight").file, "model-00002-of-00002.safetensors");
}

/// A prefix that one name lacks belongs to a part of the model.
#[test]
fn a_prefix_is_removed_only_from_all_names() {
    let mut some = prefixed(&tensors(), "module.");
    let name = "module.embeddings.LayerNorm.bias";
    let tensor = some.remove(name).expect("a tensor");
    some.insert(name.replace("module.", ""), tensor);
    let refused = read(&[("model.safetensors", &safetensors(&some))]).expect_err("a refusal").to_string();
    assert!(refused.contains("begin with \"module.\""), "{refused}");
}
