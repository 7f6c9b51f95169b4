//! Matrix products on slices, in floating point and with factors rounded to bytes.

mod int8;
mod int8_panels;
mod int8_tile;
mod matrix;
mod packed;
#[expect(clippy::module_inception, reason = "the function is in the file of its name")]
mod product;
mod tile;

pub(crate) use int8::has_int8_products;
pub(crate) use matrix::{Destination, Matrix};
pub(crate) use packed::{Concatenated, Packed, PackedSlice};
pub(crate) use product::product;
