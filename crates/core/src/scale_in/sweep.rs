//! What a sweep decides beside its plan: how many instances it reads, the second look right before it acts, and what
//! becomes of the instances that an earlier sweep drained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Group, Instance, Inventory, Resources, TaskKind};
use super::plan::{Headroom, Kept, Plan};
use super::policy::Policy;
use super::reason::KeepReason;
use crate::ids::{GroupName, InstanceId};
use crate::spot::ContainerInstanceStatus;

/// The attribute that says which function drains a container instance, and since when: what a sweep left unfinished is
/// known by it, and what others drain is not touched.
pub const DRAINED_BY: &str = "ebb.drained-by";

/// After how long a drain that has not ended is given up, and its instance set to ACTIVE again. A target may deregister
/// for an hour (Elastic Load Balancing, `deregistration_delay.timeout_seconds`), and its containers stop after that.
pub const STALLED_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// How old the mark on an ACTIVE container instance must be to be taken for forgotten: a sweep writes it just before it
/// drains, and lasts for as long as Lambda allows at most (Lambda Developer Guide, gettingstarted-limits).
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(900);

/// How many instances are read at least, if there are as many worth reading.
const READ_MIN: usize = 20;
/// How many are read for each that may be removed: some have tasks that may not move, some have tasks that fit nowhere.
const READ_FOR_EACH: usize = 3;

/// What [`DRAINED_BY`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The function.
    pub function: String,
    /// When it began to drain the instance.
    pub at: Timestamp,
}

impl Mark {
    /// Reads a mark; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (function, at) = text.split_once('/')?;
        Some(Self { function: function.to_owned(), at: at.parse().ok()? })
    }

    /// The mark of this function on an instance.
    pub fn of(instance: &Instance, function: &str) -> Option<Self> {
        Self::parse(instance.attributes.get(DRAINED_BY)?).filter(|mark| mark.function == function)
    }
}

/// The value of the attribute: `FUNCTION/TIME`, within the characters that ECS allows (ECS API, `Attribute.value`).
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Timestamp::from_second(self.at.as_second()).unwrap_or(self.at);
        write!(f, "{}/{seconds}", self.function)
    }
}

/// How many of the instances that are worth reading are read: enough to choose from, whatever the size of the cluster.
pub fn reads_max(inventory: &Inventory, policy: &Policy) -> usize {
    let usable =
        inventory.instances.iter().filter(|one| one.status == ContainerInstanceStatus::Active).count();
    let share = usize::try_from(policy.max_removals_percent).unwrap_or(100);
    let removals = (usable * share).div_ceil(100);
    if removals == 0 { 0 } else { READ_MIN.max(READ_FOR_EACH * removals) }
}

/// The plan as far as it still holds after a second look: planned again, with nothing but the instances that were to go
/// as candidates. It only ever shrinks. What stays for another reason than before is kept for that reason.
pub fn still_holds(planned: &Plan, mut fresh: Inventory, policy: &Policy, now: Timestamp) -> Plan {
    let candidates: BTreeSet<_> = planned.remove.iter().map(|removal| &removal.instance_id).collect();
    for instance in &mut fresh.instances {
        // Those that drain were read for what is on its way, not to be removed.
        if instance.status != ContainerInstanceStatus::Draining && !candidates.contains(&instance.instance_id)
        {
            instance.tasks = None;
        }
    }
    let mut again = super::plan(&fresh, policy, now);
    again.remove.retain(|removal| candidates.contains(&removal.instance_id));
    let removed: BTreeSet<_> = again.remove.iter().map(|removal| &removal.instance_id).collect();
    let reasons: BTreeMap<_, _> = again.keep.iter().map(|kept| (&kept.instance_id, &kept.reason)).collect();
    let dropped = candidates.iter().filter(|id| !removed.contains(*id)).map(|&id| {
        // One that is not in the fresh inventory has left the cluster, or is leaving it.
        let gone = KeepReason::NotActive(ContainerInstanceStatus::Inactive);
        Kept { instance_id: id.clone(), reason: reasons.get(id).map_or(gone, |&reason| reason.clone()) }
    });
    let mut keep: Vec<_> = planned.keep.iter().cloned().chain(dropped).collect();
    keep.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    Plan { keep, saving: super::Saving { bound: planned.saving.bound, ..again.saving }, ..again }
}

/// A service that could not place a task although it could before Ebb drained an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Its name.
    pub service: String,
    /// When ECS said so last.
    pub at: Timestamp,
    /// When ECS had said so before, if at all.
    pub before: Option<Timestamp>,
    /// What one task holds.
    pub demand: Resources,
}

/// What becomes of an instance that bears the mark of an earlier sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// Have its group terminate it.
    Terminate(String),
    /// Leave it as it is until the next sweep.
    Wait(String),
    /// Set it to ACTIVE again.
    Reactivate {
        /// Why.
        why: String,
        /// Whether that is because load has come back: nothing is to be removed then.
        load: bool,
    },
    /// Its group terminates it already: the rest is the lifecycle drainer's.
    LeaveAlone(String),
    /// It is ACTIVE: only its mark is to be removed.
    Unmark(String),
}

impl Earlier {
    /// Why.
    pub fn why(&self) -> &str {
        match self {
            Self::Terminate(why)
            | Self::Wait(why)
            | Self::Reactivate { why, .. }
            | Self::LeaveAlone(why)
            | Self::Unmark(why) => why,
        }
    }
}

/// What is known about the load, beside the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// What is free on usable instances once all that is on its way has its place: [`Plan::headroom_before`].
    pub headroom: Headroom,
    /// The services that find no place for a task.
    pub unplaced: Vec<Unplaced>,
}

/// Decides what becomes of every instance that bears the mark of `function`, by its index in the inventory. `holding`
/// are the groups with a termination hook that holds an instance until it is empty.
pub fn earlier(
    inventory: &Inventory,
    policy: &Policy,
    load: &Load,
    holding: &BTreeSet<GroupName>,
    function: &str,
    now: Timestamp,
) -> Vec<(usize, Earlier)> {
    let marked = inventory.instances.iter().enumerate();
    let mut marked: Vec<_> =
        marked.filter_map(|(index, one)| Some((index, one, Mark::of(one, function)?))).collect();
    // The youngest drain first: it has the least to lose if the load has come back.
    marked
        .sort_by(|(_, one, a), (_, other, b)| b.at.cmp(&a.at).then(one.instance_id.cmp(&other.instance_id)));

    let mut headroom = load.headroom;
    let mut decided = Vec::new();
    for (index, instance, mark) in marked {
        let decision = match instance.status {
            ContainerInstanceStatus::Active if now.duration_since(mark.at) < FORGOTTEN_AFTER => continue,
            ContainerInstanceStatus::Active => {
                Earlier::Unmark("it is ACTIVE, and bears the mark of a drain".to_owned())
            }
            ContainerInstanceStatus::Draining => {
                let facts = Facts { instance, inventory, policy, holding, mark: &mark, now };
                facts.decide(&headroom, &load.unplaced)
            }
            _ => continue,
        };
        if matches!(decision, Earlier::Reactivate { .. }) {
            add(&mut headroom, inventory, instance);
        }
        decided.push((index, decision));
    }
    decided
}

fn reactivate(why: String) -> Earlier {
    Earlier::Reactivate { why, load: false }
}

struct Facts<'a> {
    instance: &'a Instance,
    inventory: &'a Inventory,
    policy: &'a Policy,
    holding: &'a BTreeSet<GroupName>,
    mark: &'a Mark,
    now: Timestamp,
}

impl Facts<'_> {
    /// The rules, in order: first what the group says, then the load, then the drain itself.
    fn decide(&self, headroom: &Headroom, unplaced: &[Unplaced]) -> Earlier {
        let state = &self.instance.lifecycle_state;
        if state.starts_with("Terminat") || state.starts_with("Warmed") {
            return Earlier::LeaveAlone(format!("its group says {state}"));
        }
        let Some((name, group)) = self.group() else {
            return reactivate("it is in no Auto Scaling group any more".to_owned());
        };
        if let Some(why) = self.must_stay(name, group) {
            return reactivate(why);
        }
        if let Some(why) = short(headroom, self.policy).or_else(|| self.needed_by(unplaced)) {
            return Earlier::Reactivate { why: format!("load has come back: {why}"), load: true };
        }
        let Some(left) = self.tasks_left() else {
            return Earlier::Wait("its tasks were not read".to_owned());
        };
        let stalled = self.now.duration_since(self.mark.at) >= STALLED_AFTER;
        match &group.unavailable {
            Some(why) if stalled => reactivate(format!("group {name} cannot be shrunk: {why}")),
            Some(why) => Earlier::Wait(format!("group {name} cannot be shrunk now: {why}")),
            None if left == 0 => Earlier::Terminate("its tasks have stopped".to_owned()),
            None if stalled && self.may_wait_longer() => {
                Earlier::Wait("standalone tasks have not ended".to_owned())
            }
            None if stalled => {
                reactivate(format!("its drain has stalled: {left} tasks left since {}", self.mark.at))
            }
            None if self.holding.contains(name) => {
                Earlier::Terminate(format!("its group holds it for {left} tasks"))
            }
            None => Earlier::Wait(format!("{left} tasks left")),
        }
    }

    fn group(&self) -> Option<(&GroupName, &Group)> {
        let name = self.instance.group.as_ref()?;
        Some((name, self.inventory.groups.get(name)?))
    }

    fn must_stay(&self, name: &GroupName, group: &Group) -> Option<String> {
        let state = &self.instance.lifecycle_state;
        if state != "InService" {
            return Some(format!("its group says {state}"));
        }
        let allowed = self.policy.groups.as_ref().is_none_or(|groups| groups.contains(name));
        let reason = if self.instance.protected_from_scale_in {
            KeepReason::ProtectedFromScaleIn
        } else if !allowed {
            KeepReason::GroupNotAllowed(name.clone())
        } else if group.managed_scaling && !self.policy.allow_managed_scaling {
            KeepReason::ManagedScaling(name.clone())
        } else if group.desired_capacity.saturating_sub(self.instance.weight) < group.min_size {
            KeepReason::GroupAtMinimum(name.clone())
        } else {
            return None;
        };
        Some(reason.to_string())
    }

    /// A service that finds no place for a task, has done so since the drain began and not before, and could use this
    /// instance.
    fn needed_by(&self, unplaced: &[Unplaced]) -> Option<String> {
        let registered = self.instance.registered?.to_array();
        let needs = unplaced.iter().find(|one| {
            let since = one.at >= self.mark.at && one.before.is_none_or(|before| before >= self.mark.at);
            since && one.demand.to_array().into_iter().zip(registered).all(|(needed, all)| needed <= all)
        })?;
        Some(format!("service {} finds no place for a task", needs.service))
    }

    /// How many tasks have not stopped, but for those of daemon services, which leave with the instance.
    fn tasks_left(&self) -> Option<usize> {
        let tasks = self.instance.tasks.as_ref()?;
        Some(tasks.iter().filter(|task| task.kind != TaskKind::Daemon).count())
    }

    /// Whether nothing is left but standalone tasks, which the operator lets end by themselves.
    fn may_wait_longer(&self) -> bool {
        let others = |kind| !matches!(kind, TaskKind::Standalone | TaskKind::Daemon);
        self.policy.allow_standalone_tasks
            && self.instance.tasks.iter().flatten().all(|task| !others(task.kind))
    }
}

/// What is lacking, if the headroom that the operator chose is not left.
fn short(headroom: &Headroom, policy: &Policy) -> Option<String> {
    let lacks = |free: i64, all: i64, percent: u32| {
        free < 0 || free.saturating_mul(100) < all.saturating_mul(percent.into())
    };
    if headroom.instances < policy.min_instances {
        return Some(format!("{} usable instances are left", headroom.instances));
    }
    let Headroom { registered, free, .. } = headroom;
    if lacks(free.cpu, registered.cpu, policy.headroom_cpu_percent) {
        return Some(format!("{:.1} % of CPU are free", headroom.cpu_percent()));
    }
    lacks(free.memory_mib, registered.memory_mib, policy.headroom_memory_percent)
        .then(|| format!("{:.1} % of memory are free", headroom.memory_percent()))
}

/// Counts an instance that is to be ACTIVE again: its tasks need no other place.
fn add(headroom: &mut Headroom, inventory: &Inventory, instance: &Instance) {
    let (Some(registered), Some(remaining)) = (instance.registered, instance.remaining) else { return };
    let mut free = remaining.to_array();
    for task in instance.tasks.iter().flatten() {
        let TaskKind::Service(index) = task.kind else { continue };
        let demand = inventory.services.get(index).map_or_else(Resources::default, |service| service.demand);
        free.iter_mut().zip(demand.to_array()).for_each(|(free, held)| *free += held);
    }
    let sum = |one: Resources, other: [i64; 4]| {
        let mut sum = one.to_array();
        sum.iter_mut().zip(other).for_each(|(sum, more)| *sum += more);
        Resources::from(sum)
    };
    headroom.instances += 1;
    headroom.registered = sum(headroom.registered, registered.to_array());
    headroom.free = sum(headroom.free, free);
}

/// Instances that joined a group of the cluster, but not the cluster: unless they boot just now, they are paid for
/// nothing. `members` are the instances that the groups say are in service.
pub fn never_joined(
    inventory: &Inventory,
    members: &[(InstanceId, GroupName)],
) -> Vec<(InstanceId, GroupName)> {
    let registered: BTreeSet<_> = inventory.instances.iter().map(|one| &one.instance_id).collect();
    let stranger = |(id, group): &&(InstanceId, GroupName)| {
        !registered.contains(id) && inventory.groups.contains_key(group)
    };
    let mut strangers: Vec<_> = members.iter().filter(stranger).cloned().collect();
    strangers.sort();
    strangers
}
