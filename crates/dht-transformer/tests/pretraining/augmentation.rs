//! Augmentation: words are replaced by the most probable words of a model, or by the words with the nearest vectors.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use dht_toys::{Outcome, config, encoder, refused, rng, run, sample};
use dht_transformer::data::{MaskSettings, WordVectors};
use dht_transformer::tasks::{Augmentation, AugmentationSettings};
use dht_transformer::{
    BertConfig, EncodedDataset, Error, ForwardContext, MaskedLanguageModel, PackedBatch, Sample, TextTokenizer,
};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 9] = ["fine", "good", "bad", "play", "##ing", "##er", ".", "7", "chess"];

fn tokenizer() -> Result<TextTokenizer, Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let words = [&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], &WORDS[..]].concat();
    std::fs::write(folder.path().join("vocab.txt"), words.join("\n")).expect("a file");
    TextTokenizer::from_dir(folder.path())
}

fn model() -> Result<MaskedLanguageModel, Error> {
    let rng = &mut rng(5);
    let config = BertConfig { max_position_embeddings: 16, ..config([2, 2, 16, 5 + WORDS.len()], 0.5) };
    MaskedLanguageModel::new(encoder(&config, rng), &tokenizer()?, MaskSettings::default(), rng)
}

fn text(id: u64, words: &[&str]) -> Sample {
    let tokenizer = tokenizer().expect("a vocabulary");
    let ids = [&["[CLS]"], words, &["[SEP]"]].concat();
    sample(id, id as u32 % 2, ids.iter().map(|word| tokenizer.token_id(word).expect("a word")))
}

fn data(samples: Vec<Sample>) -> EncodedDataset {
    dht_toys::data(["a", "b"], samples)
}

fn settings() -> AugmentationSettings {
    AugmentationSettings { copies: 1, candidates: 1, replaced: 1.0, max_length: 16 }
}

fn generator() -> ChaCha8Rng {
    rng(2)
}

/// Most probable replacements of a token that consist of letters, computed for each text and position separately.
fn most_probable(model: &MaskedLanguageModel, sample: &Sample, token: usize, count: usize) -> Result<Vec<u32>, Error> {
    let tokenizer = tokenizer()?;
    let mut masked = sample.clone();
    let own = std::mem::replace(&mut masked.encoding.ids[token], tokenizer.mask_token().expect("a mask"));
    let (batch, ctx) = (PackedBatch::from_samples([&masked])?, ForwardContext::inference());
    let hidden = run(model.encoder(), &batch, &ctx)?;
    let row = hidden.tensor().index_select(&Tensor::new(&[token as u32], &Device::Cpu)?, 0)?;
    let logits: Vec<f32> = model.logits(&row, &ctx)?.squeeze(0)?.to_vec1()?;
    let mut words: Vec<u32> =
        ["fine", "good", "bad", "play", "chess"].map(|word| tokenizer.token_id(word).expect("a word")).into();
    words.retain(|word| *word != own);
    words.sort_by(|left, right| logits[*right as usize].total_cmp(&logits[*left as usize]));
    words.truncate(count);
    Ok(words)
}

#[test]
fn words_of_one_token_become_the_most_probable_others() -> Outcome {
    let (tokenizer, model) = (tokenizer()?, model()?);
    let texts = data(vec![text(3, &["fine", ".", "chess", "bad"]), text(9, &["play", "##ing", "7", "good"])]);
    let augmentation = Augmentation::new(&tokenizer, settings())?.with_model(&model)?;
    let augmented = augmentation.augment(&texts, &mut generator())?;
    assert_eq!(augmented.samples[..2], texts.samples);
    assert_eq!(
        augmented.samples.iter().map(|sample| (sample.id, sample.label)).collect::<Vec<_>>(),
        [(3, 1), (9, 1), (10, 1), (11, 1)]
    );
    for (sample, copy, places) in [(0, 2, &[1, 3, 4][..]), (1, 3, &[4])] {
        let mut expected = texts.samples[sample].encoding.ids.clone();
        for place in places {
            expected[*place] = most_probable(&model, &texts.samples[sample], *place, 1)?[0];
        }
        assert_eq!(augmented.samples[copy].encoding.ids, expected);
    }

    // With several candidates, each occurs, and no other word does.
    let several = AugmentationSettings { copies: 200, candidates: 2, replaced: 0.5, ..settings() };
    let augmented = Augmentation::new(&tokenizer, several)?.with_model(&model)?.augment(&texts, &mut generator())?;
    for place in [1, 3, 4] {
        let copies = augmented.samples[2..].iter().filter(|copy| copy.label == 1 && copy.encoding.ids.len() == 6);
        let seen: BTreeSet<u32> =
            copies.filter(|copy| copy.encoding.ids[2] == 11).map(|copy| copy.encoding.ids[place]).collect();
        let mut expected: BTreeSet<u32> = most_probable(&model, &texts.samples[0], place, 2)?.into_iter().collect();
        expected.insert(texts.samples[0].encoding.ids[place]);
        assert_eq!(seen, expected);
    }
    let again = Augmentation::new(&tokenizer, several)?.with_model(&model)?.augment(&texts, &mut generator())?;
    assert_eq!(again, augmented, "the same seed, the same copies");
    let texts: BTreeSet<&Vec<u32>> = augmented.samples.iter().map(|sample| &sample.encoding.ids).collect();
    assert_eq!(texts.len(), augmented.len(), "no copy twice");
    Ok(())
}

#[test]
fn word_vectors_replace_words_by_their_nearest_neighbours() -> Outcome {
    let (tokenizer, model) = (tokenizer()?, model()?);
    let file = "playing 1 0\nplayer 0.9 0.1\nchess 0.8 0.2\nfine 0 1\ngood 0.1 1\nunheard 0.05 1\n";
    let vectors = WordVectors::read_from("vectors.txt", file.as_bytes())?;
    let pair = |sample: &mut Sample| sample.encoding.type_ids = vec![0, 0, 0, 1, 1, 1];
    let mut texts = vec![text(0, &["play", "##ing", ".", "fine"]), text(1, &["fine"])];
    pair(&mut texts[0]);
    let by_vectors = |settings| Ok::<_, Error>(Augmentation::new(&tokenizer, settings)?.with_vectors(&vectors));
    let words = |sample: &Sample| -> Vec<String> {
        sample.encoding.ids.iter().map(|id| tokenizer.token(*id).expect("a token")).collect()
    };
    // Words outside of the vocabulary are not candidates: fine becomes good, not "unheard".
    let augmented = by_vectors(AugmentationSettings { candidates: 2, ..settings() })?
        .augment(&data(texts.clone()), &mut generator())?;
    assert_eq!(words(&augmented.samples[3]), ["[CLS]", "good", "[SEP]"]);
    let augmented = by_vectors(settings())?.augment(&data(texts.clone()), &mut generator())?;
    assert_eq!(words(&augmented.samples[2]), ["[CLS]", "play", "##er", ".", "fine", "[SEP]"]);
    assert_eq!(augmented.samples[2].encoding.type_ids, [0, 0, 0, 1, 1, 1]);
    assert_eq!(augmented.len(), 3, "the nearest of fine is not in the vocabulary");

    // A word of two tokens may become a word of one token; the reverse is not possible without space.
    let chess = data(vec![text(0, &["chess"]), text(1, &["chess", "play", "##er"])]);
    let longer = by_vectors(AugmentationSettings { max_length: 4, ..settings() })?.augment(&chess, &mut generator())?;
    assert_eq!(words(&longer.samples[2]), ["[CLS]", "play", "##er", "[SEP]"]);
    let none = by_vectors(AugmentationSettings { max_length: 3, ..settings() })?.augment(&chess, &mut generator())?;
    assert!(none.samples[2..].iter().all(|copy| copy.label == 1), "{none:?}");

    // With a model and vectors, vectors are used for words of several tokens.
    let both = by_vectors(settings())?.with_model(&model)?.augment(&data(texts.clone()), &mut generator())?;
    assert_eq!(words(&both.samples[2])[1..3], ["play", "##er"]);
    assert_eq!(both.samples[2].encoding.ids[4], most_probable(&model, &texts[0], 4, 1)?[0]);
    Ok(())
}

#[test]
fn what_cannot_be_augmented_is_refused() -> Outcome {
    let tokenizer = tokenizer()?;
    let texts = data(vec![text(0, &["fine"])]);
    for (wrong, expected) in [
        (AugmentationSettings { copies: 0, ..settings() }, "copies"),
        (AugmentationSettings { candidates: 0, ..settings() }, "candidates"),
        (AugmentationSettings { max_length: 0, ..settings() }, "max_length"),
        (AugmentationSettings { replaced: 0.0, ..settings() }, "replaced"),
        (AugmentationSettings { replaced: f64::NAN, ..settings() }, "replaced"),
    ] {
        assert_eq!(refused(Augmentation::new(&tokenizer, wrong)), expected);
    }
    let neither = Augmentation::new(&tokenizer, settings())?.augment(&texts, &mut generator());
    assert_eq!(refused(neither), "augmentation");
    let model = model()?;
    let more = TextTokenizer::from_vocabulary(&(0..50).map(|word| format!("w{word}")).collect::<Vec<_>>())?;
    assert_eq!(refused(Augmentation::new(&more, settings())?.with_model(&model)), "vocab_size");
    let long = data(vec![text(4, &["fine"; 15])]);
    let augmentation = Augmentation::new(&tokenizer, settings())?.with_model(&model)?;
    assert_eq!(refused(augmentation.augment(&long, &mut generator())), "tokens");
    // A text without words has no copies.
    assert_eq!(augmentation.augment(&data(vec![text(0, &[".", "7"])]), &mut generator())?.len(), 1);
    Ok(())
}
