//! What goes wrong between an event or a message and its receivers.

/// What goes wrong with deliveries, each with its chance from 0 to 1. EventBridge and SNS deliver
/// at least once, and the events of EC2 and Auto Scaling on a best-effort basis (EventBridge
/// reference, delivery level per service).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mishaps {
    /// It comes twice.
    pub duplicate: f64,
    /// It comes seconds to a minute later.
    pub late: f64,
    /// It never comes.
    pub lost: f64,
}
