//! Numerical kernels on slices, without tensors and without automatic differentiation. Each forward pass has a backward
//! pass.
//!
//! Kernels are generic over f32 and f64, so that finite differences in f64 check the code that runs in f32. Most
//! kernels run on one thread, on a block of rows. The blocks do not depend on the number of threads, so the results
//! have the same bits with any number of threads.

mod activation;
mod attention;
mod dropout;
mod embedding;
mod norm;
mod product;
mod projection;
mod real;
mod rows;
mod sublayer;
mod sublayer_gradients;
mod vocabulary_loss;

pub(crate) use attention::{
    ComparedHeads, DistanceBias, HeadShape, ProbabilityDropout, head_scores, head_scores_backward,
};
pub(crate) use dropout::{Dropout, DropoutSite};
pub(crate) use embedding::{embed, table_gradient};
pub(crate) use norm::{Norm, RowKeys, residual_norm, residual_norm_backward};
pub(crate) use product::{Concatenated, Destination, Matrix, Packed, PackedSlice, has_int8_products, product};
pub(crate) use projection::Projection;
pub(crate) use rows::{add_assign, column_sums, sum_of, transposed, vectorised};
pub(crate) use sublayer::{
    InnerFunction, OutputNorm, RequestedGradients, RowGradients, SavedActivations, Scratch, Segment, sublayer,
    sublayer_backward,
};
pub(crate) use sublayer_gradients::{GradientChunks, projection_gradients, sublayer_gradients};
pub(crate) use vocabulary_loss::{VocabularyLossGradients, decoder_cross_entropy};

#[cfg(test)]
mod finite_differences;
#[cfg(test)]
pub(crate) mod test_support;
