//! What a summary counts, and which metric of which function counts it.
//!
//! The metrics themselves are emitted by the functions: see docs/answers.md.

use crate::{lifecycle, spot};

const REAPER: &str = "scale-in-reaper";
const SPOT: &str = "spot-drainer";
const LIFECYCLE: &str = "lifecycle-drainer";

/// Something that is counted, in the order of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Instances that sweeps had their groups terminate.
    Removed,
    /// Instances that sweeps drained for ECS to take.
    LeftToEcs,
    /// Instances that sweeps set to ACTIVE again.
    TakenBack,
    /// Instances drained on an interruption notice.
    Interrupted,
    /// Of these, the ones that are back.
    CameBack,
    /// Drains of instances that their groups terminate.
    Terminating,
    /// Of these, the ones that were completed.
    Completed,
    /// Tasks that still ran when their instance was let go.
    TasksCutOff,
    /// Drains that were given up.
    GivenUp,
    /// Drains that the hook's own time-out ended.
    HookTimedOut,
    /// How often a drain had taken half of its time.
    StillDraining,
    /// Replacements that were given up.
    ReplacementFailed,
}

/// Below which heading of the text something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    Saved,
    Drained,
    CutOff,
    Stuck,
}

impl Heading {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Saved, "Saved"),
        (Self::Drained, "Drained"),
        (Self::CutOff, "Cut off"),
        (Self::Stuck, "Stuck"),
    ];
}

impl Counted {
    /// Everything, in the order of the text.
    pub const ALL: [Self; 12] = [
        Self::Removed,
        Self::LeftToEcs,
        Self::TakenBack,
        Self::Interrupted,
        Self::CameBack,
        Self::Terminating,
        Self::Completed,
        Self::TasksCutOff,
        Self::GivenUp,
        Self::HookTimedOut,
        Self::StillDraining,
        Self::ReplacementFailed,
    ];

    /// The function that counts it, and the metric that it does so by.
    pub fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Removed => (REAPER, "InstancesRemoved"),
            Self::LeftToEcs => (REAPER, "InstancesLeftToEcs"),
            Self::TakenBack => (REAPER, "InstancesReactivated"),
            Self::Interrupted => (SPOT, spot::OutcomeKind::Draining.metric()),
            Self::CameBack => (SPOT, spot::OutcomeKind::Reactivated.metric()),
            Self::Terminating => (LIFECYCLE, "Started"),
            Self::Completed => (LIFECYCLE, lifecycle::OutcomeKind::Completed.metric()),
            Self::TasksCutOff => (LIFECYCLE, "TasksCutOff"),
            Self::GivenUp => (LIFECYCLE, lifecycle::OutcomeKind::TimedOut.metric()),
            Self::HookTimedOut => (LIFECYCLE, lifecycle::OutcomeKind::HookTimedOut.metric()),
            Self::StillDraining => (LIFECYCLE, "Stuck"),
            Self::ReplacementFailed => (REAPER, "ReplacementsFailed"),
        }
    }

    /// Where it stands in the text, and in which words.
    pub(super) fn words(self) -> (Heading, &'static str) {
        match self {
            Self::Removed => (Heading::Saved, "instances removed"),
            Self::LeftToEcs => (Heading::Saved, "left to ECS to take"),
            Self::TakenBack => (Heading::Saved, "taken back"),
            Self::Interrupted => (Heading::Drained, "on interruption notices"),
            Self::CameBack => (Heading::Drained, "of these back"),
            Self::Terminating => (Heading::Drained, "on terminations"),
            Self::Completed => (Heading::Drained, "of these completed"),
            Self::TasksCutOff => (Heading::CutOff, "tasks"),
            Self::GivenUp => (Heading::CutOff, "drains given up"),
            Self::HookTimedOut => (Heading::CutOff, "hooks that timed out"),
            Self::StillDraining => (Heading::Stuck, "drains past half their time"),
            Self::ReplacementFailed => (Heading::Stuck, "replacements given up"),
        }
    }
}
