//! Selection of masked tokens.

use dht_toys::{config, data, encoder, refused, rng, sample};
use dht_transformer::{
    EncodedDataset, Error, MaskedLanguageModel, PackedBatch, Result, TextTokenizer,
    data::{MaskSettings, MaskedBatch},
};
use serde_json::json;

const SPECIAL: u32 = 5;

fn tokenizer() -> TextTokenizer {
    let words: Vec<String> = (0..200).map(|word| format!("w{word}")).collect();
    TextTokenizer::from_vocabulary(&words).expect("right input")
}

/// Texts of 2 to 41 tokens, of which the first and the last are special tokens.
fn texts(count: u64) -> EncodedDataset {
    let text = |id| {
        let length = 2 + id as usize % 40;
        let mut ids: Vec<u32> = (0..length as u32).map(|place| SPECIAL + (place * 7 + id as u32) % 200).collect();
        (ids[0], ids[length - 1]) = (2, 3);
        sample(id, 0, ids)
    };
    data([""; 0], (0..count).map(text))
}

fn model(settings: MaskSettings, tokenizer: &TextTokenizer) -> Result<MaskedLanguageModel> {
    let encoder = encoder(&config([1, 1, 4, 205], None), &mut rng(1));
    MaskedLanguageModel::new(encoder, tokenizer, settings, &mut rng(2))
}

fn masked(settings: MaskSettings, batch: PackedBatch, seed: u64, epoch: u64) -> MaskedBatch {
    model(settings, &tokenizer()).expect("right input").mask(batch, seed, epoch)
}

fn batch(rows: impl IntoIterator<Item = usize>) -> PackedBatch {
    texts(400).batch(&rows.into_iter().collect::<Vec<_>>()).expect("right input")
}

#[test]
fn eighty_percent_of_chosen_tokens_are_masked_and_ten_random() {
    let before = batch(0..400);
    let MaskedBatch { batch: after, rows, targets } = masked(MaskSettings::default(), before.clone(), 1, 0);
    let (mut hidden, mut stayed, mut random) = (0, 0, 0);
    for (row, target) in rows.iter().map(|row| *row as usize).zip(&targets) {
        assert_eq!(before.ids[row], *target);
        assert!(*target >= SPECIAL, "a special token was chosen");
        match after.ids[row] {
            4 => hidden += 1,
            id if id == *target => stayed += 1,
            id => {
                assert!((SPECIAL..205).contains(&id), "{id} is no word");
                random += 1;
            }
        }
    }
    assert!(rows.is_sorted_by(|a, b| a < b));
    let unchosen = (0..before.ids.len()).filter(|row| !rows.contains(&(*row as u32)));
    assert!(unchosen.into_iter().all(|row| before.ids[row] == after.ids[row]));

    // Texts of two special tokens have nothing to mask. All others mask round(15 %) of their tokens, and at least one.
    let expected: usize = (0..400usize)
        .map(|id| id % 40)
        .map(|words| if words == 0 { 0 } else { ((words as f64 * 0.15).round() as usize).max(1) })
        .sum();
    assert_eq!(rows.len(), expected);
    let count = rows.len() as f64;
    for (got, share) in [(hidden, 0.8), (random, 0.1), (stayed, 0.1)] {
        // The tolerance is five standard deviations. A random word equals the word that it replaces once in 200 times.
        let spread = 5.0 * (share * (1.0 - share) / count).sqrt() + 0.1 / 200.0;
        assert!((f64::from(got) / count - share).abs() < spread, "{got} of {count}, expected {share}");
    }
}

#[test]
fn masks_depend_on_seed_epoch_and_sample_and_on_nothing_else() {
    let settings = MaskSettings::default();
    let whole = masked(settings, batch([5, 77, 30]), 3, 1);
    assert_eq!(masked(settings, batch([5, 77, 30]), 3, 1), whole);
    assert_ne!(masked(settings, batch([5, 77, 30]), 4, 1), whole);
    assert_ne!(masked(settings, batch([5, 77, 30]), 3, 2), whole);
    let alone = masked(settings, batch([77]), 3, 1);
    assert_eq!(whole.batch.ids[whole.batch.spans.range(1)], alone.batch.ids);
    // The same words in a sample with another id.
    let mut other = batch([77]);
    other.sample_ids = vec![78];
    assert_ne!(masked(settings, other, 3, 1).rows, alone.rows);
}

#[test]
fn each_share_does_what_it_says() {
    let all = |settings| masked(settings, batch(0..400), 1, 0);
    let chosen = all(MaskSettings { chosen: 0.5, ..MaskSettings::default() });
    assert!(chosen.rows.len() > 2 * all(MaskSettings::default()).rows.len());
    let hidden = all(MaskSettings { masked: 1.0, random: 0.0, ..MaskSettings::default() });
    assert!(hidden.rows.iter().all(|row| hidden.batch.ids[*row as usize] == 4));
    let unmasked = all(MaskSettings { masked: 0.0, random: 0.0, ..MaskSettings::default() });
    assert_eq!(unmasked.batch, batch(0..400));
}

#[test]
fn impossible_shares_and_a_tokenizer_without_a_mask_are_refused() {
    let refused = |settings| refused(model(settings, &tokenizer()));
    assert_eq!(refused(MaskSettings { chosen: 0.0, ..MaskSettings::default() }), "chosen");
    assert_eq!(refused(MaskSettings { masked: f64::NAN, ..MaskSettings::default() }), "masked");
    assert_eq!(refused(MaskSettings { random: -0.1, ..MaskSettings::default() }), "random");
    assert_eq!(refused(MaskSettings { random: 0.3, ..MaskSettings::default() }), "masked + random");

    let folder = tempfile::tempdir().expect("right input");
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}},
    });
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("right input");
    let maskless = TextTokenizer::from_dir(folder.path()).expect("right input");
    assert!(matches!(model(MaskSettings::default(), &maskless), Err(Error::Argument { name: "tokenizer", .. })));
}
