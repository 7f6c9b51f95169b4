//! dht-search

mod cost;
mod error;
mod layout;
mod measured;
mod notation;
mod presets;
mod report;
mod reward;
mod route;
mod space;
mod space_config;

pub use cost::{CostModel, FlopsCost, LayerHeadCount, WidthCoupling};
pub use error::{Error, Result};
pub use measured::{LayerSeconds, MeasuredCost};
pub use notation::{RouteSpec, Segment};
pub use presets::{
    DEPTH_PYRAMID, FROZEN_LAYERS, FULL_EPOCHS_BEFORE_FREEZING, HEAD_SET_PYRAMID, HEADS_PYRAMID, OpenSettings,
    PerBandit, PoolingPyramid, Preset, SevenLayerHeads, exits, head_options, pinned_heads,
};
pub use report::{
    CurveRecorder, Curves, DataRecord, DifficultyResult, DynamicResult, GroupHeads, LayerHeadRatios, LossCurve,
    Machine, ModelRecord, ModelResult, OperatingPoint, RecordProblem, RouteCounts, RunRecord, SetCount,
};
pub use reward::{Delta, HeadFeedback, Reward, RewardMemory, RewardReference, RewardRule, RewardShape, SMALLEST_LOSS};
pub use route::{GroupRole, LayerGroup, Route, RouteGroup, Stack};
pub use space::{RouteArms, SearchSpace};
pub use space_config::{BaseState, Search, SpaceConfig};
