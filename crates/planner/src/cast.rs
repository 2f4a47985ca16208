//! The conversions between numbers that can lose something, and why that does no harm.
#![expect(
    clippy::cast_possible_truncation,
    reason = "this file is where numbers are rounded; no rounded number decides whether a task fits"
)]

/// The nearest number of half the precision. For prices: any price at or above zero gives a bound,
/// so that rounding can make the bound worse, never wrong.
pub(crate) fn rounded(value: f64) -> f32 {
    value as f32
}

/// The whole part of a number; the nearest limit of the type where that is beyond it. For weights
/// and for ranks, where any near number would do.
pub(crate) fn whole(value: f64) -> i64 {
    value as i64
}
