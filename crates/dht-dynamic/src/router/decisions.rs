//! Routing decisions for the texts of a batch: exits, heads and notes.

use dht_transformer::HeadSet;

use crate::error::{Error, Result};

/// Notes of a router on one text, which it writes at earlier exits and reads at later exits. No other code reads the
/// notes. They move with the text from batch to batch.
pub type Notes = Vec<f64>;

/// Exits that a router selected for the texts of a batch, with the router's notes on each text. Each table is indexed
/// by the text's place in the batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decisions {
    /// Exit index of each text; the last exit for texts without a decision yet.
    pub exits: Vec<usize>,
    /// Number of heads that each text keeps in all its groups of layers, if one decision selects this number for the
    /// whole route; otherwise empty.
    pub kept: Vec<usize>,
    /// Notes of the router on each text; empty until the router writes some.
    pub notes: Vec<Notes>,
    /// Log-probability of each class, for each text, at the last exit that read the text. A list is empty unless the
    /// router [reads answers](super::router::Router::reads_answers) to select heads.
    pub answers: Vec<Vec<f64>>,
}

impl Decisions {
    /// Builds decisions from the exit index of each text.
    pub fn leaving_at(exits: Vec<usize>) -> Self {
        Self { exits, ..Self::default() }
    }

    /// Mutable notes of the router on each text, such as the context of its decision. A router may write notes at any
    /// decision. No other code reads the notes. They move with their text through batches and queues.
    pub fn notes_mut(&mut self) -> &mut [Notes] {
        self.notes.resize(self.exits.len(), Notes::new());
        &mut self.notes
    }

    /// Stops a text at an exit. `text` is its index in the batch, one of
    /// [`ExitView::members`](super::ExitView::members).
    ///
    /// # Errors
    /// [`Error::Range`] if the batch does not have the text.
    pub fn leave(&mut self, text: usize, exit: usize) -> Result<()> {
        let below = self.exits.len();
        let missing = || Error::Range { what: "sample", got: text, below };
        *self.exits.get_mut(text).ok_or_else(missing)? = exit;
        Ok(())
    }
}

/// Samples that run a group of layers with the same attention heads.
#[derive(Debug, Clone)]
pub struct HeadSetGroup {
    /// Indices of the samples in the [`GroupView`](super::GroupView).
    pub samples: Vec<usize>,
    /// Heads that the samples keep.
    pub heads: HeadSet,
    /// Notes of the router on the selection of these heads; empty unless the router writes some.
    pub notes: Notes,
}

impl HeadSetGroup {
    /// Builds a group from the indices of its samples in the [`GroupView`](super::GroupView) and the heads that they
    /// keep.
    pub fn new(samples: Vec<usize>, heads: HeadSet) -> Self {
        Self { samples, heads, notes: Notes::new() }
    }
}

/// Attention heads that each sample keeps in a group of layers.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// Number of heads that each sample keeps, by index in the [`GroupView`](super::GroupView). The numbers are counted
    /// from the head sets unless the router sets them.
    pub kept: Vec<usize>,
    /// Samples grouped by head set. Together, the groups contain every index of the [`GroupView`](super::GroupView)
    /// once.
    pub head_sets: Vec<HeadSetGroup>,
    /// Notes of the router on each sample's number of heads; empty unless the router writes some.
    pub notes: Vec<Notes>,
    /// Notes of the router on each sample's head set; empty unless the router writes some.
    pub set_notes: Vec<Notes>,
}

impl GroupDecisions {
    /// Builds decisions from head-set groups, which together must contain every sample of a
    /// [`GroupView`](super::GroupView) once.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        Self { head_sets, ..Self::default() }
    }

    /// Records the number of heads that each of `samples` samples keeps, if the router did not.
    ///
    /// # Errors
    /// [`Error::Shape`] if the router's numbers of heads differ from the sizes of its head sets.
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
