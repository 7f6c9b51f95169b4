//! Grammar that generates a review with a requested verdict (praise or complaint).
//!
//! The grammar has three kinds of clauses. An *opinion* has one opinion word, negated or not. A *scene* has no
//! judgement, but may contain a negation as a decoy. A *tally* lists several judgements of one thing; the verdict is
//! that of the majority.

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::difficulty::Difficulty;
use super::lexicon::{
    ADJECTIVE_NEGATIONS, ADJECTIVES, ASIDES, ASPECTS, BASE_NEGATIONS, CONCESSIONS, DEEDS, DEGREES, EFFECT_VERBS,
    EXPERIENCERS, HOLDERS, JOINTS, OCCASIONS, OPENINGS, OPINION_VERBS, PAST_NEGATIONS, PEOPLE, STATES,
    SUBJECT_ADJECTIVES, SURROUNDINGS, TURNS, Verb,
};

/// Writer of one generated review. It holds the phrases written so far, and a random generator seeded for this review.
pub(super) struct Writer<'a> {
    rng: &'a mut ChaCha8Rng,
    phrases: Vec<&'static str>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(rng: &'a mut ChaCha8Rng) -> Self {
        Self { rng, phrases: Vec::with_capacity(24) }
    }

    /// Writes a review of `subject` (0 film, 1 meal) whose verdict is `polarity` (0 praise, 1 complaint).
    pub(super) fn write(mut self, difficulty: Difficulty, subject: usize, polarity: usize) -> String {
        let turned_round = difficulty == Difficulty::Middle && self.chance(0.5);
        // A middle text without a negated opinion has a negation elsewhere: "not" alone must not predict anything.
        let decoy_needed = difficulty == Difficulty::Middle && !turned_round;
        let not_only = decoy_needed && self.chance(0.1);
        let has_scene = (decoy_needed && !not_only)
            || self.chance(match difficulty {
                Difficulty::Easy => 0.55,
                Difficulty::Middle => 0.6,
                Difficulty::Hard => 0.1,
            });
        let scene_negated = (decoy_needed && !not_only) || (difficulty != Difficulty::Easy && self.chance(0.5));
        let scene_first = self.chance(0.25);

        if has_scene && scene_first {
            self.scene(scene_negated);
            let joint = if self.chance(0.1) { self.pick(TURNS) } else { self.pick(JOINTS) };
            self.say(joint);
        }
        if self.chance(0.06) {
            let opening = self.pick(OPENINGS);
            self.say(opening);
            self.say(",");
        }
        if self.chance(0.1) {
            self.circumstance(subject);
            self.say(",");
        }
        match difficulty {
            Difficulty::Easy => {
                self.opinion(subject, polarity, false);
                if self.chance(0.15) {
                    self.say("and");
                    self.opinion(subject, polarity, false);
                }
            }
            Difficulty::Middle if not_only => self.not_only(subject, polarity),
            Difficulty::Middle => self.opinion(subject, polarity, turned_round),
            Difficulty::Hard => self.tally(subject, polarity),
        }
        // Without a scene the clause would often be short enough to occur twice.
        if self.chance(if has_scene { 0.25 } else { 0.7 }) {
            self.circumstance(subject);
        }
        if has_scene && !scene_first {
            let joint = if self.chance(0.1) { self.pick(CONCESSIONS) } else { self.pick(JOINTS) };
            self.say(joint);
            self.scene(scene_negated);
        }
        let end = if self.chance(0.1) { "!" } else { "." };
        self.say(end);
        render(&self.phrases)
    }

    fn say(&mut self, phrase: &'static str) {
        self.phrases.push(phrase);
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.rng.random_range(0..list.len())]
    }

    /// Draws a word from a list. Words at the beginning of the list are more frequent, as in natural text.
    fn pick_common<T: Copy>(&mut self, list: &[T]) -> T {
        let position: f64 = self.rng.random();
        let at = (position * position * list.len() as f64) as usize;
        list[at.min(list.len() - 1)]
    }

    fn verb(&mut self, list: &'static [Verb]) -> &'static Verb {
        &list[self.rng.random_range(0..list.len())]
    }

    /// Writes a clause with three or five judgements of one thing. A judgement is an opinion word, or a negated word of
    /// the opposite opinion. The majority of the judgements has the verdict `polarity`.
    fn tally(&mut self, subject: usize, polarity: usize) {
        let count = if self.chance(0.3) { 5 } else { 3 };
        let dissenting = self.rng.random_range(0..=count / 2);
        let mut verdicts = [polarity; 5];
        verdicts[..dissenting].fill(1 - polarity);
        verdicts[..count].shuffle(self.rng);
        self.aspect(subject);
        self.say("was");
        for (index, verdict) in verdicts[..count].iter().enumerate() {
            if index > 0 {
                self.say(if index + 1 == count { "and" } else { "," });
            }
            let negated = self.chance(0.5);
            self.negation(ADJECTIVE_NEGATIONS, negated);
            self.adjective(subject, if negated { 1 - verdict } else { *verdict });
        }
    }

    /// Writes a clause with one opinion whose verdict is `polarity`: an opinion word of this polarity, or a negated
    /// word of the other polarity.
    fn opinion(&mut self, subject: usize, polarity: usize, negated: bool) {
        let word_polarity = if negated { 1 - polarity } else { polarity };
        match self.rng.random_range(0..if negated { 16 } else { 20 }) {
            0..=9 => {
                self.aspect(subject);
                if self.chance(0.12) {
                    self.say("and");
                    self.aspect(subject);
                    self.say("were");
                } else {
                    self.say("was");
                }
                self.negation(ADJECTIVE_NEGATIONS, negated);
                self.adjective(subject, word_polarity);
            }
            10..=12 => {
                let holder = self.pick(HOLDERS);
                self.say(holder);
                let verb = self.verb(OPINION_VERBS[word_polarity]);
                self.maybe_negated_verb(verb, negated);
                self.aspect(subject);
            }
            13..=15 => {
                self.aspect(subject);
                let verb = self.verb(EFFECT_VERBS[word_polarity]);
                self.maybe_negated_verb(verb, negated);
                let experiencer = self.pick(EXPERIENCERS);
                self.say(experiencer);
            }
            // Never negated: "not" would be far from the word that it inverts.
            16..=17 => {
                let holder = self.pick(HOLDERS);
                self.say(holder);
                self.say("found");
                self.aspect(subject);
                self.adjective(subject, word_polarity);
            }
            _ => {
                let holder = self.pick(HOLDERS);
                self.say(holder);
                self.say("would call");
                self.aspect(subject);
                self.adjective(subject, word_polarity);
            }
        }
    }

    /// Writes an opinion with a "not" that does not invert it: "the plot was not only witty but also superb".
    fn not_only(&mut self, subject: usize, polarity: usize) {
        self.aspect(subject);
        self.say("was");
        self.say("not only");
        self.adjective(subject, polarity);
        self.say("but also");
        self.adjective(subject, polarity);
    }

    fn maybe_negated_verb(&mut self, verb: &Verb, negated: bool) {
        if !negated {
            self.say(verb.past);
        } else if self.chance(0.6) {
            self.negation(BASE_NEGATIONS, true);
            self.say(verb.base);
        } else {
            self.negation(PAST_NEGATIONS, true);
            self.say(verb.past);
        }
    }

    fn negation(&mut self, list: &[&'static str], negated: bool) {
        if negated {
            let negation = self.pick(list);
            self.say(negation);
        }
    }

    fn aspect(&mut self, subject: usize) {
        self.say("the");
        let aspect = self.pick_common(ASPECTS[subject]);
        self.say(aspect);
    }

    fn adjective(&mut self, subject: usize, polarity: usize) {
        if self.chance(0.2) {
            let degree = self.pick(DEGREES);
            self.say(degree);
        }
        let own = self.chance(0.1);
        let list = if own { SUBJECT_ADJECTIVES[subject][polarity] } else { ADJECTIVES[polarity] };
        let adjective = self.pick_common(list);
        self.say(adjective);
    }

    /// Writes a clause without a judgement, such as "the street was not busy".
    fn scene(&mut self, negated: bool) {
        if self.chance(0.5) {
            let person = self.pick(PEOPLE);
            self.say(person);
            let deed = self.verb(DEEDS);
            self.maybe_negated_verb(deed, negated);
        } else {
            self.say("the");
            let place = self.pick(SURROUNDINGS);
            self.say(place);
            self.say("was");
            self.negation(ADJECTIVE_NEGATIONS, negated);
            if self.chance(0.3) {
                let degree = self.pick(DEGREES);
                self.say(degree);
            }
            let state = self.pick(STATES);
            self.say(state);
        }
    }

    /// Writes a time or place. In a fifth of the cases it contains a noun of the other subject (film or meal), so that
    /// a noun alone does not reveal the subject of the review.
    fn circumstance(&mut self, subject: usize) {
        if self.chance(0.2) {
            let aside = self.pick(ASIDES);
            self.say(aside);
            let other = self.pick(ASPECTS[1 - subject]);
            self.say(other);
        } else {
            let occasion = self.pick(OCCASIONS);
            self.say(occasion);
        }
    }
}

/// Joins phrases to a text: no space before a punctuation mark, a capital after a full stop and for "I".
fn render(phrases: &[&str]) -> String {
    let mut text = String::with_capacity(128);
    let mut capital = true;
    for word in phrases.iter().flat_map(|phrase| phrase.split(' ')) {
        let is_mark = word.chars().all(|letter| letter.is_ascii_punctuation());
        if !is_mark && !text.is_empty() {
            text.push(' ');
        }
        if (capital || word == "i") && !is_mark {
            text.extend(word.chars().take(1).map(|letter| letter.to_ascii_uppercase()));
            text.extend(word.chars().skip(1));
        } else {
            text.push_str(word);
        }
        capital = matches!(word, "." | "!");
    }
    text
}
