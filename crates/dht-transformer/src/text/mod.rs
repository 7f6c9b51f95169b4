//! stub
use crate::Spans;
/// batch
#[derive(Debug, Clone)]
pub struct PackedBatch {
    pub ids: Vec<u32>,
    pub type_ids: Vec<u32>,
    pub spans: Spans,
    pub labels: Vec<u32>,
    pub sample_ids: Vec<u64>,
}
