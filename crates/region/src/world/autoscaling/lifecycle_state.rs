//! Where an instance of a group stands.

/// Where an instance of a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    Pending,
    InService,
    Standby,
    Terminating,
    TerminatingWait,
    TerminatingProceed,
    TerminatingRetained,
}

impl LifecycleState {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InService => "InService",
            Self::Standby => "Standby",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
            Self::TerminatingRetained => "Terminating:Retained",
        }
    }

    /// Whether an instance in this state counts into the desired capacity.
    pub fn counts_into_capacity(self) -> bool {
        matches!(self, Self::Pending | Self::InService)
    }
}
