//! Tests of the corpus against an independent classifier, and against its documentation.

use std::collections::BTreeSet;

use super::{BLOCK, Difficulty, GeneratedText};
use crate::data::Dataset;
use crate::data::generated::lexicon::{ADJECTIVES, ASPECTS, EFFECT_VERBS, OPINION_VERBS, SUBJECT_ADJECTIVES};

const ROWS: usize = 16_000;

/// Tokens of a word-level tokenizer.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in text.to_lowercase().chars() {
        if letter.is_alphanumeric() { spaced.push(letter) } else { spaced.extend([' ', letter, ' ']) }
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn opinion_word(word: &str) -> Option<usize> {
    (0..2).find(|&polarity| {
        ADJECTIVES[polarity].contains(&word)
            || SUBJECT_ADJECTIVES.iter().any(|lists| lists[polarity].contains(&word))
            || [OPINION_VERBS[polarity], EFFECT_VERBS[polarity]]
                .iter()
                .any(|verbs| verbs.iter().any(|verb| verb.base == word || verb.past == word))
    })
}

/// Classifies a text by rules that share only the lists of opinion words and nouns with the grammar. Clauses end at
/// marks and connectives. A clause with an opinion word is an opinion, inverted by any negation in the clause. The
/// majority of opinions is the verdict, and the first noun of an opinion is the subject.
fn read(text: &str) -> usize {
    let plain = words(text)
        .join(" ")
        .replace("not only", "")
        .replace("but also", "")
        .replace("not surprisingly", "")
        .replace("never mind", "")
        .replace("no doubt", "")
        .replace("even though", "though");
    let mut clauses = vec![Vec::new()];
    let tokens: Vec<&str> = plain.split_whitespace().collect();
    for (at, &word) in tokens.iter().enumerate() {
        match word {
            // "the plot and the cast were …" is one clause.
            "and" if tokens.get(at + 3) == Some(&"were") => {}
            "although" | "though" | "but" | "yet" | "," | ";" | "." | "!" | "and" => clauses.push(Vec::new()),
            _ => clauses.last_mut().expect("never empty").push(word),
        }
    }
    let opinions = clauses.iter().filter_map(|clause| {
        let polarity = clause.iter().find_map(|word| opinion_word(word))?;
        let negated = clause.iter().any(|word| ["not", "never", "hardly", "no", "far"].contains(word));
        let noun = clause.windows(3).map(|near| (near[0], near[1], near[2])).find_map(|(before, the, noun)| {
            let aside = the == "the" && ["after", "before", "during"].contains(&before);
            (0..2).find(|&subject| !aside && ASPECTS[subject].contains(&noun))
        });
        let first = clause.get(1).and_then(|noun| (0..2).find(|&subject| ASPECTS[subject].contains(noun)));
        Some((first.or(noun), if negated { 1 - polarity } else { polarity }))
    });
    let (subjects, verdicts): (Vec<Option<usize>>, Vec<usize>) = opinions.unzip();
    let complaints: usize = verdicts.iter().sum();
    let subject = subjects.into_iter().flatten().next().expect("an opinion is about something");
    2 * subject + usize::from(2 * complaints > verdicts.len())
}

#[test]
fn an_independent_classifier_finds_every_label() {
    for GeneratedText { text, label, difficulty } in GeneratedText::generate(ROWS, 11) {
        assert_eq!(read(&text), label, "{difficulty:?}: {text}");
    }
}

#[test]
fn a_row_depends_only_on_seed_and_row() {
    let long = GeneratedText::generate(300, 5);
    assert_eq!(long, GeneratedText::generate(300, 5));
    assert_eq!(long[..77], GeneratedText::generate(77, 5));
    let same = long.iter().zip(GeneratedText::generate(300, 6)).filter(|(one, other)| one.text == other.text).count();
    assert!(same < 3, "{same} of 300 rows are the same under another seed");
}

#[test]
fn every_block_contains_each_class_once_easy_and_once_not() {
    for block in GeneratedText::generate(ROWS, 3).chunks(BLOCK) {
        for label in 0..GeneratedText::LABELS.len() {
            for easy in [true, false] {
                let rows =
                    block.iter().filter(|row| row.label == label && (row.difficulty == Difficulty::Easy) == easy);
                assert_eq!(rows.count(), 1);
            }
        }
    }
}

#[test]
fn texts_and_vocabulary_contain_the_same_words() {
    let known: BTreeSet<String> = GeneratedText::vocabulary().into_iter().collect();
    assert!(known.len() >= 400, "{}", known.len());
    let used: BTreeSet<String> = GeneratedText::generate(2 * ROWS, 4).iter().flat_map(|row| words(&row.text)).collect();
    let unknown: Vec<_> = used.difference(&known).collect();
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unknown.is_empty() && unused.is_empty(), "unknown {unknown:?}, unused {unused:?}");
}

#[test]
fn the_two_verdicts_on_a_subject_use_the_same_words() {
    let rows = GeneratedText::generate(ROWS, 9);
    let used = |label: usize| -> BTreeSet<String> {
        rows.iter().filter(|row| row.label == label).flat_map(|row| words(&row.text)).collect()
    };
    for subject in 0..2 {
        let (praise, complaint) = (used(2 * subject), used(2 * subject + 1));
        let shared = praise.intersection(&complaint).count();
        assert!(shared * 100 >= praise.union(&complaint).count() * 95, "{shared}");
    }
    let (film, meal) = (used(0), used(2));
    assert!(film.intersection(&meal).count() * 100 >= film.union(&meal).count() * 90);
}

#[test]
fn counting_opinion_words_classifies_only_the_easy_texts() {
    let rows = GeneratedText::generate(ROWS, 8);
    let share_right = |difficulty: Difficulty| {
        let of_kind: Vec<_> = rows.iter().filter(|row| row.difficulty == difficulty).collect();
        let right: f64 = of_kind
            .iter()
            .map(|row| {
                let verdicts: Vec<usize> = words(&row.text).iter().filter_map(|word| opinion_word(word)).collect();
                let complaints: usize = verdicts.iter().sum();
                let praises = verdicts.len() - complaints;
                // A tie counts as half a correct answer.
                if complaints == praises { 0.5 } else { f64::from(usize::from(complaints > praises) == row.label % 2) }
            })
            .sum();
        right / of_kind.len() as f64
    };
    assert_eq!(share_right(Difficulty::Easy), 1.0);
    // 3,000 texts or more of a kind: one standard error is under .01.
    assert!((share_right(Difficulty::Middle) - 0.5).abs() < 0.04, "{}", share_right(Difficulty::Middle));
    assert!((share_right(Difficulty::Hard) - 0.5).abs() < 0.04, "{}", share_right(Difficulty::Hard));
}

#[test]
fn negations_indicate_the_difficulty_and_not_the_class() {
    const SIGNS: [&str; 5] = ["not", "never", "hardly", "far", "no"];
    let rows = GeneratedText::generate(ROWS, 7);
    let signed: Vec<_> =
        rows.iter().filter(|row| words(&row.text).iter().any(|word| SIGNS.contains(&word.as_str()))).collect();
    let not_easy = signed.iter().filter(|row| row.difficulty != Difficulty::Easy).count();
    assert!(not_easy * 100 >= 93 * ROWS / 2, "nearly every text that is not easy has a sign, {not_easy}");
    assert!(signed.len() - not_easy > 100, "some easy texts have one too");
    assert!(not_easy as f64 / signed.len() as f64 > 0.85);
    for label in 0..GeneratedText::LABELS.len() {
        let share = signed.iter().filter(|row| row.label == label).count() as f64 / signed.len() as f64;
        assert!((share - 0.25).abs() < 0.02, "{label}: {share}");
    }
}

#[test]
fn a_text_of_one_seed_is_rarely_found_under_another() {
    let train: BTreeSet<String> = GeneratedText::generate(ROWS, 1).into_iter().map(|row| row.text).collect();
    assert!(train.len() * 100 >= ROWS * 98, "{} different texts", train.len());
    let test = GeneratedText::generate(4_000, 2);
    let seen: Vec<_> = test.iter().filter(|row| train.contains(&row.text)).collect();
    assert!(seen.len() < 80, "{} of 4,000", seen.len());
    assert!(seen.iter().all(|row| row.difficulty != Difficulty::Hard));
}

#[test]
fn most_texts_have_eight_to_thirty_words() {
    let lengths: Vec<usize> = GeneratedText::generate(ROWS, 10).iter().map(|row| words(&row.text).len()).collect();
    let typical = lengths.iter().filter(|&&length| (8..=30).contains(&length)).count();
    assert!(typical * 100 >= ROWS * 85, "{typical}");
    assert!(lengths.iter().all(|&length| (4..=45).contains(&length)));
    let mean = lengths.iter().sum::<usize>() as f64 / ROWS as f64;
    assert!((12.0..16.0).contains(&mean), "{mean}");
}

#[test]
fn noise_changes_the_stated_share_of_labels_and_no_text() {
    let clean = GeneratedText::generate(ROWS, 12);
    let share_wrong = |per_thousand| {
        let noisy = GeneratedText::generate_noisy(ROWS, 12, per_thousand);
        assert!(
            clean
                .iter()
                .zip(&noisy)
                .all(|(one, other)| one.text == other.text && other.label < GeneratedText::LABELS.len())
        );
        clean.iter().zip(&noisy).filter(|(one, other)| one.label != other.label).count() as f64 / ROWS as f64
    };
    // Four standard errors of a share of .05 in 16,000 rows are .007.
    assert!((share_wrong(50) - 0.05).abs() < 0.007);
    assert_eq!(share_wrong(1000), 1.0);
    assert_eq!(share_wrong(0), 0.0);
}

#[test]
fn a_data_set_has_the_same_texts_and_classes() {
    let (data, texts) = (Dataset::generated(20, 13).expect("rows"), GeneratedText::generate(20, 13));
    assert_eq!(data.labels, GeneratedText::LABELS);
    assert_eq!(data.len(), 20);
    for (example, text) in data.examples.iter().zip(&texts) {
        assert_eq!((&example.text, example.label), (&text.text, text.label));
    }
    assert!(Dataset::generated(0, 13).is_err());
}
