//! What becomes of the instances that an earlier sweep drained: each is terminated, waited for, or
//! taken back.
//!
//! Nothing that a sweep began is forgotten, and nothing that others drain is touched.

use std::fmt;

use ebb_planner::{Group, Headroom, Instance, Inventory, KeepReason, Policy, Resources, TaskKind};
use jiff::{SignedDuration, Timestamp};

use crate::ecs::ContainerInstanceStatus;
use crate::ids::GroupName;

/// The attribute that says which function drains a container instance, and since when: what a sweep
/// left unfinished is known by it, and what others drain is not touched.
pub const DRAINED_BY: &str = "ebb.drained-by";

/// After how long a drain that has not ended is given up, and its instance set to ACTIVE again. A
/// target may deregister for an hour (Elastic Load Balancing,
/// `deregistration_delay.timeout_seconds`), and its containers stop after that.
pub const STALLED_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// How old the mark on an ACTIVE container instance must be to be taken for forgotten: a sweep
/// writes it just before it drains, and lasts for as long as Lambda allows at most (Lambda
/// Developer Guide, gettingstarted-limits).
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(900);

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

/// The value of the attribute: `FUNCTION/TIME`, within the characters that ECS allows (ECS API,
/// `Attribute.value`).
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Timestamp::from_second(self.at.as_second()).unwrap_or(self.at);
        write!(f, "{}/{seconds}", self.function)
    }
}

/// A service that could not place a task although it could before Ebb drained an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementFailure {
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
pub enum FollowUp {
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

impl FollowUp {
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
    /// What is free on usable instances once all that is on its way has its place:
    /// [`ebb_planner::Plan::headroom_before`].
    pub headroom: Headroom,
    /// The services that find no place for a task.
    pub unplaced: Vec<PlacementFailure>,
}

/// Decides what becomes of every instance that bears the mark of `function`, by its index in the
/// inventory.
///
/// One that is not empty is never terminated, whatever hooks its group has: a termination cannot be
/// taken back, and as long as tasks are left load may come back.
pub fn follow_up(
    inventory: &Inventory,
    policy: &Policy,
    load: &Load,
    function: &str,
    now: Timestamp,
) -> Vec<(usize, FollowUp)> {
    let marked = inventory.instances.iter().enumerate();
    let mut marked: Vec<_> =
        marked.filter_map(|(index, one)| Some((index, one, Mark::of(one, function)?))).collect();
    // The youngest drain first: it has the least to lose if the load has come back.
    marked.sort_by(|(_, one, a), (_, other, b)| {
        b.at.cmp(&a.at).then(one.instance_id.cmp(&other.instance_id))
    });

    let mut headroom = load.headroom;
    let mut decided = Vec::new();
    for (index, instance, mark) in marked {
        let decision = match instance.status {
            ContainerInstanceStatus::Active if now.duration_since(mark.at) < FORGOTTEN_AFTER => {
                continue;
            }
            ContainerInstanceStatus::Active => {
                FollowUp::Unmark("it is ACTIVE, and bears the mark of a drain".to_owned())
            }
            ContainerInstanceStatus::Draining => {
                let facts = Facts { instance, inventory, policy, mark: &mark, now };
                facts.decide(&headroom, &load.unplaced)
            }
            _ => continue,
        };
        if matches!(decision, FollowUp::Reactivate { .. }) {
            add(&mut headroom, inventory, instance);
        }
        decided.push((index, decision));
    }
    decided
}

fn reactivate(why: String) -> FollowUp {
    FollowUp::Reactivate { why, load: false }
}

struct Facts<'a> {
    instance: &'a Instance,
    inventory: &'a Inventory,
    policy: &'a Policy,
    mark: &'a Mark,
    now: Timestamp,
}

impl Facts<'_> {
    /// The rules, in order: first what the group says, then the load, then the drain itself.
    fn decide(&self, headroom: &Headroom, unplaced: &[PlacementFailure]) -> FollowUp {
        let state = &self.instance.lifecycle_state;
        if state.starts_with("Terminat") || state.starts_with("Warmed") {
            return FollowUp::LeaveAlone(format!("its group says {state}"));
        }
        let Some((name, group)) = self.group() else {
            return reactivate("it is in no Auto Scaling group any more".to_owned());
        };
        if let Some(why) = self.must_stay(name, group) {
            return reactivate(why);
        }
        if let Some(why) = short(headroom, self.policy).or_else(|| self.needed_by(unplaced)) {
            return FollowUp::Reactivate { why: format!("load has come back: {why}"), load: true };
        }
        let Some(left) = self.tasks_left() else {
            return FollowUp::Wait("its tasks were not read".to_owned());
        };
        let stalled = self.now.duration_since(self.mark.at) >= STALLED_AFTER;
        match &group.unavailable {
            Some(why) if stalled => reactivate(format!("group {name} cannot be shrunk: {why}")),
            Some(why) => FollowUp::Wait(format!("group {name} cannot be shrunk now: {why}")),
            None if left == 0 => FollowUp::Terminate("its tasks have stopped".to_owned()),
            None if stalled && self.may_wait_longer() => {
                FollowUp::Wait("standalone tasks have not ended".to_owned())
            }
            None if stalled => reactivate(format!(
                "its drain has stalled: {left} tasks left since {}",
                self.mark.at
            )),
            None => FollowUp::Wait(format!("{left} tasks left")),
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
            KeepReason::GroupAtMinimum { group: name.clone(), min_size: group.min_size }
        } else {
            return None;
        };
        Some(reason.to_string())
    }

    /// A service that finds no place for a task, has done so since the drain began and not before,
    /// and could use this instance.
    fn needed_by(&self, unplaced: &[PlacementFailure]) -> Option<String> {
        let registered = self.instance.registered?.to_array();
        let needs = unplaced.iter().find(|one| {
            let since =
                one.at >= self.mark.at && one.before.is_none_or(|before| before >= self.mark.at);
            since
                && one
                    .demand
                    .to_array()
                    .into_iter()
                    .zip(registered)
                    .all(|(needed, all)| needed <= all)
        })?;
        Some(format!("service {} finds no place for a task", needs.service))
    }

    /// How many tasks have not stopped, but for those of daemon services, which leave with the
    /// instance.
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
    let (Some(registered), Some(remaining)) = (instance.registered, instance.remaining) else {
        return;
    };
    let mut free = remaining.to_array();
    for task in instance.tasks.iter().flatten() {
        let TaskKind::Service(index) = task.kind else { continue };
        let demand =
            inventory.services.get(index).map_or_else(Resources::default, |service| service.demand);
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

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ebb_planner::{HostPort, Protocol, Service, Task};

    use super::*;
    use crate::ids::{Cluster, ContainerInstanceArn, InstanceId};

    const FUNCTION: &str = "scale-in-reaper";
    pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    pub(crate) fn id(number: u64) -> InstanceId {
        InstanceId::parse(&format!("i-{number:017x}")).unwrap()
    }

    fn ago(seconds: i64) -> Timestamp {
        NOW - SignedDuration::from_secs(seconds)
    }

    fn resources(cpu: i64, memory_mib: i64) -> Resources {
        Resources { cpu, memory_mib, ..Resources::default() }
    }

    /// An empty ACTIVE instance of a group.
    pub(crate) fn instance(number: u64) -> Instance {
        Instance {
            instance_id: id(number),
            arn: ContainerInstanceArn::new(number.to_string()),
            group: Some(GroupName::new("group")),
            lifecycle_state: "InService".to_owned(),
            protected_from_scale_in: false,
            weight: 1,
            zone: "a".to_owned(),
            instance_type: "m7g.large".to_owned(),
            attributes: BTreeMap::new(),
            status: ContainerInstanceStatus::Active,
            agent_connected: true,
            registered_at: Some(ago(86_400)),
            registered: Some(resources(2_048, 7_680)),
            remaining: Some(resources(2_048, 7_680)),
            unknown_resource: None,
            host_ports: BTreeSet::new(),
            tasks: Some(Vec::new()),
            distinct_services: BTreeSet::new(),
            price_microusd: None,
        }
    }

    /// One that a sweep drained a while ago.
    fn drained(number: u64, seconds_ago: i64) -> Instance {
        let mark = Mark { function: FUNCTION.to_owned(), at: ago(seconds_ago) };
        Instance {
            status: ContainerInstanceStatus::Draining,
            attributes: [(DRAINED_BY.to_owned(), mark.to_string())].into(),
            ..instance(number)
        }
    }

    pub(crate) fn task(kind: TaskKind) -> Task {
        Task { id: "t".to_owned(), kind, protected: false }
    }

    pub(crate) fn inventory(instances: Vec<Instance>) -> Inventory {
        let group = Group { min_size: 0, desired_capacity: 10, ..Group::default() };
        Inventory {
            cluster: Cluster::new("shop"),
            instances,
            groups: [(GroupName::new("group"), group)].into(),
            services: Vec::new(),
        }
    }

    /// Plenty of room on what stays.
    fn roomy() -> Load {
        let headroom = Headroom {
            instances: 10,
            registered: resources(10_000, 10_000),
            free: resources(9_000, 9_000),
        };
        Load { headroom, unplaced: Vec::new() }
    }

    fn decided(inventory: &Inventory, load: &Load) -> Vec<FollowUp> {
        let decided = follow_up(inventory, &Policy::default(), load, FUNCTION, NOW);
        decided.into_iter().map(|(_, decision)| decision).collect()
    }

    fn word(decision: &FollowUp) -> &'static str {
        match decision {
            FollowUp::Terminate(_) => "terminate",
            FollowUp::Wait(_) => "wait",
            FollowUp::Reactivate { load: false, .. } => "reactivate",
            FollowUp::Reactivate { load: true, .. } => "reactivate for load",
            FollowUp::LeaveAlone(_) => "leave alone",
            FollowUp::Unmark(_) => "unmark",
        }
    }

    #[test]
    fn a_mark_survives_being_written_and_read_and_what_is_none_is_none() {
        let mark =
            Mark { function: FUNCTION.to_owned(), at: "2025-03-04T05:06:07.891Z".parse().unwrap() };
        assert_eq!(mark.to_string(), "scale-in-reaper/2025-03-04T05:06:07Z");
        let read = Mark::parse(&mark.to_string()).unwrap();
        assert_eq!((read.function.as_str(), mark.at.as_second()), (FUNCTION, read.at.as_second()));
        for text in ["", "scale-in-reaper", "scale-in-reaper/soon", "2025-03-04T05:06:07Z"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_rule_about_a_drained_instance_has_its_say() {
        type Change<'a> = &'a dyn Fn(&mut Inventory);
        let state = |word: &'static str| {
            move |all: &mut Inventory| all.instances[0].lifecycle_state = word.to_owned()
        };
        let (wait, proceed, standby) =
            (state("Terminating:Wait"), state("Terminating:Proceed"), state("Standby"));
        let with = |kind| {
            move |all: &mut Inventory| {
                all.instances[0].tasks = Some(vec![task(kind), task(TaskKind::Daemon)])
            }
        };
        let (daemons, stopping, standalone) =
            (with(TaskKind::Daemon), with(TaskKind::Stopping), with(TaskKind::Standalone));
        let group = |change: fn(&mut Group)| {
            move |all: &mut Inventory| change(all.groups.get_mut(&GroupName::new("group")).unwrap())
        };
        let at_minimum = group(|group| group.min_size = 10);
        let managed = group(|group| group.managed_scaling = true);
        let suspended = group(|group| group.unavailable = Some("suspended".to_owned()));
        let cases: [(&str, Change<'_>); 14] = [
            ("empty", &|_| {}),
            ("daemon tasks left", &daemons),
            ("a stopping task left", &stopping),
            ("a standalone task left", &standalone),
            ("tasks not read", &|all| all.instances[0].tasks = None),
            ("Terminating:Wait", &wait),
            ("Terminating:Proceed", &proceed),
            ("Standby", &standby),
            ("in no group", &|all| all.instances[0].group = None),
            ("protected", &|all| all.instances[0].protected_from_scale_in = true),
            ("group at its minimum", &at_minimum),
            ("managed scaling", &managed),
            ("group suspended", &suspended),
            ("not ours", &|all| {
                all.instances[0]
                    .attributes
                    .insert(DRAINED_BY.to_owned(), "another/1970-01-01T00:00:00Z".to_owned());
            }),
        ];
        let mut lines = Vec::new();
        for (name, change) in cases {
            let said = [600, 7_200].map(|seconds| {
                let mut all = inventory(vec![drained(1, seconds)]);
                change(&mut all);
                decided(&all, &roomy()).first().map_or("nothing", word)
            });
            let [young, old] = said;
            lines.push(format!("{name}: {young}; after two hours: {old}"));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        empty: terminate; after two hours: terminate
        daemon tasks left: terminate; after two hours: terminate
        a stopping task left: wait; after two hours: reactivate
        a standalone task left: wait; after two hours: reactivate
        tasks not read: wait; after two hours: wait
        Terminating:Wait: leave alone; after two hours: leave alone
        Terminating:Proceed: leave alone; after two hours: leave alone
        Standby: reactivate; after two hours: reactivate
        in no group: reactivate; after two hours: reactivate
        protected: reactivate; after two hours: reactivate
        group at its minimum: reactivate; after two hours: reactivate
        managed scaling: reactivate; after two hours: reactivate
        group suspended: wait; after two hours: reactivate
        not ours: nothing; after two hours: nothing
        ");
    }

    #[test]
    fn load_that_has_come_back_reactivates_the_youngest_drains_first_and_no_more_than_needed() {
        let all = inventory(vec![drained(1, 300), drained(2, 100), drained(3, 200)]);
        let mut load = roomy();
        load.headroom.free = resources(1_999, 9_000);
        let said = follow_up(&all, &Policy::default(), &load, FUNCTION, NOW);

        let said: Vec<_> = said.iter().map(|(index, decision)| (*index, word(decision))).collect();
        assert_eq!(said, [(1, "reactivate for load"), (2, "terminate"), (0, "terminate")]);
        load.headroom = Headroom { instances: 0, ..Headroom::default() };
        assert_eq!(
            word(&decided(&all, &load)[0]),
            "reactivate for load",
            "fewer than the least number"
        );
    }

    #[test]
    fn a_service_without_a_place_gets_back_what_could_be_one() {
        let unplaced = |at, before, cpu| PlacementFailure {
            service: "web".to_owned(),
            at,
            before,
            demand: resources(cpu, 512),
        };
        let all = inventory(vec![drained(1, 600)]);
        for (what, failure, expected) in [
            ("since the drain", unplaced(ago(60), None, 1_024), "reactivate for load"),
            (
                "twice since the drain",
                unplaced(ago(60), Some(ago(500)), 1_024),
                "reactivate for load",
            ),
            ("before the drain already", unplaced(ago(60), Some(ago(700)), 1_024), "terminate"),
            ("only before the drain", unplaced(ago(700), None, 1_024), "terminate"),
            ("a task too large for it", unplaced(ago(60), None, 4_096), "terminate"),
        ] {
            let load = Load { unplaced: vec![failure], ..roomy() };
            assert_eq!(word(&decided(&all, &load)[0]), expected, "{what}");
        }
    }

    #[test]
    fn the_tasks_of_an_instance_that_is_kept_need_no_other_place() {
        let mut all = inventory(vec![drained(1, 600), drained(2, 700)]);
        let ports = BTreeSet::from([HostPort { protocol: Protocol::Tcp, number: 80 }]);
        all.services = vec![Service {
            name: "web".to_owned(),
            demand: resources(1_000, 100),
            host_ports: ports,
            distinct_instance: false,
            constraints: Vec::new(),
            strategy: Vec::new(),
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            in_flight: 1,
            unclear: None,
        }];
        all.instances[0].tasks = Some(vec![task(TaskKind::Service(0))]);
        all.instances[0].remaining = Some(resources(1_048, 7_580));
        let mut load = roomy();
        load.headroom.free = resources(0, 9_000);
        // 2,048 of 12,048 CPU units are less than a fifth; with a second one there are enough.
        let said: Vec<_> = decided(&all, &load).iter().map(word).collect();
        assert_eq!(said, ["reactivate for load", "reactivate for load"]);
        load.headroom.free = resources(400, 9_000);
        let said: Vec<_> = decided(&all, &load).iter().map(word).collect();
        assert_eq!(said, ["reactivate for load", "terminate"], "2,448 of 12,048");
    }

    #[test]
    fn an_active_instance_loses_an_old_mark_and_keeps_a_young_one() {
        let active = |number, seconds| Instance {
            status: ContainerInstanceStatus::Active,
            ..drained(number, seconds)
        };
        let all = inventory(vec![active(1, 899), active(2, 900)]);
        let said = follow_up(&all, &Policy::default(), &roomy(), FUNCTION, NOW);
        assert!(matches!(said.as_slice(), [(1, FollowUp::Unmark(_))]), "{said:?}");
    }
}
