//! What becomes of the instances that an earlier sweep drained: each is terminated, waited for, or
//! taken back. And of those that the `spot-drainer` drained on a notice which they may outlive: they
//! are taken back once they have. The decision is [`follow_up`]; carrying it out is left to the
//! `scale-in-reaper`.
//!
//! Nothing that a sweep began is forgotten, and nothing that others drain is touched.

use std::borrow::Cow;

use ebb_planner::{
    Group, Headroom, Instance, Inventory, Policy, Resources, TaskKind, is_kept_as_spare,
    kept_by_group,
};
use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::ContainerInstanceStatus;
use crate::ids::{ContainerInstanceArn, GroupName};
use crate::mark::{Cause, Mark};
use crate::reaper::lacking_room::{room_gained_by, set_active};
use crate::reaper::replace::decide::is_replaced;
use crate::reaper::settings::{
    ALLOW_STANDALONE_TASKS, HEADROOM_CPU_PERCENT, HEADROOM_MEMORY_PERCENT, MIN_INSTANCES,
};
use crate::reaper::waiting_tasks::who_lacks;
use crate::words;

/// After how long a drain that has not ended is given up, and its instance set to ACTIVE again. A
/// target may deregister for an hour (Elastic Load Balancing,
/// `deregistration_delay.timeout_seconds`), and its containers stop after that.
pub const STALLED_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// How old the mark on an ACTIVE container instance must be to be taken for forgotten: a sweep
/// writes it just before it drains, and lasts for as long as Lambda allows at most (Lambda
/// Developer Guide, gettingstarted-limits).
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(900);

/// How long ECS's cluster auto scaling is given to take away an instance that was left to it and has
/// no tasks any more, from when a sweep first saw that. It takes the low alarm 15 minutes, and then
/// less than half of what is empty goes every minute (ECS Developer Guide,
/// managed-scaling-behavior).
const TAKEN_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// For how long too few instances must be in use until ECS takes any away (ECS Developer Guide,
/// managed-scaling-behavior): only after that is it known which of them it keeps.
const LOW_ALARM: SignedDuration = SignedDuration::from_mins(15);

/// A service that finds no place for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementFailure {
    /// Its name.
    pub service: String,
    /// When ECS reported it last.
    pub latest: Timestamp,
    /// The oldest earlier report that ECS still shows, if there is one.
    pub oldest: Option<Timestamp>,
    /// What one task holds.
    pub demand: Resources,
}

/// How long after a notice to stop or hibernate the instance may still run, with its agent
/// connected: the two minutes of the notice (EC2 User Guide, spot-instance-termination-notices), and
/// three for it to shut down and for ECS to see that its agent is gone. One that runs after that has
/// come back.
pub const INTERRUPTED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// How long an interruption is waited for after a rebalance recommendation. EC2 sets no time; one
/// that comes later gives its own two minutes.
pub const RECOMMENDED_FOR: SignedDuration = SignedDuration::from_mins(15);

/// What becomes of an instance that bears the mark of an earlier sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// Have its group terminate it.
    Terminate(String),
    /// Leave it as it is until the next sweep.
    Wait(String),
    /// The same, and note that it has no tasks any more: from now on ECS is given its time to take
    /// it.
    NoteEmptied(String),
    /// Set it to ACTIVE again.
    Reactivate {
        /// Why.
        why: String,
        /// Whether that is because load has come back: nothing is to be removed then.
        load: bool,
    },
    /// Set it to ACTIVE again: managed scaling keeps it as a spare instance. It may go again at once,
    /// in place of another one.
    ReturnSpare(String),
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
            | Self::NoteEmptied(why)
            | Self::Reactivate { why, .. }
            | Self::ReturnSpare(why)
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

/// Decides what becomes of every instance that bears the mark of `function`, or of the
/// `spot-drainer`, by its index in the inventory.
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
    let mut headroom = load.headroom;
    let mut world = Cow::Borrowed(inventory);
    let mut decisions = Vec::new();
    for (index, instance, mark) in marked_instances(inventory, function) {
        let marked = MarkedInstance { instance, mark, inventory, policy, now };
        // The headroom is the one that those before it left: the order of `marked_instances`
        // decides who comes back first.
        let lacking =
            room_gained_by(index, &world, policy, now).or_else(|| who_lacks(instance, &world));
        let Some(decision) = marked.decide(&headroom, &load.unplaced, lacking.as_deref()) else {
            continue;
        };
        // What comes back counts at once, so that no more comes back than the load needs.
        if matches!(decision, FollowUp::Reactivate { .. } | FollowUp::ReturnSpare(_)) {
            add_to_headroom(&mut headroom, inventory, instance);
            set_active(world.to_mut(), index);
        }
        decisions.push((index, decision));
    }
    decisions
}

/// The container instances that `function` drained and that stay DRAINING while no sweep acts: none
/// terminates them, and none sets them to ACTIVE again. What ECS takes by itself once it is empty is
/// not among them. `decisions` are those about the inventory.
pub fn stranded(
    inventory: &Inventory,
    decisions: &[(usize, FollowUp)],
    function: &str,
) -> Vec<ContainerInstanceArn> {
    let is_stranded = |instance: &Instance, decision: &FollowUp| {
        let mark = Mark::among(&instance.attributes);
        let is_ours = mark.is_some_and(|mark| mark.function == function && mark.cause.is_none());
        let is_taken = match decision {
            FollowUp::LeaveAlone(_) => true,
            FollowUp::Wait(_) | FollowUp::NoteEmptied(_) => is_left_to_ecs(instance, inventory),
            FollowUp::Terminate(_)
            | FollowUp::Reactivate { .. }
            | FollowUp::ReturnSpare(_)
            | FollowUp::Unmark(_) => false,
        };
        is_ours && instance.is_draining() && !is_taken
    };
    decisions
        .iter()
        .map(|(index, decision)| (&inventory.instances[*index], decision))
        .filter(|(instance, decision)| is_stranded(instance, decision))
        .map(|(instance, _)| instance.arn.clone())
        .collect()
}

fn is_left_to_ecs(instance: &Instance, inventory: &Inventory) -> bool {
    let group = instance.group.as_ref().and_then(|name| inventory.groups.get(name));
    group.is_some_and(Group::is_left_to_ecs)
}

/// The instances that bear the mark of `function` or of the `spot-drainer`. The latter come first:
/// what is back is room that need not be called back. Then comes the youngest drain: it has the least
/// to lose if the load has come back.
fn marked_instances<'a>(
    inventory: &'a Inventory,
    function: &str,
) -> Vec<(usize, &'a Instance, Mark)> {
    let mut marked = Vec::new();
    for (index, instance) in inventory.instances.iter().enumerate() {
        let mark = Mark::among(&instance.attributes)
            .filter(|mark| mark.function == function || mark.cause.is_some());
        marked.extend(mark.map(|mark| (index, instance, mark)));
    }
    marked.sort_by(|(_, a, mark_a), (_, b, mark_b)| {
        // The id decides between drains of one second: marks hold whole seconds, and the answer
        // must not depend on the order of the inventory.
        let by_sweep = |mark: &Mark| mark.cause.is_none();
        (by_sweep(mark_a), mark_b.at, &a.instance_id).cmp(&(
            by_sweep(mark_b),
            mark_a.at,
            &b.instance_id,
        ))
    });
    marked
}

/// An instance that an earlier sweep marked, and all that is asked about it.
struct MarkedInstance<'a> {
    instance: &'a Instance,
    mark: Mark,
    inventory: &'a Inventory,
    policy: &'a Policy,
    now: Timestamp,
}

impl MarkedInstance<'_> {
    /// `None` if nothing is to be done about it: it has left or is leaving its cluster, or another
    /// sweep has just marked it.
    fn decide(
        &self,
        headroom: &Headroom,
        unplaced: &[PlacementFailure],
        lacking: Option<&str>,
    ) -> Option<FollowUp> {
        match self.instance.status {
            ContainerInstanceStatus::Draining => Some(match self.mark.cause {
                Some(cause) => self.decide_interrupted(cause),
                None => self.decide_drain(headroom, unplaced, lacking),
            }),
            // A sweep that is running may have marked it and be about to drain it.
            ContainerInstanceStatus::Active if self.age() < FORGOTTEN_AFTER => None,
            ContainerInstanceStatus::Active => {
                Some(FollowUp::Unmark("it is ACTIVE, and still has the mark of a drain".to_owned()))
            }
            ContainerInstanceStatus::Registering
            | ContainerInstanceStatus::RegistrationFailed
            | ContainerInstanceStatus::Deregistering
            | ContainerInstanceStatus::Inactive
            | ContainerInstanceStatus::Other(_) => None,
        }
    }

    /// Decides about one that was drained on a notice: it is never terminated here, and its tasks
    /// do not matter. The first rule that applies decides.
    fn decide_interrupted(&self, cause: Cause) -> FollowUp {
        let state = &self.instance.lifecycle_state;
        // 1. What its group takes away is not to get tasks again.
        if state.is_terminating() || state.is_warmed() {
            return FollowUp::LeaveAlone(format!("its group takes it away: it is {state}"));
        }
        // 2. It is waited for until it runs, and for as long as the interruption may still come.
        let within = match cause {
            Cause::Stop | Cause::Hibernate => INTERRUPTED_WITHIN,
            Cause::Rebalance => RECOMMENDED_FOR,
        };
        let drained_on = format!("drained on {} of {}", cause.notice(), self.mark.at);
        if !self.instance.agent_connected {
            return FollowUp::Wait(format!("{drained_on}; its agent is not connected"));
        }
        if self.instance.group.is_some() && *state != LifecycleState::InService {
            return FollowUp::Wait(format!("{drained_on}; its group says that it is {state}"));
        }
        if self.age() < within {
            return FollowUp::Wait(format!("{drained_on}; the interruption may still come"));
        }
        // 3. It has come back, or was never taken.
        reactivate(format!("{drained_on}; it runs"))
    }

    /// Decides about a drain. The first rule that applies decides.
    fn decide_drain(
        &self,
        headroom: &Headroom,
        unplaced: &[PlacementFailure],
        lacking: Option<&str>,
    ) -> FollowUp {
        // 1. What its group takes away already is not the sweep's any more.
        let state = &self.instance.lifecycle_state;
        if state.is_terminating() || state.is_warmed() {
            return FollowUp::LeaveAlone(format!("its group takes it away already: it is {state}"));
        }
        // 2. What no group could take away, or what may not go any more, comes back.
        let Some((name, group)) = self.group() else {
            return reactivate("it is not in an Auto Scaling group any more".to_owned());
        };
        if let Some(reason) =
            kept_by_group(self.instance, group, self.inventory, self.policy, self.now)
        {
            return reactivate(reason.to_string());
        }
        // 3. What the load needs comes back, whatever has come of the drain.
        if let Some(why) = missing_headroom(headroom, self.policy)
            .or_else(|| lacking.map(str::to_owned))
            .filter(|_| !is_replaced(self.instance))
            .or_else(|| self.needed_by(unplaced))
            .or_else(|| scaled_out(name, group))
        {
            return FollowUp::Reactivate { why: format!("load has come back: {why}"), load: true };
        }
        self.decide_by_tasks(name, group)
    }

    /// The rules for an instance that may go and that no load needs.
    fn decide_by_tasks(&self, name: &GroupName, group: &Group) -> FollowUp {
        // 4. Nothing is decided about tasks that are not known.
        let Some(tasks_left) = self.tasks_left() else {
            return FollowUp::Wait("its tasks were not read".to_owned());
        };
        let is_stalled = self.age() >= STALLED_AFTER;
        // 5. A group that cannot be shrunk now is waited for, but not for ever.
        match &group.unavailable {
            Some(why) if is_stalled => {
                return reactivate(format!("group {name} cannot be shrunk: {why}"));
            }
            Some(why) => {
                return FollowUp::Wait(format!("group {name} cannot be shrunk now: {why}"));
            }
            None => {}
        }
        // 6. An empty instance goes: by ECS where it sees to that, or else by Ebb.
        if tasks_left == 0 && group.is_left_to_ecs() {
            return self.decide_left_to_ecs(name);
        }
        if tasks_left == 0 {
            return FollowUp::Terminate("its tasks have stopped".to_owned());
        }
        // 7. Tasks are waited for, but not for ever, unless the operator lets them end by
        //    themselves.
        if !is_stalled {
            FollowUp::Wait(format!("{} left", words::count(tasks_left, "task")))
        } else if self.only_standalone_tasks_may_be_left() {
            FollowUp::Wait(format!(
                "waits for {}: {ALLOW_STANDALONE_TASKS} is set",
                words::count(tasks_left, "standalone task")
            ))
        } else {
            reactivate(format!(
                "its drain, begun at {}, has stalled: {} left",
                self.mark.at,
                words::count(tasks_left, "task")
            ))
        }
    }

    /// The rules for an instance without tasks that ECS is to take.
    fn decide_left_to_ecs(&self, group: &GroupName) -> FollowUp {
        // What was noted before this drain is about an earlier one.
        let emptied_at = self.instance.emptied_at().filter(|at| *at >= self.mark.at);
        match emptied_at {
            None => FollowUp::NoteEmptied("its tasks have stopped; ECS takes it".to_owned()),
            Some(at)
                if self.now.duration_since(at) >= LOW_ALARM
                    && is_kept_as_spare(self.inventory, group) =>
            {
                FollowUp::ReturnSpare(format!(
                    "group {group} has no more instances than targetCapacity asks for: it is a spare \
                     one"
                ))
            }
            Some(at) if self.now.duration_since(at) >= TAKEN_WITHIN => {
                reactivate(format!("ECS has not taken it, which has had no tasks since {at}"))
            }
            Some(at) => {
                FollowUp::Wait(format!("its tasks have stopped; ECS takes it: seen at {at}"))
            }
        }
    }

    /// How long ago it was marked.
    fn age(&self) -> SignedDuration {
        self.now.duration_since(self.mark.at)
    }

    fn group(&self) -> Option<(&GroupName, &Group)> {
        let name = self.instance.group.as_ref()?;
        Some((name, self.inventory.groups.get(name)?))
    }

    /// The service that lacks this instance, if any: it finds no place for a task, has found none
    /// since the drain began and not before, and one of its tasks could run here.
    fn needed_by(&self, unplaced: &[PlacementFailure]) -> Option<String> {
        // An instance of unknown size is not called back for a task that may not fit on it.
        let registered = self.instance.registered?;
        let failure = unplaced.iter().find(|failure| {
            failure.began_after(self.mark.at) && fits(failure.demand, registered)
        })?;
        Some(format!("service {} finds no place for a task", failure.service))
    }

    /// How many tasks have not stopped, but for those of daemon services, which leave with the
    /// instance.
    fn tasks_left(&self) -> Option<usize> {
        let tasks = self.instance.tasks.as_ref()?;
        Some(tasks.iter().filter(|task| task.kind != TaskKind::Daemon).count())
    }

    /// Whether nothing is left but standalone tasks, and the operator lets those end by themselves.
    fn only_standalone_tasks_may_be_left(&self) -> bool {
        self.policy.allow_standalone_tasks
            && self
                .instance
                .tasks
                .iter()
                .flatten()
                .all(|task| matches!(task.kind, TaskKind::Standalone | TaskKind::Daemon))
    }
}

/// A group that its capacity provider makes larger can have back at once what is launched
/// otherwise.
fn scaled_out(name: &GroupName, group: &Group) -> Option<String> {
    let scaling = group.managed_scaling.filter(|scaling| scaling.scaling_out)?;
    let share = words::percent(scaling.target_capacity);
    Some(format!("its capacity provider scales group {name} out (targetCapacity {share})"))
}

fn reactivate(why: String) -> FollowUp {
    FollowUp::Reactivate { why, load: false }
}

impl PlacementFailure {
    fn began_after(&self, time: Timestamp) -> bool {
        self.latest >= time && self.oldest.is_none_or(|oldest| oldest >= time)
    }
}

fn fits(demand: Resources, registered: Resources) -> bool {
    demand
        .to_array()
        .into_iter()
        .zip(registered.to_array())
        .all(|(needed, registered)| needed <= registered)
}

/// What is lacking, if the headroom that the operator chose is not left.
fn missing_headroom(headroom: &Headroom, policy: &Policy) -> Option<String> {
    let Headroom { instances, registered, free } = headroom;
    if *instances < policy.min_instances {
        return Some(format!(
            "{} left, fewer than {MIN_INSTANCES} ({})",
            words::count(*instances, "usable instance"),
            policy.min_instances
        ));
    }
    if is_short(free.cpu, registered.cpu, policy.headroom_cpu_percent) {
        return Some(format!(
            "{} of CPU is free, less than {HEADROOM_CPU_PERCENT} ({})",
            words::share_below(headroom.cpu_percent()),
            words::percent(policy.headroom_cpu_percent)
        ));
    }
    is_short(free.memory_mib, registered.memory_mib, policy.headroom_memory_percent).then(|| {
        format!(
            "{} of memory is free, less than {HEADROOM_MEMORY_PERCENT} ({})",
            words::share_below(headroom.memory_percent()),
            words::percent(policy.headroom_memory_percent)
        )
    })
}

/// Whether less than this share is free. Compared in whole numbers: no rounding decides.
fn is_short(free: i64, registered: i64, percent: u32) -> bool {
    free < 0 || free.saturating_mul(100) < registered.saturating_mul(percent.into())
}

/// Counts an instance that is to be ACTIVE again, with what its tasks hold as free: they need no
/// other place then, and what is on its way to one was taken off the headroom.
fn add_to_headroom(headroom: &mut Headroom, inventory: &Inventory, instance: &Instance) {
    let (Some(registered), Some(remaining)) = (instance.registered, instance.remaining) else {
        return;
    };
    // Without both amounts it is no capacity for a plan either, so that it adds nothing.
    headroom.instances += 1;
    headroom.registered = sum(headroom.registered, registered);
    headroom.free = sum(headroom.free, remaining);
    for task in instance.tasks.iter().flatten() {
        if let TaskKind::Service(index) = task.kind
            && let Some(service) = inventory.services.get(index)
        {
            headroom.free = sum(headroom.free, service.demand);
        }
    }
}

fn sum(a: Resources, b: Resources) -> Resources {
    let mut sum = a.to_array();
    for (sum, amount) in sum.iter_mut().zip(b.to_array()) {
        // Amounts of instances that no plan believes come here as well.
        *sum = sum.saturating_add(amount);
    }
    Resources::from(sum)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ebb_planner::{
        EMPTIED_ATTRIBUTE, HostPort, ManagedScaling, Protocol, Service, TaskHeadroom,
    };

    use super::*;
    use crate::mark::DRAINED_BY;
    use crate::reaper::testing::{
        NOW, group_name, headroom, instance, inventory, managed_scaling, resources, seconds_ago,
        service, task,
    };

    const FUNCTION: &str = "scale-in-reaper";

    /// An instance that a sweep drained a while ago.
    fn drained(number: u64, seconds: i64) -> Instance {
        let function = FUNCTION.to_owned();
        let mark = Mark { function, at: seconds_ago(seconds), cause: None };
        Instance {
            status: ContainerInstanceStatus::Draining,
            attributes: [(DRAINED_BY.to_owned(), mark.to_string())].into(),
            ..instance(number)
        }
    }

    /// Plenty of room on what stays.
    fn roomy() -> Load {
        let headroom = headroom(10, (10_000, 10_000), (9_000, 9_000));
        Load { headroom, unplaced: Vec::new() }
    }

    fn decide(inventory: &Inventory, load: &Load) -> Vec<(usize, FollowUp)> {
        follow_up(inventory, &Policy::default(), load, FUNCTION, NOW)
    }

    fn decision_words(inventory: &Inventory, load: &Load) -> Vec<&'static str> {
        decide(inventory, load).iter().map(|(_, decision)| word(decision)).collect()
    }

    fn word(decision: &FollowUp) -> &'static str {
        match decision {
            FollowUp::Terminate(_) => "terminate",
            FollowUp::Wait(_) => "wait",
            FollowUp::NoteEmptied(_) => "note emptied",
            FollowUp::ReturnSpare(_) => "return spare",
            FollowUp::Reactivate { load: false, .. } => "reactivate",
            FollowUp::Reactivate { load: true, .. } => "reactivate for load",
            FollowUp::LeaveAlone(_) => "leave alone",
            FollowUp::Unmark(_) => "unmark",
        }
    }

    fn set_state(inventory: &mut Inventory, lifecycle_state: &str) {
        inventory.instances[0].lifecycle_state = lifecycle_state.into();
    }

    fn set_status(inventory: &mut Inventory, status: ContainerInstanceStatus) {
        inventory.instances[0].status = status;
    }

    fn set_mark(inventory: &mut Inventory, mark: &str) {
        inventory.instances[0].attributes.insert(DRAINED_BY.to_owned(), mark.to_owned());
    }

    fn set_tasks(inventory: &mut Inventory, kind: TaskKind) {
        inventory.instances[0].tasks = Some(vec![task(kind), task(TaskKind::Daemon)]);
    }

    fn group(inventory: &mut Inventory) -> &mut Group {
        inventory.groups.get_mut(&group_name()).unwrap()
    }

    type Change = fn(&mut Inventory);

    #[test]
    fn every_rule_about_a_drained_instance_has_its_say() {
        let cases: [(&str, Change); 14] = [
            ("empty", |_| {}),
            ("daemon tasks left", |inventory| set_tasks(inventory, TaskKind::Daemon)),
            ("a stopping task left", |inventory| set_tasks(inventory, TaskKind::Stopping)),
            ("a standalone task left", |inventory| set_tasks(inventory, TaskKind::Standalone)),
            ("tasks not read", |inventory| inventory.instances[0].tasks = None),
            ("Terminating:Wait", |inventory| set_state(inventory, "Terminating:Wait")),
            ("Terminating:Proceed", |inventory| set_state(inventory, "Terminating:Proceed")),
            ("Standby", |inventory| set_state(inventory, "Standby")),
            ("in no group", |inventory| inventory.instances[0].group = None),
            ("protected", |inventory| inventory.instances[0].protected_from_scale_in = true),
            ("group at its minimum", |inventory| group(inventory).min_size = 10),
            ("managed scaling", |inventory| {
                group(inventory).managed_scaling = Some(managed_scaling(true));
            }),
            ("group suspended", |inventory| {
                group(inventory).unavailable = Some("suspended".to_owned());
            }),
            ("not ours", |inventory| {
                let mark = "another/1970-01-01T00:00:00Z".to_owned();
                inventory.instances[0].attributes.insert(DRAINED_BY.to_owned(), mark);
            }),
        ];
        let mut lines = Vec::new();
        for (name, change) in cases {
            let [young, old] = [600, 7_200].map(|seconds| {
                let mut inventory = inventory(vec![drained(1, seconds)]);
                change(&mut inventory);
                decision_words(&inventory, &roomy()).first().copied().unwrap_or("nothing")
            });
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
    fn what_a_sweep_drained_is_stranded_unless_its_group_takes_it_away() {
        let cases: [(&str, Change, bool); 7] = [
            ("empty", |_| {}, true),
            ("busy", |inventory| set_tasks(inventory, TaskKind::Stopping), true),
            ("to come back", |inventory| group(inventory).min_size = 10, true),
            ("terminating", |inventory| set_state(inventory, "Terminating:Wait"), false),
            ("active", |inventory| set_status(inventory, ContainerInstanceStatus::Active), false),
            ("not ours", |inventory| set_mark(inventory, "another/1970-01-01T00:00:00Z"), false),
            (
                "drained on a notice",
                |inventory| set_mark(inventory, "spot-drainer/1970-01-01T00:00:00Z/stop"),
                false,
            ),
        ];
        for (name, change, expected) in cases {
            let mut inventory = inventory(vec![drained(1, 7_200)]);
            change(&mut inventory);
            let decisions = decide(&inventory, &roomy());
            let stranded = stranded(&inventory, &decisions, FUNCTION);
            assert_eq!(stranded.len(), usize::from(expected), "{name}");
        }
    }

    #[test]
    fn what_ecs_takes_by_itself_is_not_stranded_until_it_has_not_taken_it() {
        let policy = Policy { allow_managed_scaling: true, ..Policy::default() };
        for (protection, emptied, expected) in
            [(true, None, 0), (true, Some(0), 0), (true, Some(3_600), 1), (false, None, 1)]
        {
            let mut inventory = managed(protection);
            let emptied = emptied.map(|seconds| seconds_ago(seconds).to_string());
            let attributes = &mut inventory.instances[0].attributes;
            attributes.extend(emptied.map(|at| (EMPTIED_ATTRIBUTE.to_owned(), at)));
            let decisions = follow_up(&inventory, &policy, &roomy(), FUNCTION, NOW);
            let stranded = stranded(&inventory, &decisions, FUNCTION);
            assert_eq!(stranded.len(), expected, "{protection}: {decisions:?}");
        }
    }

    /// A drained instance whose group managed scaling decides about, with termination protection or
    /// without. It was drained two hours ago.
    fn managed(termination_protection: bool) -> Inventory {
        let mut inventory = inventory(vec![drained(1, 7_200)]);
        group(&mut inventory).managed_scaling = Some(managed_scaling(termination_protection));
        inventory.instances[0].protected_from_scale_in = termination_protection;
        inventory
    }

    fn assist(inventory: &Inventory) -> &'static str {
        let policy = Policy { allow_managed_scaling: true, ..Policy::default() };
        word(&follow_up(inventory, &policy, &roomy(), FUNCTION, NOW)[0].1)
    }

    #[test]
    fn what_ecs_takes_is_left_to_it_for_an_hour_from_when_it_was_seen_without_tasks() {
        assert_eq!(assist(&managed(true)), "note emptied");
        for (seconds, expected) in [
            (0, "wait"),
            (3_599, "wait"),
            (3_600, "reactivate"),
            (7_200, "reactivate"),
            (7_201, "note emptied"),
        ] {
            let mut inventory = managed(true);
            let emptied_at = seconds_ago(seconds).to_string();
            inventory.instances[0].attributes.insert(EMPTIED_ATTRIBUTE.to_owned(), emptied_at);
            assert_eq!(assist(&inventory), expected, "{seconds} s ago");
        }
        assert_eq!(assist(&managed(false)), "terminate", "ECS would take any of the group");
    }

    #[test]
    fn what_target_capacity_asks_for_comes_back_as_a_spare_instance() {
        let decided = |seconds, target_capacity| {
            let mut inventory = managed(true);
            let scaling = ManagedScaling { target_capacity, ..managed_scaling(true) };
            group(&mut inventory).managed_scaling = Some(scaling);
            // Four of five are in use.
            for number in 2..=5 {
                let tasks = Some(vec![task(TaskKind::Standalone)]);
                inventory.instances.push(Instance { tasks, ..instance(number) });
            }
            let emptied_at = seconds_ago(seconds).to_string();
            inventory.instances[0].attributes.insert(EMPTIED_ATTRIBUTE.to_owned(), emptied_at);
            assist(&inventory)
        };
        assert_eq!(decided(900, 80), "return spare");
        assert_eq!(decided(899, 80), "wait", "ECS may still take others");
        assert_eq!(decided(900, 90), "return spare");
        assert_eq!(decided(900, 100), "wait", "at a hundred percent none is asked for");
        assert_eq!(decided(3_600, 100), "reactivate");
    }

    #[test]
    fn what_still_holds_tasks_is_not_left_to_ecs_and_stalls_as_any_other() {
        for termination_protection in [true, false] {
            let mut inventory = managed(termination_protection);
            set_tasks(&mut inventory, TaskKind::Stopping);
            assert_eq!(assist(&inventory), "reactivate");
            let mark = Mark { function: FUNCTION.to_owned(), at: seconds_ago(7_199), cause: None };
            set_mark(&mut inventory, &mark.to_string());
            assert_eq!(assist(&inventory), "wait");
        }
    }

    #[test]
    fn a_group_that_is_scaled_out_has_its_instances_back() {
        for termination_protection in [true, false] {
            let mut inventory = managed(termination_protection);
            let scaling =
                ManagedScaling { scaling_out: true, ..managed_scaling(termination_protection) };
            group(&mut inventory).managed_scaling = Some(scaling);
            group(&mut inventory).unavailable = Some("it is being scaled out".to_owned());
            assert_eq!(assist(&inventory), "reactivate for load");
        }
    }

    /// What people read about one drained instance.
    fn why(inventory: &Inventory, policy: &Policy, load: &Load) -> String {
        follow_up(inventory, policy, load, FUNCTION, NOW)[0].1.why().to_owned()
    }

    #[test]
    fn the_reasons_are_sentences_with_plurals_units_and_the_setting_that_decides() {
        let policy = Policy { allow_standalone_tasks: true, ..Policy::default() };
        let mut short_of_cpu = roomy();
        short_of_cpu.headroom.free.cpu = 1_200;
        let mut short_of_memory = roomy();
        short_of_memory.headroom.free.memory_mib = 1_999;
        let alone = Load { headroom: Headroom::default(), unplaced: Vec::new() };

        let mut waiting = inventory(vec![drained(1, 600)]);
        set_tasks(&mut waiting, TaskKind::Stopping);
        let mut stalled = inventory(vec![drained(1, 7_200)]);
        stalled.instances[0].tasks = Some(vec![task(TaskKind::Stopping), task(TaskKind::Stopping)]);
        let mut standalone = inventory(vec![drained(1, 7_200)]);
        set_tasks(&mut standalone, TaskKind::Standalone);
        let lines = [
            why(&waiting, &policy, &short_of_cpu),
            why(&waiting, &policy, &short_of_memory),
            why(&waiting, &policy, &alone),
            why(&waiting, &policy, &roomy()),
            why(&stalled, &policy, &roomy()),
            why(&standalone, &policy, &roomy()),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        load has come back: 12.0 % of CPU is free, less than HEADROOM_CPU_PERCENT (20 %)
        load has come back: 19.9 % of memory is free, less than HEADROOM_MEMORY_PERCENT (20 %)
        load has come back: 0 usable instances left, fewer than MIN_INSTANCES (1)
        1 task left
        its drain, begun at 1969-12-31T22:00:00Z, has stalled: 2 tasks left
        waits for 1 standalone task: ALLOW_STANDALONE_TASKS is set
        ");
    }

    #[test]
    fn load_that_has_come_back_reactivates_the_youngest_drains_first_and_no_more_than_needed() {
        let inventory = inventory(vec![drained(1, 300), drained(2, 100), drained(3, 200)]);
        let mut load = roomy();
        load.headroom.free = resources(1_999, 9_000);
        let indices: Vec<_> = decide(&inventory, &load).iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [1, 2, 0]);
        assert_eq!(
            decision_words(&inventory, &load),
            ["reactivate for load", "terminate", "terminate"]
        );

        load.headroom = Headroom { instances: 0, ..Headroom::default() };
        assert_eq!(
            decision_words(&inventory, &load)[0],
            "reactivate for load",
            "below MIN_INSTANCES"
        );
    }

    /// The decision about an instance that was drained 600 seconds ago, if a service finds no place
    /// for a task with so much CPU: reported last, and first, so many seconds ago.
    fn word_if(latest: i64, oldest: Option<i64>, cpu: i64) -> &'static str {
        let failure = PlacementFailure {
            service: "web".to_owned(),
            latest: seconds_ago(latest),
            oldest: oldest.map(seconds_ago),
            demand: resources(cpu, 512),
        };
        decision_words(
            &inventory(vec![drained(1, 600)]),
            &Load { unplaced: vec![failure], ..roomy() },
        )[0]
    }

    #[test]
    fn a_service_without_a_place_gets_back_what_could_be_one() {
        assert_eq!(word_if(60, None, 1_024), "reactivate for load", "since the drain");
        assert_eq!(word_if(60, Some(500), 1_024), "reactivate for load", "twice since the drain");
        assert_eq!(word_if(60, Some(700), 1_024), "terminate", "before the drain already");
        assert_eq!(word_if(700, None, 1_024), "terminate", "only before the drain");
        assert_eq!(word_if(60, None, 4_096), "terminate", "a task too large for it");
    }

    #[test]
    fn room_for_whole_tasks_that_lacks_is_load_and_one_instance_is_enough_for_one_place() {
        let mut full = instance(3);
        full.remaining = Some(resources(100, 100));
        let mut inventory = inventory(vec![drained(1, 600), drained(2, 700), full]);
        inventory.services = vec![service([1_000, 1_000])];
        let task_headroom = TaskHeadroom { largest: 1, ..TaskHeadroom::default() };
        let policy = Policy { task_headroom, ..Policy::default() };
        let decisions = follow_up(&inventory, &policy, &roomy(), FUNCTION, NOW);
        let words: Vec<_> = decisions.iter().map(|(_, decision)| word(decision)).collect();
        assert_eq!(words, ["reactivate for load", "terminate"]);
        assert!(decisions[0].1.why().contains("load has come back: there is room for 0 tasks"));
        assert_eq!(decision_words(&inventory, &roomy()), ["terminate", "terminate"]);
    }

    #[test]
    fn the_tasks_of_an_instance_that_is_kept_need_no_other_place() {
        let mut inventory = inventory(vec![drained(1, 600), drained(2, 700)]);
        inventory.services = vec![Service {
            host_ports: BTreeSet::from([HostPort { protocol: Protocol::Tcp, number: 80 }]),
            in_flight: 1,
            ..service([1_000, 100])
        }];
        inventory.instances[0].tasks = Some(vec![task(TaskKind::Service(0))]);
        inventory.instances[0].remaining = Some(resources(1_048, 7_580));
        let mut load = roomy();
        // 2,048 of 12,048 CPU units are less than a fifth; with a second instance there are enough.
        load.headroom.free = resources(0, 9_000);
        assert_eq!(
            decision_words(&inventory, &load),
            ["reactivate for load", "reactivate for load"]
        );
        load.headroom.free = resources(400, 9_000);
        assert_eq!(
            decision_words(&inventory, &load),
            ["reactivate for load", "terminate"],
            "2,448"
        );
    }

    /// An instance that the Spot drainer drained on a notice a while ago.
    fn interrupted(number: u64, cause: Cause, seconds: i64) -> Instance {
        let function = "spot-drainer".to_owned();
        let mark = Mark { function, at: seconds_ago(seconds), cause: Some(cause) };
        let attributes = [(DRAINED_BY.to_owned(), mark.to_string())].into();
        Instance { attributes, ..drained(number, 0) }
    }

    #[test]
    fn what_was_drained_on_a_notice_comes_back_once_it_has_outlived_it() {
        let cases: [(&str, Change); 7] = [
            ("in service", |_| {}),
            ("with tasks", |inventory| set_tasks(inventory, TaskKind::Standalone)),
            ("in no group", |inventory| {
                inventory.instances[0].group = None;
                set_state(inventory, "");
            }),
            ("agent gone", |inventory| inventory.instances[0].agent_connected = false),
            ("Standby", |inventory| set_state(inventory, "Standby")),
            ("Terminating:Wait", |inventory| set_state(inventory, "Terminating:Wait")),
            ("ACTIVE", |inventory| {
                inventory.instances[0].status = ContainerInstanceStatus::Active;
            }),
        ];
        let mut lines = Vec::new();
        for (name, change) in cases {
            for cause in Cause::ALL {
                let words = [299, 300, 899, 900, 1_000_000].map(|seconds| {
                    let mut inventory = inventory(vec![interrupted(1, cause, seconds)]);
                    change(&mut inventory);
                    decision_words(&inventory, &roomy()).first().copied().unwrap_or("nothing")
                });
                lines.push(format!("{name}, {}: {}", cause.as_str(), words.join(", ")));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        in service, rebalance: wait, wait, wait, reactivate, reactivate
        in service, stop: wait, reactivate, reactivate, reactivate, reactivate
        in service, hibernate: wait, reactivate, reactivate, reactivate, reactivate
        with tasks, rebalance: wait, wait, wait, reactivate, reactivate
        with tasks, stop: wait, reactivate, reactivate, reactivate, reactivate
        with tasks, hibernate: wait, reactivate, reactivate, reactivate, reactivate
        in no group, rebalance: wait, wait, wait, reactivate, reactivate
        in no group, stop: wait, reactivate, reactivate, reactivate, reactivate
        in no group, hibernate: wait, reactivate, reactivate, reactivate, reactivate
        agent gone, rebalance: wait, wait, wait, wait, wait
        agent gone, stop: wait, wait, wait, wait, wait
        agent gone, hibernate: wait, wait, wait, wait, wait
        Standby, rebalance: wait, wait, wait, wait, wait
        Standby, stop: wait, wait, wait, wait, wait
        Standby, hibernate: wait, wait, wait, wait, wait
        Terminating:Wait, rebalance: leave alone, leave alone, leave alone, leave alone, leave alone
        Terminating:Wait, stop: leave alone, leave alone, leave alone, leave alone, leave alone
        Terminating:Wait, hibernate: leave alone, leave alone, leave alone, leave alone, leave alone
        ACTIVE, rebalance: nothing, nothing, nothing, unmark, unmark
        ACTIVE, stop: nothing, nothing, nothing, unmark, unmark
        ACTIVE, hibernate: nothing, nothing, nothing, unmark, unmark
        ");
    }

    #[test]
    fn what_is_back_counts_before_a_sweeps_own_drains_are_called_back() {
        let inventory = inventory(vec![drained(1, 300), interrupted(2, Cause::Stop, 600)]);
        let mut load = roomy();
        load.headroom.free = resources(1_999, 9_000);
        assert_eq!(decision_words(&inventory, &load), ["reactivate", "terminate"]);
    }

    #[test]
    fn amounts_that_cannot_be_true_come_back_as_well() {
        let endless = || Some(resources(i64::MAX, i64::MAX));
        let back = interrupted(1, Cause::Stop, 600);
        let instance = Instance { registered: endless(), remaining: endless(), ..back };
        let inventory = inventory(vec![instance]);
        assert_eq!(decision_words(&inventory, &roomy()), ["reactivate"]);
    }

    #[test]
    fn an_active_instance_loses_an_old_mark_and_keeps_a_young_one() {
        let status = ContainerInstanceStatus::Active;
        let inventory = inventory(vec![
            Instance { status: status.clone(), ..drained(1, 899) },
            Instance { status, ..drained(2, 900) },
        ]);
        let decisions = decide(&inventory, &roomy());
        assert!(matches!(decisions.as_slice(), [(1, FollowUp::Unmark(_))]), "{decisions:?}");
    }

    /// The share itself is enough, and so is nothing of nothing.
    #[test]
    fn headroom_is_short_below_what_is_asked_for() {
        for (free, registered, percent, expected) in [
            (21, 100, 20, false),
            (20, 100, 20, false),
            (19, 100, 20, true),
            (0, 100, 0, false),
            (-1, 100, 0, true),
            (0, 0, 20, false),
            (-1, 0, 0, true),
        ] {
            assert_eq!(is_short(free, registered, percent), expected, "{free} {percent}");
        }
        for (min_instances, expected) in [(1, false), (2, false), (3, true)] {
            let policy = Policy { min_instances, ..Policy::default() };
            let headroom = headroom(2, (4_096, 4_096), (4_096, 4_096));
            assert_eq!(missing_headroom(&headroom, &policy).is_some(), expected, "{min_instances}");
        }
    }

    #[test]
    fn what_is_to_be_active_again_counts_into_the_headroom() {
        let mut sum = headroom(3, (4_096, 4_096), (1_024, 1_024));
        let one = Instance { remaining: Some(resources(1_000, 2_000)), ..instance(1) };
        add_to_headroom(&mut sum, &inventory(Vec::new()), &one);
        assert_eq!(sum, headroom(4, (6_144, 11_776), (2_024, 3_024)));
    }

    /// Whoever's mark it bears, and for which reason: only a sweep's own drain is stranded.
    #[test]
    fn only_drains_of_sweeps_are_stranded() {
        for (function, cause, expected) in [
            (FUNCTION, None, 1),
            (FUNCTION, Some(Cause::Stop), 0),
            ("spot-drainer", None, 0),
            ("spot-drainer", Some(Cause::Stop), 0),
        ] {
            let mark = Mark { function: function.to_owned(), at: NOW, cause };
            let mut instance = drained(1, 60);
            instance.attributes.insert(DRAINED_BY.to_owned(), mark.to_string());
            let inventory = inventory(vec![instance]);
            let decisions = [(0, FollowUp::Wait("1 task left".to_owned()))];
            let stranded = stranded(&inventory, &decisions, FUNCTION);
            assert_eq!(stranded.len(), expected, "{function} {cause:?}");
        }
    }
}
