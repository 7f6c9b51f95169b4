//! Service: answers are bit-identical alone and in shared batches, no request is lost or exceeds the limits, and no
//! request runs whose client has gone.

mod answers;
mod limits;
mod toy;
