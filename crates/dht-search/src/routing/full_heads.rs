//! Head router that keeps all heads, for spaces without a choice of heads.

use dht_transformer::HeadSet;
use rand::Rng;

use super::head_router::{GroupView, HeadRouter};
use super::mode::Mode;
use super::trace::{GroupDecisions, HeadSetGroup};
use crate::error::Result;
use crate::space::SearchSpace;

/// Head router that keeps all heads. This router pools no state and does not learn, so that selecting heads costs
/// nothing.
#[derive(Debug, Clone)]
pub(super) struct FullHeads {
    heads: HeadSet,
}

impl FullHeads {
    /// The head router of a tree space in which every group keeps all heads; `None` for other spaces.
    pub(super) fn of_space(space: &SearchSpace) -> Result<Option<Self>> {
        let heads = space.model_shape().heads;
        let full = space.is_tree() && (0..space.groups().len()).all(|group| space.head_options(group) == [heads]);
        Ok(if full { Some(Self { heads: HeadSet::full(heads)? }) } else { None })
    }
}

impl HeadRouter for FullHeads {
    fn decide(&self, view: &GroupView<'_>, _: Mode, _: &mut dyn Rng) -> Result<GroupDecisions> {
        Ok(GroupDecisions::new(vec![HeadSetGroup::new((0..view.members.len()).collect(), self.heads)]))
    }

    fn keeps_all(&self) -> bool {
        true
    }

    fn box_clone(&self) -> Box<dyn HeadRouter> {
        Box::new(self.clone())
    }
}
