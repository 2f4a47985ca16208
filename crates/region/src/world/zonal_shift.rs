//! A zonal shift: traffic that is moved away from an Availability Zone.
//!
//! Source: ARC zonal shift API, `ZonalShiftInResource`.

use jiff::Timestamp;

/// A shift away from a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonalShift {
    /// `zonalShiftId`.
    pub id: String,
    /// The ARN of the resource.
    pub resource: String,
    /// The zone's ID.
    pub away_from: String,
    /// `shiftType`: AWS's word for what it is for.
    pub kind: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}
