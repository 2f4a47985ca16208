//! Whether an instance's Auto Scaling group may shrink by it: one rule each, and all of them at
//! once.
//!
//! A plan asks them of candidates, between its other rules (see `eligibility`). The reaper asks
//! them again of instances that drain already, as groups and settings change meanwhile. Whether
//! other instances may go as well is for `limits` to say.

use jiff::Timestamp;

use crate::ids::GroupName;
use crate::inventory::{Group, Instance, Inventory};
use crate::policy::Policy;
use crate::reason::KeepReason;

/// Why an instance's group may not shrink by this instance, if so: the first of the rules that
/// applies.
///
/// Leaves out what passes by itself: a process that is suspended just now ([`Group::unavailable`]),
/// an instance that is too young.
pub fn kept_by_group(
    instance: &Instance,
    group: &Group,
    inventory: &Inventory,
    policy: &Policy,
    now: Timestamp,
) -> Option<KeepReason> {
    not_in_service(instance)
        .or_else(|| protected_from_scale_in(instance, Some(group)))
        .or_else(|| inventory.hold_on(instance, now).map(KeepReason::Held))
        .or_else(|| keep(instance, Some(group)))
        .or_else(|| group_owned(instance.group.as_ref()?, group))
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
        && group.owner.is_none()
        && !group.tagged_keep
        && group.capacity_above_minimum() > 0
}

/// Only what is in service counts towards a group's desired capacity, and is its to terminate.
pub(crate) fn not_in_service(instance: &Instance) -> Option<KeepReason> {
    (!instance.is_in_service()).then(|| KeepReason::NotInService(instance.lifecycle_state.clone()))
}

/// Somebody wants it kept, and `TerminateInstanceInAutoScalingGroup` would not: it ignores the
/// protection (EC2 Auto Scaling User Guide, ec2-auto-scaling-instance-protection). Under managed
/// termination protection it is ECS that sets it, on whatever holds a task, and that clears it.
pub(crate) fn protected_from_scale_in(
    instance: &Instance,
    group: Option<&Group>,
) -> Option<KeepReason> {
    let is_kept = instance.protected_from_scale_in && !group.is_some_and(Group::is_left_to_ecs);
    is_kept.then_some(KeepReason::ProtectedFromScaleIn)
}

/// Somebody marked it, or its group.
pub(crate) fn keep(instance: &Instance, group: Option<&Group>) -> Option<KeepReason> {
    let is_kept = instance.is_to_be_kept() || group.is_some_and(|group| group.tagged_keep);
    is_kept.then_some(KeepReason::Keep)
}

/// A service that owns a group decides its size, and may break where others do: AWS Batch makes a
/// compute environment INVALID (AWS Batch User Guide, updating-compute-environments).
pub(crate) fn group_owned(name: &GroupName, group: &Group) -> Option<KeepReason> {
    Some(KeepReason::GroupOwned(name.clone(), group.owner.clone()?))
}

/// The operator named other groups.
pub(crate) fn group_not_allowed(name: &GroupName, policy: &Policy) -> Option<KeepReason> {
    let is_allowed = policy.groups.as_ref().is_none_or(|groups| groups.contains(name));
    (!is_allowed).then(|| KeepReason::GroupNotAllowed(name.clone()))
}

/// The operator leaves such groups to ECS alone.
pub(crate) fn managed_scaling(
    name: &GroupName,
    group: &Group,
    policy: &Policy,
) -> Option<KeepReason> {
    let is_managed = group.managed_scaling.is_some() && !policy.allow_managed_scaling;
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
