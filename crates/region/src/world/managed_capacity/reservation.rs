//! What ECS measures of a capacity provider, and remembers of its measurements.

use jiff::Timestamp;

/// How many instances a provider needs, and how many it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Those that hold a task other than a daemon's, and what waiting tasks need beside all that
    /// there are.
    pub needed: usize,
    /// Those that are registered and that the group does not terminate.
    pub running: usize,
}

impl Reservation {
    /// The metric `CapacityProviderReservation`, in percent, rounded down.
    pub fn percent(self) -> usize {
        match (self.needed, self.running) {
            (0, 0) => 100,
            (_, 0) => 200,
            (needed, running) => needed * 100 / running,
        }
    }

    pub(super) fn is_above(self, target: usize) -> bool {
        self.needed * 100 > self.running * target
    }

    pub(super) fn is_below(self, target: usize) -> bool {
        self.needed * 100 < self.running * target
    }
}

/// What ECS and its alarms remember of a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::world) struct ScalingMemory {
    /// How many measurements in a row were below the target.
    pub(super) below_target: usize,
    /// When instances were last added.
    pub(super) scaled_out_at: Option<Timestamp>,
}
