//! The service: the same answers alone and in company, to the bit; no request lost, none beyond the limits, none for nobody.

mod answers;
mod limits;
mod toy;
