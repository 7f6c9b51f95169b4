//! Refusal of archives that would run code, state wrong sizes, or do not contain weights.

use dht_transformer::{BertConfig, Error, error::WeightsProblem, pretrained::PretrainedWeights};

use crate::archive::{Member, Pickle, View, members, zip};
use crate::tiny::{folder, model, parts, read, read_bin, refusal, saved, tensors};

/// Message with which an archive of a pickle and the tiny encoder's storages is refused.
fn pickled(pickle: &[u8]) -> String {
    refusal(&zip(&members(pickle, &parts(&tensors()).1)))
}

/// Problem that is reported for an archive with one changed tensor.
fn changed(change: impl FnOnce(&mut View)) -> WeightsProblem {
    let (mut views, storages) = parts(&tensors());
    change(&mut views[0]);
    let name = views[0].name.clone();
    match read_bin(&zip(&members(&Pickle::state_dict(&views), &storages))) {
        Err(Error::Weights { path, tensor, problem }) => {
            assert!(path.ends_with("pytorch_model.bin"));
            assert_eq!(tensor, Some(name), "{problem}");
            problem
        }
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

#[test]
fn code_in_a_pickle_is_named_and_not_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace").display().to_string();
    let command = format!("touch {trace}");
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("__builtin__", "getattr"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch", "os.system"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch", "QInt8Storage"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("collections", "defaultdict"),
        ("collections", "OrderedDict.__init__"),
    ] {
        let mut by_line = Pickle::new();
        by_line.global(module, name).text(&command).op(b"\x85R.");
        let mut by_stack = Pickle::new();
        by_stack.text(module).text(name).op(b"\x93").text(&command).op(b"\x85R.");
        // Inside a dictionary of tensors, before the last of them.
        let (views, _) = parts(&tensors());
        let mut inside = Pickle::new();
        inside.op(b"}(").text("a").tensor(&views[0]).text("b").global(module, name).text(&command).op(b"\x85Ru.");
        for pickle in [by_line, by_stack, inside] {
            let refused = pickled(&pickle.0);
            assert!(refused.contains(&format!("calls {module}.{name}, which is never run")), "{refused}");
        }
    }
    assert!(!std::path::Path::new(&trace).exists());
}

#[test]
fn other_operations_of_pickles_are_refused() {
    let (views, _) = parts(&tensors());
    let with = |make: &dyn for<'a> Fn(&'a mut Pickle) -> &'a mut Pickle| make(&mut Pickle::new()).0.clone();
    let cases: [(Vec<u8>, &str); 26] = [
        (b"".to_vec(), "byte 0: it is cut off"),
        (b"\x80\x01}.".to_vec(), "its protocol is 1, expected 2 to 5"),
        (b"\x80\x09}.".to_vec(), "its protocol is 9, expected 2 to 5"),
        (b"\x80\x02".to_vec(), "byte 2: it is cut off"),
        (b"\x80\x02}".to_vec(), "it is cut off"),
        // INST, OBJ, NEWOBJ, EXT1, PERSID, DUP, POP
        (b"\x80\x02(ios\nsystem\n.".to_vec(), "the operation 0x69"),
        (b"\x80\x02(o.".to_vec(), "the operation 0x6f"),
        (b"\x80\x02)\x81.".to_vec(), "the operation 0x81"),
        (b"\x80\x02\x82\x01.".to_vec(), "the operation 0x82"),
        (b"\x80\x02P0\n.".to_vec(), "the operation 0x50"),
        (b"\x80\x022.".to_vec(), "the operation 0x32"),
        (b"\x80\x02N0}.".to_vec(), "the operation 0x30"),
        (b"\x80\x02R.".to_vec(), "a value that is not there"),
        (b"\x80\x02t.".to_vec(), "a mark that is not there"),
        (b"\x80\x02(}R.".to_vec(), "a value that is not there"),
        (b"\x80\x02h\x07.".to_vec(), "recalls a value"),
        (b"\x80\x02X\xff\xff\xff\xff.".to_vec(), "it is cut off"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.".to_vec(), "it is cut off"),
        (b"\x80\x02X\x02\0\0\0\xff\xfe.".to_vec(), "not UTF-8"),
        (b"\x80\x02].".to_vec(), "it holds a list, expected a dictionary of tensors"),
        (b"\x80\x02}}.".to_vec(), "does not end with one value"),
        (b"\x80\x02}.}".to_vec(), "ends before its last byte"),
        (b"\x80\x02}(K\x01K\x02u.".to_vec(), "a number is a key"),
        (with(&|pickle| pickle.tensor(&views[0]).op(b".")), "it holds a tensor"),
        (with(&|pickle| pickle.tensor(&views[0]).op(b"}b.")), "it sets attributes of a tensor"),
        (with(&|pickle| pickle.global("collections", "OrderedDict").op(b"K\x01\x85R.")), "with arguments that"),
    ];
    for (pickle, part) in cases {
        let refused = pickled(&pickle);
        assert!(refused.contains("its pickle cannot be read at byte"), "{pickle:?}: {refused}");
        assert!(refused.contains(part), "{pickle:?}: {refused}");
    }
}

/// Deeply nested and repeated objects take no more memory than the pickle's own size.
#[test]
fn deep_and_circular_pickles_are_harmless() {
    let deep = [&b"\x80\x02)"[..], &vec![0x85; 1_000_000], b"."].concat();
    assert!(pickled(&deep).contains("it holds a tuple"));
    let marks = [&b"\x80\x02"[..], &vec![b'('; 1_000_000], b"."].concat();
    assert!(pickled(&marks).contains("does not end with one value"));
    // Each tuple contains the previous one twice.
    let doubled = [&b"\x80\x02)q\x00"[..], &b"h\x00h\x00\x86q\x00".repeat(10_000), b"."].concat();
    assert!(pickled(&doubled).contains("does not end with one value"));
    let circular = b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.";
    assert!(pickled(circular).contains("lacks the tensors"));
    let list = b"\x80\x02}X\x01\0\0\0a]q\x00h\x00as.";
    assert!(pickled(list).contains("lacks the tensors"));
}

#[test]
fn a_training_checkpoint_names_its_inner_dictionary() {
    let (views, storages) = parts(&tensors());
    for key in ["state_dict", "model_state_dict", "model"] {
        let mut pickle = Pickle::new();
        pickle.op(b"}(").text("epoch").number(7).text(key).op(b"}(");
        for view in &views {
            pickle.text(&view.name).tensor(view);
        }
        let archive = zip(&members(&pickle.op(b"uu.").0, &storages));
        assert!(refusal(&archive).contains(&format!("has its tensors under {key:?}")));
    }
}

#[test]
fn a_view_outside_its_storage_is_refused() {
    let huge = 1_usize << 62;
    type Change = fn(&mut View);
    let changes: [Change; 8] = [
        |view| view.offset = 1,
        |view| view.strides[0] = 2,
        |view| view.shape[0] += 1,
        |view| view.shape = vec![1 << 62, 1 << 62],
        |view| (view.shape, view.strides) = (vec![2, 2], vec![1]),
        |view| (view.shape, view.strides) = (vec![2, 2], vec![1 << 62, 1 << 62]),
        |view| view.offset = (1 << 63) - 1,
        |view| (view.shape, view.strides, view.offset) = (vec![0], vec![1], 1 << 62),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let problem = changed(change);
        assert!(matches!(problem, WeightsProblem::View { .. }), "{number}: {problem}");
    }
    // A size above 2⁶³ takes more than eight bytes in a pickle, and is refused.
    let (mut views, storages) = parts(&tensors());
    views[0].shape = vec![huge * 2];
    let refused = refusal(&zip(&members(&Pickle::state_dict(&views), &storages)));
    assert!(refused.contains("more than eight bytes"), "{refused}");
}

#[test]
fn negative_sizes_are_refused() {
    for sizes in [&b"J\xff\xff\xff\xff\x85"[..], b"\x8a\x01\xff\x85", b"\x8a\x08\0\0\0\0\0\0\0\x80\x85"] {
        let mut pickle = Pickle::new();
        pickle.op(b"}").text("t").global("torch._utils", "_rebuild_tensor").op(b"((").text("storage");
        pickle
            .global("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .number(8)
            .op(b"tQK\x00")
            .op(sizes)
            .op(b"K\x01\x85tRs.");
        let refused = pickled(&pickle.0);
        assert!(refused.contains("which is not inside its storage"), "{refused}");
    }
}

#[test]
fn a_storage_of_another_size_than_the_pickle_says_is_refused() {
    let wrong = |change: fn(&mut View)| changed(change).to_string();
    assert!(wrong(|view| view.elements += 1).contains("data/0 has 32 bytes, and its pickle says 9 elements"));
    assert!(wrong(|view| view.elements = 1 << 40).contains("elements"));
    assert!(wrong(|view| view.class = "DoubleStorage").contains("data/0 has 32 bytes"));
    assert!(wrong(|view| view.key = "99".into()).contains("there is no data/99 in it"));
    assert!(wrong(|view| view.key = "../version".into()).contains("there is no data/../version"));
    // One storage is declared as floats and as integers of the same size.
    let (mut views, storages) = parts(&tensors());
    let again = View { name: "again".into(), class: "IntStorage", ..views[0].clone() };
    views.push(again);
    let refused = refusal(&zip(&members(&Pickle::state_dict(&views), &storages)));
    assert!(refused.contains("says two types of data/0"), "{refused}");
}

#[test]
fn archives_of_another_kind_are_refused() {
    let (views, storages) = parts(&tensors());
    let whole = members(&Pickle::state_dict(&views), &storages);
    type Change = fn(&mut Vec<Member>);
    let changes: [(Change, &str); 11] = [
        (|files| files[3].method = 8, "is compressed or encrypted"),
        (|files| files[0].method = 8, "is compressed or encrypted"),
        (|files| files[4].size = Some(1 << 30), "overlap"),
        (|files| files[4].size = Some(u32::MAX - 1), "overlap"),
        (|files| files[4].size = Some(0), "has 0 bytes"),
        (|files| files[5].data[0] ^= 1, "differs from its checksum"),
        (|files| files.push(files[3].clone()), "one name"),
        (|files| files[1].data = b"middle".to_vec(), "neither little nor big"),
        (|files| drop(files.remove(0)), "there is no data.pkl"),
        (|files| files.push(Member::new("archive/constants.pkl", b"")), "TorchScript"),
        (|files| files.clear(), "is not a file of torch.save"),
    ];
    for (change, part) in changes {
        let mut files = whole.clone();
        files[5].checksum = Some(crc(&files[5].data));
        change(&mut files);
        let refused = refusal(&zip(&files));
        assert!(refused.contains(part), "{part}: {refused}");
        assert!(refused.contains("pytorch_model.bin"), "{refused}");
    }
}

fn crc(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

#[test]
fn every_cut_of_an_archive_is_noticed() {
    let archive = saved(&tensors());
    for end in (0..archive.len()).step_by(67).chain([1, 2, 3, 4, 5, archive.len() - 1]) {
        let refused = refusal(&archive[..end]);
        assert!(refused.contains("copy or download it again"), "{end}: {refused}");
    }
    read_bin(&archive).expect("weights");
}

/// A view that repeats one row takes no space in the file.
#[test]
fn a_small_file_cannot_fill_the_memory() {
    let (mut views, storages) = parts(&tensors());
    let words = views.iter_mut().find(|view| view.name.contains("word_embeddings")).expect("a tensor");
    (words.shape, words.strides) = (vec![16_000_000, 8], vec![0, 1]);
    let folder = folder(&[("pytorch_model.bin", &zip(&members(&Pickle::state_dict(&views), &storages)))]);
    let config = BertConfig { vocab_size: 16_000_000, ..model().config().clone() };
    config.save(folder.path().join("config.json")).expect("a configuration");
    let refused = PretrainedWeights::read(folder.path()).expect_err("a refusal");
    assert!(matches!(refused, Error::Weights { problem: WeightsProblem::Shared { .. }, .. }), "{refused}");
    // A storage that is not in the file, and a sparse file.
    let words = views.iter_mut().find(|view| view.name.contains("word_embeddings")).expect("a tensor");
    words.elements = 128_000_000;
    let archive = zip(&members(&Pickle::state_dict(&views), &storages));
    std::fs::write(folder.path().join("pytorch_model.bin"), archive).expect("a file");
    assert!(PretrainedWeights::read(folder.path()).is_err());
    let file = std::fs::File::options().write(true).open(folder.path().join("pytorch_model.bin")).expect("a file");
    file.set_len(100 << 30).expect("a sparse file");
    let refused = PretrainedWeights::read(folder.path()).expect_err("a refusal").to_string();
    assert!(refused.contains("cannot be read as a zip archive"), "{refused}");
}

#[test]
fn other_formats_under_the_name_of_weights_are_named() {
    let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
    for name in ["pytorch_model.bin", "model.safetensors"] {
        for (head, part) in [
            (&b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."[..], "PyTorch before 1.6"),
            (&tar, "tar archive"),
            (b"\x80\x04\x95\0\0\0\0\0\0\0\0.", "a pickle, which is a program"),
            (b"GGUF\x03\0\0\0", "llama.cpp"),
            (b"\xba\x16\x4f\x2f\x0c\0\0\0", "fastText"),
            (b"\x89HDF\r\n\x1a\n\0\0", "TensorFlow and Keras"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"PK\x03\x04", "copy or download it again"),
        ] {
            let refused = read(&[(name, head)]).expect_err("a refusal").to_string();
            assert!(refused.contains(name) && refused.contains(part), "{name}: {refused}");
        }
    }
    // The contents are an HTML page, a boolean, and an empty file.
    for text in [&b"<!DOCTYPE html><html>"[..], b"\n", b""] {
        assert!(refusal(text).contains("is not a file of torch.save"), "{text:?}");
    }
}
