//! Head router that keeps all heads, for search spaces without a choice of heads.

use dht_dynamic::Router;
use dht_dynamic::router::{GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_transformer::HeadSet;

use super::learner::Learner;
use crate::error::Result;
use crate::space::SearchSpace;

/// Head router that keeps all heads. It neither pools hidden states nor learns, so that its cost is 0.
#[derive(Debug, Clone)]
pub(super) struct FullHeads {
    heads: HeadSet,
}

impl FullHeads {
    /// Creates the router for a tree search space in which every group of layers keeps all heads; `None` for other
    /// spaces.
    pub(super) fn of_space(space: &SearchSpace) -> Result<Option<Self>> {
        let heads = space.model_shape().heads;
        let full = space.is_tree() && (0..space.groups().len()).all(|group| space.head_options(group) == [heads]);
        Ok(if full { Some(Self { heads: HeadSet::full(heads)? }) } else { None })
    }
}

impl Router for FullHeads {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn heads(&self, view: &GroupView<'_>, _: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let all = HeadSetGroup::new((0..view.members.len()).collect(), self.heads);
        Ok(Some(GroupDecisions::new(vec![all])))
    }
}

impl Learner for FullHeads {
    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}
