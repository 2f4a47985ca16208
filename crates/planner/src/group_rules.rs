//! Whether an instance's Auto Scaling group may shrink by it: one rule each, and all of them at
//! once.
//!
//! A plan asks them of candidates, between its other rules (see `eligibility`). The reaper asks
//! them again of instances that drain already, as groups and settings change meanwhile. Whether
//! other instances may go as well is for `limits` to say.

use crate::ids::GroupName;
use crate::inventory::{Group, Instance, KEEP_ATTRIBUTE};
use crate::policy::Policy;
use crate::reason::KeepReason;

/// Why an instance's group may not shrink by this instance, if so: the first of the rules that
/// applies.
///
/// Leaves out what passes by itself: a process that is suspended just now ([`Group::unavailable`]),
/// an instance that is too young.
pub fn kept_by_group(instance: &Instance, group: &Group, policy: &Policy) -> Option<KeepReason> {
    not_in_service(instance)
        .or_else(|| protected_from_scale_in(instance))
        .or_else(|| keep(instance))
        .or_else(|| group_not_allowed(instance.group.as_ref()?, policy))
        .or_else(|| managed_scaling(instance.group.as_ref()?, group, policy))
        .or_else(|| group_at_minimum(instance, group))
}

/// Whether a group may shrink at all, whichever instance goes: for whoever must find out more about
/// a group, and would ask about none that stays as it is.
pub fn group_may_shrink(name: &GroupName, group: &Group, policy: &Policy) -> bool {
    group_not_allowed(name, policy).is_none()
        && managed_scaling(name, group, policy).is_none()
        && group.unavailable.is_none()
        && group.capacity_above_minimum() > 0
}

/// Only what is in service counts towards a group's desired capacity, and is its to terminate.
pub(crate) fn not_in_service(instance: &Instance) -> Option<KeepReason> {
    (!instance.is_in_service()).then(|| KeepReason::NotInService(instance.lifecycle_state.clone()))
}

/// Somebody wants it kept, and `TerminateInstanceInAutoScalingGroup` would not: it ignores the
/// protection (EC2 Auto Scaling User Guide, ec2-auto-scaling-instance-protection).
pub(crate) fn protected_from_scale_in(instance: &Instance) -> Option<KeepReason> {
    instance.protected_from_scale_in.then_some(KeepReason::ProtectedFromScaleIn)
}

/// The operator wants this very instance kept.
pub(crate) fn keep(instance: &Instance) -> Option<KeepReason> {
    instance.attributes.contains_key(KEEP_ATTRIBUTE).then_some(KeepReason::Keep)
}

/// The operator named other groups.
pub(crate) fn group_not_allowed(name: &GroupName, policy: &Policy) -> Option<KeepReason> {
    let is_allowed = policy.groups.as_ref().is_none_or(|groups| groups.contains(name));
    (!is_allowed).then(|| KeepReason::GroupNotAllowed(name.clone()))
}

/// Two that decide the size of one group would undo what the other does.
pub(crate) fn managed_scaling(
    name: &GroupName,
    group: &Group,
    policy: &Policy,
) -> Option<KeepReason> {
    let is_managed = group.managed_scaling && !policy.allow_managed_scaling;
    is_managed.then(|| KeepReason::ManagedScaling(name.clone()))
}

/// Auto Scaling would launch another instance at once.
pub(crate) fn group_at_minimum(instance: &Instance, group: &Group) -> Option<KeepReason> {
    // In capacity, not in instances: one instance may count for more than one.
    let is_at_minimum = group.capacity_above_minimum() < instance.weight;
    let min_size = group.min_size;
    is_at_minimum
        .then(|| instance.group.clone())
        .flatten()
        .map(|group| KeepReason::GroupAtMinimum { group, min_size })
}
