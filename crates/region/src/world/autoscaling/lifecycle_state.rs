//! Where an instance of a group stands.

/// Where an instance of a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// It boots.
    Pending,
    /// It serves.
    InService,
    /// It is taken out of service by hand, and does not count into the capacity.
    Standby,
    /// EC2 takes it away; no hook holds it.
    Terminating,
    /// A termination hook holds it.
    TerminatingWait,
    /// As above, for an instance of the warm pool.
    WarmedTerminatingWait,
    /// Its termination hooks have let it go.
    TerminatingProceed,
    /// A termination hook holds it before its root volume is replaced.
    ReplacingRootVolumeWait,
    /// It reboots on a new root volume.
    ReplacingRootVolumeProceed,
    /// A hook was abandoned and its group retains it until somebody terminates it again.
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
            Self::WarmedTerminatingWait => "Warmed:Terminating:Wait",
            Self::ReplacingRootVolumeWait => "ReplacingRootVolume:Wait",
            Self::ReplacingRootVolumeProceed => "ReplacingRootVolume:Proceed",
            Self::TerminatingRetained => "Terminating:Retained",
        }
    }

    /// Whether an instance in this state counts into the desired capacity.
    pub fn counts_into_capacity(self) -> bool {
        matches!(self, Self::Pending | Self::InService)
    }
}
