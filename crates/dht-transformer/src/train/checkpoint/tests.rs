use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use proptest::prelude::*;
use serde_json::json;

use super::checkpoint::Checkpoint;
use super::format::{BEFORE_SUM, BLOCK, PREFIX, STATE, SUM_DIGITS, VERSION};
use super::read::Failure;
use crate::error::{CheckpointProblem as Problem, Error};
use crate::storage::StoredTensor;

fn sample() -> Checkpoint {
    let mut tensors = BTreeMap::new();
    let odd = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0, 1.0 / 3.0, f32::MAX];
    tensors.insert("layer.0/\"weight\"".into(), StoredTensor { shape: vec![2, 3], values: odd.to_vec() });
    tensors.insert("scalar".into(), StoredTensor { shape: vec![], values: vec![0.1] });
    tensors.insert("empty".into(), StoredTensor { shape: vec![0, 4], values: vec![] });
    Checkpoint { tensors, state: json!({ "step": u64::MAX, "rate": 0.1 + 0.2, "name": "naïve\n", "none": null }) }
}

fn bytes(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    checkpoint.write(&mut file).unwrap();
    file.into_inner()
}

fn read(bytes: &[u8]) -> Result<Checkpoint, Failure> {
    Checkpoint::read(bytes, bytes.len() as u64)
}

fn problem(bytes: &[u8]) -> Problem {
    match read(bytes) {
        Err(Failure::Problem(problem)) => problem,
        other => panic!("expected a problem, found {other:?}"),
    }
}

fn assert_same_bits(left: &Checkpoint, right: &Checkpoint) {
    assert_eq!(left.state, right.state);
    assert_eq!(left.tensors.len(), right.tensors.len());
    for ((left_name, left), (right_name, right)) in left.tensors.iter().zip(&right.tensors) {
        assert_eq!((left_name, &left.shape), (right_name, &right.shape));
        let bits = |tensor: &StoredTensor| tensor.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(left), bits(right));
    }
}

#[test]
fn every_number_comes_back_bit_for_bit() {
    let checkpoint = sample();
    assert_same_bits(&read(&bytes(&checkpoint)).unwrap(), &checkpoint);
    let mut long = Checkpoint::default();
    let values: Vec<f32> =
        (0..2 * BLOCK as u32 + 5).map(|index| f32::from_bits(index.wrapping_mul(2_654_435_761))).collect();
    long.tensors.insert("long".into(), StoredTensor { shape: vec![values.len()], values });
    assert_same_bits(&read(&bytes(&long)).unwrap(), &long);
}

proptest! {
    #[test]
    fn every_finite_f64_of_the_state_comes_back_bit_for_bit(bits in proptest::collection::vec(any::<u64>(), 1..20)) {
        let numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|number| number.is_finite()).collect();
        let checkpoint = Checkpoint { state: json!(numbers), ..Checkpoint::default() };
        let back: Vec<f64> = serde_json::from_value(read(&bytes(&checkpoint)).unwrap().state).unwrap();
        let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&numbers));
    }

    #[test]
    fn bytes_of_any_kind_never_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..200), length in 0_u64..400, ours in any::<bool>()
    ) {
        let mut bytes = length.to_le_bytes().to_vec();
        if ours {
            bytes.extend_from_slice(PREFIX.as_bytes());
            bytes.extend_from_slice(format!("1{BEFORE_SUM}{}\"}},", "0".repeat(SUM_DIGITS)).as_bytes());
        }
        bytes.extend_from_slice(&noise);
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = bytes(&sample());
    for length in 0..bytes.len() {
        assert!(
            matches!(problem(&bytes[..length]), Problem::Torn { .. }),
            "at {length}: {}",
            problem(&bytes[..length])
        );
    }
}

#[test]
fn a_single_flipped_bit_anywhere_is_refused() {
    let mut bytes = bytes(&sample());
    for index in 0..bytes.len() {
        for bit in 0..8 {
            bytes[index] ^= 1 << bit;
            assert!(read(&bytes).is_err(), "bit {bit} of byte {index} of {}", bytes.len());
            bytes[index] ^= 1 << bit;
        }
    }
    assert!(read(&bytes).is_ok());
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = bytes(&sample());
    bytes.push(b' ');
    assert!(matches!(problem(&bytes), Problem::Torn { .. }));
}

#[test]
fn damaged_numbers_are_told_by_their_sum() {
    let mut bytes = bytes(&sample());
    let last_number = bytes.len() - serde_json::to_vec(&sample().state).unwrap().len() - 1;
    bytes[last_number] ^= 1;
    assert_eq!(problem(&bytes), Problem::Checksum);
}

#[test]
fn foreign_files_are_told_from_torn_ones() {
    let plain = safetensors::serialize(
        [("a", safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap())],
        None,
    )
    .unwrap();
    for foreign in [plain.as_slice(), b"once upon a time there was a file that was not a checkpoint", &[0; 100]] {
        assert_eq!(problem(foreign), Problem::Foreign);
    }
}

#[test]
fn a_newer_version_is_refused_by_its_number() {
    let mut bytes = bytes(&sample());
    let version_at = 8 + PREFIX.len();
    assert_eq!(bytes[version_at], b'1');
    bytes[version_at] = b'7';
    assert_eq!(problem(&bytes), Problem::Newer { found: 7, supported: VERSION });
}

#[test]
fn any_reader_of_safetensors_opens_it() {
    let bytes = bytes(&sample());
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("scalar").unwrap().data(), 0.1_f32.to_le_bytes());
    assert_eq!(tensors.tensor(STATE).unwrap().data(), serde_json::to_vec(&sample().state).unwrap());
}

#[test]
fn saving_twice_gives_the_same_bytes_and_leaves_nothing_beside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.checkpoint");
    sample().save(&path).unwrap();
    let first = fs::read(&path).unwrap();
    sample().save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    assert_same_bits(&Checkpoint::load(&path).unwrap(), &sample());
}

#[test]
fn a_save_that_fails_leaves_the_previous_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.checkpoint");
    sample().save(&path).unwrap();
    let blocked = directory.path().join(".last.checkpoint.partial");
    fs::create_dir(&blocked).unwrap();
    assert!(matches!(Checkpoint::default().save(&path), Err(Error::Io { .. })));
    assert_same_bits(&Checkpoint::load(&path).unwrap(), &sample());
    fs::remove_dir(&blocked).unwrap();

    let mut wrong = sample();
    wrong.tensors.insert("wrong".into(), StoredTensor { shape: vec![3], values: vec![1.0] });
    assert!(matches!(wrong.save(&path), Err(Error::Shape { what, .. }) if what == "wrong"));
    let mut reserved = sample();
    reserved.tensors.insert(STATE.into(), StoredTensor { shape: vec![], values: vec![1.0] });
    assert!(matches!(reserved.save(&path), Err(Error::Parameter { .. })));
    assert_same_bits(&Checkpoint::load(&path).unwrap(), &sample());
}

#[test]
fn what_a_killed_save_left_behind_does_not_hinder_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.checkpoint");
    fs::write(directory.path().join(".last.checkpoint.partial"), vec![7; 10_000]).unwrap();
    sample().save(&path).unwrap();
    assert_same_bits(&Checkpoint::load(&path).unwrap(), &sample());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn an_error_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.txt");
    assert!(matches!(Checkpoint::load(&path), Err(Error::Io { path: named, .. }) if named == path));
    fs::write(&path, "a text that is long enough to be anything at all, but not a checkpoint").unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(error.contains("other.txt") && error.contains("not a checkpoint"), "{error}");
    assert!(sample().save(directory.path()).is_err());
    assert!(sample().save("/").is_err());
}

#[test]
fn tensors_go_in_and_out_under_a_prefix() {
    let one = BTreeMap::from([("a".to_owned(), StoredTensor { shape: vec![1], values: vec![1.0] })]);
    let mut checkpoint = Checkpoint::default();
    checkpoint.put("model.", one.clone()).unwrap();
    checkpoint.put("optimizer.", one.clone()).unwrap();
    assert!(matches!(checkpoint.put("model.", one.clone()), Err(Error::Parameter { .. })));
    assert_eq!(checkpoint.take("model."), one);
    assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["optimizer.a"]);
    assert!(checkpoint.take("model.").is_empty());
}
