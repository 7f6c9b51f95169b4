//! Decisions about the texts of a batch.

use dht_transformer::HeadSet;

use crate::error::{Error, Result};

/// A router's notes on one text, written at earlier exits and used at later ones. No other code reads the notes; they
/// move with the text from batch to batch.
pub type Notes = Vec<f64>;

/// The exit of each text of a batch, and what its routers noted. Tables are by index in the batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decisions {
    /// The index of each text's exit: the last exit for texts without a decision yet.
    pub exits: Vec<usize>,
    /// The number of heads that each text keeps in all its groups of layers, where one decision selects it for the
    /// whole route; otherwise empty.
    pub kept: Vec<usize>,
    /// The notes of the router on each text; empty until it writes some.
    pub notes: Vec<Notes>,
    /// ln p of each class at the last exit that read the text; empty unless the choice of heads
    /// [reads it](super::router::Router::reads_answers).
    pub answers: Vec<Vec<f64>>,
}

impl Decisions {
    /// Decisions in which each text leaves at the exit of this index.
    pub fn leaving_at(exits: Vec<usize>) -> Self {
        Self { exits, ..Self::default() }
    }

    /// The notes of the router on each text, such as the context of its decision, to be written at any decision. No
    /// other code reads them; they move with their text through batches and queues.
    pub fn notes_mut(&mut self) -> &mut [Notes] {
        self.notes.resize(self.exits.len(), Notes::new());
        &mut self.notes
    }

    /// Lets a text leave at an exit. `text` is its index in the batch, one of
    /// [`ExitView::members`](super::ExitView::members).
    ///
    /// # Errors
    /// [`Error::Range`] for a text that is not in the batch.
    pub fn leave(&mut self, text: usize, exit: usize) -> Result<()> {
        let below = self.exits.len();
        let missing = || Error::Range { what: "sample", got: text, below };
        *self.exits.get_mut(text).ok_or_else(missing)? = exit;
        Ok(())
    }
}

/// Samples that run a group of layers with the same heads.
#[derive(Debug, Clone)]
pub struct HeadSetGroup {
    /// The indices of the samples in the group's view.
    pub samples: Vec<usize>,
    /// The heads that the samples keep.
    pub heads: HeadSet,
    /// The notes of the router on this choice; empty unless it writes some.
    pub notes: Notes,
}

impl HeadSetGroup {
    /// Builds a group of the samples with these indices in the group's view, which keep these heads.
    pub fn new(samples: Vec<usize>, heads: HeadSet) -> Self {
        Self { samples, heads, notes: Notes::new() }
    }
}

/// The heads that each sample keeps in a group of layers.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// The number of kept heads, by index in the view; counted from the head sets unless the router gives it.
    pub kept: Vec<usize>,
    /// The samples by head set; together the groups contain every index once.
    pub head_sets: Vec<HeadSetGroup>,
    /// The notes of the router on each sample's number of heads; empty unless it writes some.
    pub notes: Vec<Notes>,
    /// The notes of the router on each sample's head set; empty unless it writes some.
    pub set_notes: Vec<Notes>,
}

impl GroupDecisions {
    /// Combines head-set groups, which together must contain every sample of a view once.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        Self { head_sets, ..Self::default() }
    }

    /// Records the number of heads that each of `samples` samples keeps, if the router did not.
    ///
    /// # Errors
    /// [`Error::Shape`] for numbers of the router that are not those of its head sets.
    pub(crate) fn count_kept(&mut self, samples: usize) -> Result<()> {
        let mut kept = vec![0; samples];
        for set in &self.head_sets {
            set.samples.iter().for_each(|index| kept[*index] = set.heads.len());
        }
        if !(self.kept.is_empty() || self.kept == kept) {
            return Err(Error::shape(
                "heads kept",
                format!("those of the head sets, {kept:?}"),
                format!("{:?}", self.kept),
            ));
        }
        self.kept = kept;
        Ok(())
    }
}
