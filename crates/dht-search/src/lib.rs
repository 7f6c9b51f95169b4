//! dht-search

mod arm_features;
mod context;
mod cost;
mod dynamic_model;
mod error;
mod evaluation;
mod executor;
mod exit_heads;
mod layout;
mod measured;
mod notation;
mod presets;
mod queues;
mod report;
mod reward;
mod route;
mod settings;
mod space;
mod space_config;
mod storage;
mod strategy;

pub use cost::{CostModel, FlopsCost, LayerHeadCount, WidthCoupling};
pub use dynamic_model::{DynamicModel, Ledger};
pub use error::{Error, Result};
pub use evaluation::{Evaluation, Prediction};
pub use measured::{LayerSeconds, MeasuredCost};
pub use notation::{RouteSpec, Segment};
pub use presets::{
    DEPTH_PYRAMID, FROZEN_LAYERS, FULL_EPOCHS_BEFORE_FREEZING, HEAD_SET_PYRAMID, HEADS_PYRAMID, PoolingPyramid, Preset,
    SevenLayerHeads, exits, head_options, pinned_heads,
};
pub use report::{
    CurveRecorder, Curves, DataRecord, DifficultyResult, DynamicResult, GroupHeads, LayerHeadRatios, LossCurve,
    Machine, ModelRecord, ModelResult, OperatingPoint, RecordProblem, RouteCounts, RunRecord, SetCount,
};
pub use reward::{Delta, HeadFeedback, Reward, RewardMemory, RewardReference, RewardRule, RewardShape, SMALLEST_LOSS};
pub use route::{GroupRole, LayerGroup, Route, RouteGroup, Stack};
pub use settings::{ContextDesign, Dispatch, ExitClassifiers, ExitLosses, PerBandit, SearchSettings};
pub use space::{RouteArms, SearchSpace};
pub use space_config::{BaseState, Search, SpaceConfig};

pub use dht_bandits as bandits;
pub use dht_transformer as transformer;
