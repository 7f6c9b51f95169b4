//! Routing decisions for the texts of a batch: exits, attention heads, and values that the router stores for each text.

use dht_transformer::HeadSet;

use crate::error::{Error, Result};

/// Values that a router stores for one text at an exit and reads again at later exits. No other code reads them. They
/// stay with the text when it moves to another batch.
pub type Notes = Vec<f64>;

/// Exits that a router selected for the texts of a batch, with the values that it stored for each text. Each table is
/// indexed by the text's position in the batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decisions {
    /// Index of the exit that was selected for each text. Texts that have not been decided yet have the index of the
    /// last exit.
    pub exits: Vec<usize>,
    /// Number of attention heads that each text keeps in all its layers. Empty unless one decision selects this number
    /// for the whole route.
    pub kept: Vec<usize>,
    /// Values that the router stored for each text; empty until it stores any.
    pub notes: Vec<Notes>,
    /// Log-probabilities of each text's classes at the last exit that was evaluated for it. Empty unless the router
    /// [reads log-probabilities](super::router::Router::reads_answers) to select attention heads.
    pub answers: Vec<Vec<f64>>,
}

impl Decisions {
    /// Creates decisions from the exit index of each text.
    pub fn leaving_at(exits: Vec<usize>) -> Self {
        Self { exits, ..Self::default() }
    }

    /// Values that the router stored for each text, such as the context of its decision. A router may store values at
    /// any decision. No other code reads them. They move with their text through batches and queues.
    pub fn notes_mut(&mut self) -> &mut [Notes] {
        self.notes.resize(self.exits.len(), Notes::new());
        &mut self.notes
    }

    /// Stops a text at an exit. `text` is its index in the batch, one of
    /// [`ExitView::members`](super::ExitView::members).
    ///
    /// # Errors
    /// [`Error::Range`] if `text` is not an index of the batch.
    pub fn leave(&mut self, text: usize, exit: usize) -> Result<()> {
        let below = self.exits.len();
        let missing = || Error::Range { what: "sample", got: text, below };
        *self.exits.get_mut(text).ok_or_else(missing)? = exit;
        Ok(())
    }
}

/// Texts that run a group of layers with the same attention heads.
#[derive(Debug, Clone)]
pub struct HeadSetGroup {
    /// Indices of the texts in the [`GroupView`](super::GroupView).
    pub samples: Vec<usize>,
    /// Attention heads that the texts keep.
    pub heads: HeadSet,
    /// Values that the router stored about the selection of these heads; empty unless it stored any.
    pub notes: Notes,
}

impl HeadSetGroup {
    /// Creates a group from the indices of its texts in the [`GroupView`](super::GroupView), and the attention heads
    /// that they keep.
    pub fn new(samples: Vec<usize>, heads: HeadSet) -> Self {
        Self { samples, heads, notes: Notes::new() }
    }
}

/// Attention heads that each text keeps in a group of layers.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// Number of attention heads that each text keeps, by index in the [`GroupView`](super::GroupView). The numbers are
    /// counted from the head sets unless the router sets them.
    pub kept: Vec<usize>,
    /// Texts, grouped by the set of attention heads that they keep. Together, the groups contain every index of the
    /// [`GroupView`](super::GroupView) once.
    pub head_sets: Vec<HeadSetGroup>,
    /// Values that the router stored about each text's number of heads; empty unless it stored any.
    pub notes: Vec<Notes>,
    /// Values that the router stored about each text's set of heads; empty unless it stored any.
    pub set_notes: Vec<Notes>,
}

impl GroupDecisions {
    /// Creates decisions from groups of texts with the same attention heads. Together, the groups must contain every
    /// text of a [`GroupView`](super::GroupView) once.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        Self { head_sets, ..Self::default() }
    }

    /// Sets the number of attention heads that each of `samples` texts keeps, unless the router has set it.
    ///
    /// # Errors
    /// [`Error::Shape`] if the router set numbers that differ from the sizes of its head sets.
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
