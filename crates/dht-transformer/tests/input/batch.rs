use dht_toys::{data, rng, sample};
use dht_transformer::{PackedBatch, Sample, data::UnreadTokens};
use proptest::prelude::*;

/// Samples whose token ids identify the sample and the position.
fn samples(lengths: &[usize]) -> Vec<Sample> {
    let text = |(id, &length): (usize, &usize)| {
        let mut text = sample(id as u64, id as u32 % 3, (0..length).map(|place| (100 * id + place) as u32));
        text.encoding.type_ids.iter_mut().skip(2).for_each(|kind| *kind = 1);
        text
    };
    lengths.iter().enumerate().map(text).collect()
}

#[test]
fn a_batch_is_its_samples_one_after_another() {
    let batch = PackedBatch::from_samples(&samples(&[2, 1, 3])).unwrap();
    assert_eq!((batch.len(), batch.tokens()), (3, 6));
    assert_eq!(batch.ids, [0, 1, 100, 200, 201, 202]);
    assert_eq!(batch.positions(), [0, 1, 0, 0, 1, 2]);
    assert_eq!(batch.type_ids, [0, 0, 0, 0, 0, 1]);
    assert_eq!((batch.labels, batch.sample_ids), (vec![0, 1, 2], vec![0, 1, 2]));
}

#[test]
fn cut_tokens_stay_with_their_samples() {
    let mut samples = samples(&[2, 1, 3, 1]);
    assert!(PackedBatch::from_samples(&samples).unwrap().rest.is_empty());
    samples[1].encoding.rest.first = vec![7, 8];
    samples[2].encoding.rest.second = vec![9];
    let batch = PackedBatch::from_samples(&samples).unwrap();
    let rest: Vec<_> = samples.iter().map(|sample| sample.encoding.rest.clone()).collect();
    assert_eq!(batch.rest, rest);
    assert_eq!(
        batch.select(&[2, 0]),
        PackedBatch::from_samples([&samples[2], &samples[0]])
            .map(|mut expected| {
                // A selection from a batch with truncated texts has an entry for each sample.
                expected.rest.resize(2, UnreadTokens::default());
                expected
            })
            .unwrap()
    );
}

#[test]
fn cut_tokens_change_the_sum_of_a_data_set_and_none_do_not() {
    let data = |samples: Vec<Sample>| data(["one"], samples);
    let mut samples = samples(&[2, 1]);
    let without = data(samples.clone()).sha256();
    samples[1].encoding.rest.first = vec![7];
    let first = data(samples.clone()).sha256();
    samples[1].encoding.rest = UnreadTokens { first: Vec::new(), second: vec![7], words: Vec::new() };
    let second = data(samples).sha256();
    assert!(without != first && first != second && without != second);
}

#[test]
fn types_that_are_all_0_need_not_be_there() {
    let mut samples = samples(&[2, 1, 4]);
    let unchanged = samples.clone();
    samples.iter_mut().take(2).for_each(|sample| sample.encoding.type_ids = Vec::new());
    assert_eq!(PackedBatch::from_samples(&samples).unwrap(), PackedBatch::from_samples(&unchanged).unwrap());
    let digests = |samples: &[Sample]| samples.iter().map(|sample| sample.encoding.digest()).collect::<Vec<_>>();
    assert_eq!(digests(&samples), digests(&unchanged));
    assert_eq!(data(["a"], samples).sha256(), data(["a"], unchanged).sha256());
}

#[test]
fn bad_samples_are_refused() {
    assert!(PackedBatch::from_samples(&samples(&[2, 0])).is_err());
    let mut bad = samples(&[2]);
    bad[0].encoding.type_ids.pop();
    assert!(PackedBatch::from_samples(&bad).is_err());
    assert!(PackedBatch::from_samples([]).unwrap().is_empty());
}

#[test]
fn batches_of_nothing_are_refused() {
    let mut rng = rng(0);
    assert!(PackedBatch::epoch_order(&[1], 0, 1, &mut rng).is_err());
    assert!(PackedBatch::epoch_order(&[1], 1, 0, &mut rng).is_err());
    assert!(PackedBatch::in_order(1, 0).is_err());
    assert!(PackedBatch::longest_first(&[1], 0).is_err());
}

#[test]
fn evaluation_keeps_the_order_or_begins_with_the_longest() {
    assert_eq!(PackedBatch::in_order(5, 2).unwrap(), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(PackedBatch::longest_first(&[3, 9, 3, 7, 9], 2).unwrap(), [vec![1, 4], vec![3, 0], vec![2]]);
}

#[test]
fn the_order_depends_on_the_seed_alone() {
    let lengths: Vec<usize> = (0..100).map(|row| row % 17 + 1).collect();
    for window in [1, 4] {
        let order = |seed| PackedBatch::epoch_order(&lengths, 8, window, &mut rng(seed)).unwrap();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}

#[test]
fn a_wide_window_puts_like_lengths_together() {
    let lengths: Vec<usize> = (0..1000).map(|row| row * 7919 % 97 + 1).collect();
    // Cost of padding all texts to the longest text of their batch.
    let cost = |window| {
        let mut rng = rng(3);
        let batches = PackedBatch::epoch_order(&lengths, 10, window, &mut rng).unwrap();
        batches.iter().map(|batch| batch.len() * batch.iter().map(|&row| lengths[row]).max().unwrap()).sum::<usize>()
    };
    assert!(cost(10) < cost(2) && cost(2) < cost(1));
    let tokens: usize = lengths.iter().sum();
    assert!(cost(10) < tokens * 12 / 10 && cost(1) > tokens * 15 / 10);
}

proptest! {
    #[test]
    fn each_row_comes_exactly_once_in_every_order(
        lengths in proptest::collection::vec(1_usize..40, 0..100), size in 1_usize..9, window in 1_usize..6, seed: u64,
    ) {
        let mut rng = rng(seed);
        for batches in [
            PackedBatch::epoch_order(&lengths, size, window, &mut rng).unwrap(),
            PackedBatch::in_order(lengths.len(), size).unwrap(),
            PackedBatch::longest_first(&lengths, size).unwrap(),
        ] {
            prop_assert_eq!(batches.len(), lengths.len().div_ceil(size));
            prop_assert!(batches.iter().filter(|batch| batch.len() != size).count() <= 1);
            let mut rows = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_selection_is_the_batch_of_the_selected_samples(
        lengths in proptest::collection::vec(1_usize..9, 1..12), picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let samples = samples(&lengths);
        let rows: Vec<usize> = picks.iter().map(|pick| pick.index(samples.len())).collect();
        let whole = PackedBatch::from_samples(&samples).unwrap();
        let data = data(["a"], samples);
        prop_assert_eq!(whole.select(&rows), data.batch(&rows).unwrap());
        prop_assert_eq!(data.lengths(), lengths);
    }
}
