//! Stratified selection of held-out rows, which keeps rows with equal texts together.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::error::{Error, Result};

/// Assigns a number to each distinct value, from 0 in the order of first occurrence. Equal values have the same number.
pub(super) fn number_equal<T: Eq + Hash>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let mut numbers = HashMap::new();
    let number = |value| {
        let next = numbers.len();
        *numbers.entry(value).or_insert(next)
    };
    values.map(number).collect()
}

/// Rows of a data set from which a held-out set is selected, with the text and the class of each row.
#[derive(Debug)]
pub(super) struct HoldOut {
    /// Number that identifies the text of each row, from [`number_equal`]. Rows with equal texts have the same number.
    pub(super) texts: Vec<usize>,
    /// Class of each row; 0 for rows without classes.
    pub(super) classes: Vec<usize>,
    /// `true` to hold out at least one row of each class, even if its proportional share rounds to 0. The minimum is
    /// dropped if it would more than double the number of held-out rows.
    pub(super) at_least_one: bool,
}

impl HoldOut {
    /// Selects a `fraction` of the rows to hold out. Returns a list with `true` for each held-out row.
    ///
    /// Each class holds out its proportional share of the rows, rounded to a neighbouring integer. Rows with the same
    /// text are either all held out or all retained. At least one row of each class is retained.
    ///
    /// Texts are visited in random order. A text is held out if its rows fit into the remaining share of each class
    /// that they belong to. The number of different texts that a class holds out is limited to 1.5 times its share of
    /// texts. Without this limit, a frequent text that does not fit would cause nearly all other texts to be held out.
    /// If no text of a class fits, the class holds out its text with the fewest rows.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fraction is not between 0 and 1, or if no text can be held out because each is the
    /// only text of a class.
    pub(super) fn select<R: Rng + ?Sized>(&self, fraction: f64, rng: &mut R) -> Result<Vec<bool>> {
        let rows = self.texts.len();
        if !(fraction > 0.0 && fraction < 1.0) || rows < 2 {
            return Err(Error::argument(
                "fraction of validation rows",
                "between 0 and 1, of two or more rows",
                format!("{fraction} of {rows} rows"),
            ));
        }
        let count = ((rows as f64 * fraction).round() as usize).clamp(1, rows - 1);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|&row| (self.texts[row], self.classes[row]));
        let mut texts: Vec<&[usize]> = order.chunk_by(|left, right| self.texts[*left] == self.texts[*right]).collect();
        let different = texts.len();
        texts.shuffle(rng);
        let held = self.hold_texts(&texts, count, rng);
        if held.is_empty() {
            return Err(Error::argument(
                "data to split",
                "rows of which a text can be held out: equal texts stay together, and each class keeps a text (add \
                 different texts, or hold out rows of another file)",
                format!("{rows} rows of {different} different texts"),
            ));
        }
        let mut is_held = vec![false; rows];
        held.into_iter().flatten().for_each(|&row| is_held[row] = true);
        Ok(is_held)
    }

    /// Counts the rows of one text by class. `text` lists the rows, grouped by class. Returns pairs of a class and its
    /// number of rows.
    fn of_classes(&self, text: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        text.chunk_by(|left, right| self.classes[*left] == self.classes[*right])
            .map(|rows| (self.classes[rows[0]], rows.len()))
    }

    fn hold_texts<'a, R: Rng + ?Sized>(&self, texts: &[&'a [usize]], count: usize, rng: &mut R) -> Vec<&'a [usize]> {
        let classes = self.classes.iter().max().map_or(0, |last| last + 1);
        let (mut rest, mut texts_of) = (vec![0; classes], vec![0; classes]);
        for (class, rows) in texts.iter().flat_map(|text| self.of_classes(text)) {
            rest[class] += rows;
            texts_of[class] += 1;
        }
        let leaves_each_class =
            |text: &[usize], rest: &[usize]| self.of_classes(text).all(|(class, rows)| rows < rest[class]);
        let mut can_give = vec![false; classes];
        for text in texts.iter().filter(|text| leaves_each_class(text, &rest)) {
            self.of_classes(text).for_each(|(class, _)| can_give[class] = true);
        }
        let rows_of = rest.clone();
        let shares = self.shares(&rows_of, &can_give, count, rng);
        let most_texts: Vec<usize> = (0..classes)
            .map(|class| (3 * shares[class] * texts_of[class]).div_ceil(2 * rows_of[class].max(1)))
            .collect();

        let (mut held_rows, mut held_texts) = (vec![0; classes], vec![0; classes]);
        let mut is_held = vec![false; texts.len()];
        let mut hold = |place: usize, rest: &mut [usize], held_rows: &mut [usize], held_texts: &mut [usize]| {
            is_held[place] = true;
            for (class, rows) in self.of_classes(texts[place]) {
                rest[class] -= rows;
                held_rows[class] += rows;
                held_texts[class] += 1;
            }
        };
        for (place, text) in texts.iter().enumerate() {
            let fits = self
                .of_classes(text)
                .all(|(class, rows)| held_rows[class] + rows <= shares[class] && held_texts[class] < most_texts[class]);
            if fits && leaves_each_class(text, &rest) {
                hold(place, &mut rest, &mut held_rows, &mut held_texts);
            }
        }
        // Classes in which every text has more rows than the class's share.
        for class in 0..classes {
            if shares[class] == 0 || held_rows[class] > 0 {
                continue;
            }
            let of_class = |text: &[usize]| self.of_classes(text).any(|(of_text, _)| of_text == class);
            let candidates =
                texts.iter().enumerate().filter(|(_, text)| of_class(text) && leaves_each_class(text, &rest));
            if let Some((place, _)) = candidates.min_by_key(|(_, text)| text.len()) {
                hold(place, &mut rest, &mut held_rows, &mut held_texts);
            }
        }
        texts.iter().zip(is_held).filter(|(_, is_held)| *is_held).map(|(text, _)| *text).collect()
    }

    /// Computes the number of rows to hold out of each class. `rows` has the size of each class, and `count` is the
    /// total number of held-out rows. The proportional numbers are rounded so that their sum is `count`: the largest
    /// remainders are rounded up, ties at random. A class is always rounded down if `can_give` is `false` for it: no
    /// text of the class can be held out.
    fn shares<R: Rng + ?Sized>(&self, rows: &[usize], can_give: &[bool], count: usize, rng: &mut R) -> Vec<usize> {
        let all: usize = rows.iter().sum();
        let exact = |class: usize| rows[class] as u128 * count as u128;
        let mut shares: Vec<usize> = (0..rows.len()).map(|class| (exact(class) / all as u128) as usize).collect();
        let mut rounded_up: Vec<usize> = (0..rows.len()).filter(|class| can_give[*class]).collect();
        rounded_up.shuffle(rng);
        rounded_up.sort_by_key(|class| Reverse(exact(*class) % all as u128));
        rounded_up.truncate(count - shares.iter().sum::<usize>());
        rounded_up.into_iter().for_each(|class| shares[class] += 1);
        let empty: Vec<usize> = (0..rows.len()).filter(|class| can_give[*class] && shares[*class] == 0).collect();
        if self.at_least_one && empty.len() <= count {
            empty.into_iter().for_each(|class| shares[class] = 1);
        }
        shares
    }
}
