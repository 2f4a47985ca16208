//! Which instances may go and which may take displaced tasks, by each instance's own facts alone.
//!
//! The rules are [`RULES`], in order: the first that speaks gives the reason. What depends on the
//! other instances (room, headroom, minimums, shares, zones) is left to [`crate::limits`] and the
//! search.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::ecs::{ContainerInstanceStatus, Resources};
use crate::expression::Expression;
use crate::group_rules;
use crate::ids::{GroupName, InstanceId};
use crate::inventory::{Group, Instance, Inventory, KEEP_TASKS_TAG, Service, Task, TaskKind};
use crate::pattern::Patterns;
use crate::policy::Policy;
use crate::reason::KeepReason;

/// What a rule looks at.
pub(crate) struct Facts<'a> {
    inventory: &'a Inventory,
    instance: &'a Instance,
    group: Option<&'a Group>,
    unclear: &'a [Option<String>],
    mentions: usize,
    policy: &'a Policy,
    now: Timestamp,
}

/// A rule: `Some` reason to keep the instance, or nothing to say.
pub(crate) type Rule = fn(&Facts<'_>) -> Option<KeepReason>;

/// The rules, in the order in which they are asked.
pub(crate) const RULES: [Rule; 20] = [
    // What cannot be true comes first: no other rule can be trusted then.
    contradiction,
    // What ECS says.
    draining,
    not_active,
    agent_disconnected,
    ecs_managed,
    // What Auto Scaling says.
    no_group,
    not_in_service,
    unhealthy,
    protected_from_scale_in,
    // What its owner says.
    held,
    keep,
    group_owned,
    group_unavailable,
    // What the operator says.
    group_not_allowed,
    managed_scaling,
    not_taken,
    too_young,
    group_at_minimum,
    // What runs on it.
    not_read,
    pinned,
];

/// How a group is held back whose managed scaling would undo a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Only what is empty may go, and no more of it than `targetCapacity` leaves.
    Busy,
    /// Nothing of it may go.
    All,
}

/// Which instances can take displaced tasks, and the reason to keep each that may not go.
pub(crate) struct Eligibility {
    /// By index of the inventory: whether it counts as capacity and can take displaced tasks.
    pub(crate) usable: Vec<bool>,
    /// By index of the inventory: why it stays whatever the others do; `None` for a candidate.
    pub(crate) kept: Vec<Option<KeepReason>>,
    /// The groups that are held back, as managed scaling would undo what goes of them.
    pub(crate) held: BTreeMap<GroupName, Held>,
    /// The constraints of all services, as they were read.
    pub(crate) constraints: Constraints,
}

impl Eligibility {
    /// Keeps the candidates of these groups, which a plan would shrink for no use, for these reasons:
    /// those that hold tasks, and the next time all.
    pub(crate) fn hold(&mut self, inventory: &Inventory, undone: BTreeMap<GroupName, KeepReason>) {
        for (instance, kept) in inventory.instances.iter().zip(&mut self.kept) {
            let Some(group) = &instance.group else { continue };
            let Some(reason) = undone.get(group) else { continue };
            if kept.is_none() && (self.held.contains_key(group) || !instance.is_empty()) {
                *kept = Some(reason.clone());
            }
        }
        for group in undone.into_keys() {
            self.held.entry(group).and_modify(|held| *held = Held::All).or_insert(Held::Busy);
        }
    }
}

/// By text: a constraint, or why it is not understood.
pub(crate) type Constraints = BTreeMap<String, Result<Expression, String>>;

/// Asks every rule about every instance.
pub(crate) fn eligibility(inventory: &Inventory, policy: &Policy, now: Timestamp) -> Eligibility {
    let mut mentions = BTreeMap::<&InstanceId, usize>::new();
    for instance in &inventory.instances {
        *mentions.entry(&instance.instance_id).or_default() += 1;
    }
    let constraints = constraints(inventory);
    let unclear = unclear(inventory, &constraints);
    let verdicts = inventory.instances.iter().map(|instance| {
        let facts = Facts {
            inventory,
            instance,
            group: instance.group.as_ref().and_then(|name| inventory.groups.get(name)),
            unclear: &unclear,
            mentions: mentions[&instance.instance_id],
            policy,
            now,
        };
        // Asked apart, as what stays for a reason of its own may well take tasks of others.
        (usable(&facts), RULES.iter().find_map(|rule| rule(&facts)))
    });
    let (usable, kept) = verdicts.unzip();
    Eligibility { usable, kept, held: BTreeMap::new(), constraints }
}

/// Reads every constraint of the services once, as many share theirs.
fn constraints(inventory: &Inventory) -> Constraints {
    let constraints = inventory.services.iter().flat_map(|service| &service.constraints);
    // The shortest first: where patterns are more work than is allowed, those of people are served.
    let distinct: BTreeSet<(usize, &String)> =
        constraints.map(|constraint| (constraint.len(), constraint)).collect();
    let mut patterns = Patterns::new(&inventory.instances);
    let mut constraints = distinct
        .into_iter()
        .map(|(_, constraint)| (constraint.clone(), Expression::parse(constraint, &mut patterns)))
        .collect();
    heed_evidence(&mut constraints, inventory);
    constraints
}

/// Where a task runs that its constraint would keep away, if what is absent did not count as another
/// value, ECS counts it so.
fn heed_evidence(constraints: &mut Constraints, inventory: &Inventory) {
    // For few services it can make a difference, and clusters have many tasks.
    let in_question: Vec<bool> = inventory
        .services
        .iter()
        .map(|service| {
            let mut read = service.constraints.iter().filter_map(|text| constraints.get(text));
            read.any(|read| read.as_ref().is_ok_and(Expression::negates_a_comparison))
        })
        .collect();
    for instance in &inventory.instances {
        for task in instance.tasks.iter().flatten() {
            let TaskKind::Service(index) = task.kind else { continue };
            if !in_question.get(index).is_some_and(|in_question| *in_question) {
                continue;
            }
            for text in &inventory.services[index].constraints {
                if let Some(Ok(expression)) = constraints.get_mut(text) {
                    expression.heed_task_on(instance);
                }
            }
        }
    }
}

/// By service: why nobody can tell where its tasks may run, if so.
fn unclear(inventory: &Inventory, constraints: &Constraints) -> Vec<Option<String>> {
    let problems: BTreeMap<&String, String> = constraints
        .iter()
        .filter_map(|(constraint, expression)| {
            let problem = match expression {
                Err(why) => format!("is not understood: {why}"),
                Ok(expression) => {
                    format!("cannot be relied on: {}", doubt(expression, &inventory.instances)?)
                }
            };
            Some((constraint, format!("its constraint `{constraint}` {problem}")))
        })
        .collect();
    inventory
        .services
        .iter()
        .map(|service| {
            let mut constraints = service.constraints.iter();
            let problem = || constraints.find_map(|constraint| problems.get(constraint).cloned());
            service.unclear.clone().or_else(problem)
        })
        .collect()
}

/// Where a constraint might hold, ECS might put tasks that the plan does not count there.
fn doubt(expression: &Expression, instances: &[Instance]) -> Option<&'static str> {
    // Without a doubt about the expression itself, no instance need be asked.
    expression
        .doubt()
        .filter(|_| instances.iter().any(|instance| expression.holds(instance).is_none()))
}

/// Whether an instance is capacity: draining, young, disconnected, unhealthy and doubtful ones are
/// not, as nobody knows how long they stay; nor are those that ECS manages, as tasks of other
/// capacity never land there. One in no group is, as long as ECS says so.
fn usable(facts: &Facts<'_>) -> bool {
    let doubts: [Rule; 7] = [
        contradiction,
        draining,
        not_active,
        agent_disconnected,
        ecs_managed,
        unhealthy,
        too_young,
    ];
    let in_service = facts.instance.group.is_none() || facts.instance.is_in_service();
    in_service && doubts.iter().all(|rule| rule(facts).is_none())
}

fn contradiction(facts: &Facts<'_>) -> Option<KeepReason> {
    contradiction_text(facts).map(KeepReason::Contradiction)
}

fn contradiction_text(facts: &Facts<'_>) -> Option<String> {
    let instance = facts.instance;
    if facts.mentions > 1 {
        return Some("two container instances are on it".to_owned());
    }
    if let Some(name) = &instance.unknown_resource {
        return Some(format!("it registered a resource {name} that nobody knows"));
    }
    let (Some(registered), Some(remaining)) = (instance.registered, instance.remaining) else {
        return Some("its CPU or its memory is missing".to_owned());
    };
    if let Some(impossible) = impossible_amounts(registered, remaining) {
        return Some(impossible);
    }
    let tasks = instance.tasks.as_ref().map_or(0, Vec::len);
    if facts.inventory.services.len() > COUNT_MAX || tasks > COUNT_MAX {
        return Some(format!("more than {COUNT_MAX} services or tasks"));
    }
    if !(1..=AMOUNT_MAX).contains(&instance.weight) {
        return Some(format!("its weight is {}", instance.weight));
    }
    match (&instance.group, facts.group) {
        (Some(name), None) => Some(format!("its group {name} was not found")),
        _ => impossible_demand(facts),
    }
}

/// The largest amount of any resource that is believed: one then fits
/// into 32 bits, and sums over a cluster stay far within 64.
pub(crate) const AMOUNT_MAX: i64 = 1 << 30;

/// The most services of a cluster, and tasks of an instance, that are believed. A cluster has 5,000
/// services at most (ECS quotas).
const COUNT_MAX: usize = 60_000;

fn impossible_amounts(registered: Resources, remaining: Resources) -> Option<String> {
    registered
        .to_array()
        .into_iter()
        .zip(remaining.to_array())
        .find(|&(registered, remaining)| {
            remaining < 0 || registered < remaining || registered > AMOUNT_MAX
        })
        .map(|(registered, remaining)| format!("{remaining} of {registered} remain of a resource"))
}

fn impossible_demand(facts: &Facts<'_>) -> Option<String> {
    for task in facts.instance.tasks.iter().flatten() {
        let TaskKind::Service(index) = task.kind else { continue };
        let Some(service) = facts.inventory.services.get(index) else {
            return Some("a task belongs to a service that was not read".to_owned());
        };
        let mut amounts = service.demand.to_array().into_iter();
        if let Some(amount) = amounts.find(|amount| !(0..=AMOUNT_MAX).contains(amount)) {
            let name = &service.name;
            return Some(format!("a task of service {name} holds {amount} of a resource"));
        }
    }
    None
}

fn draining(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.instance.is_draining().then_some(KeepReason::Draining)
}

fn not_active(facts: &Facts<'_>) -> Option<KeepReason> {
    match &facts.instance.status {
        ContainerInstanceStatus::Active => None,
        status => Some(KeepReason::NotActive(status.clone())),
    }
}

fn agent_disconnected(facts: &Facts<'_>) -> Option<KeepReason> {
    (!facts.instance.agent_connected).then_some(KeepReason::AgentDisconnected)
}

fn ecs_managed(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.instance.ecs_managed.then_some(KeepReason::EcsManaged)
}

fn unhealthy(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.instance.unhealthy.then_some(KeepReason::Unhealthy)
}

fn held(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.inventory.hold_on(facts.instance, facts.now).map(KeepReason::Held)
}

fn keep(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::keep(facts.instance, facts.group)
}

fn group_owned(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::group_owned(facts.instance.group.as_ref()?, facts.group?)
}

fn no_group(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.instance.group.is_none().then_some(KeepReason::NoGroup)
}

fn not_in_service(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::not_in_service(facts.instance)
}

fn protected_from_scale_in(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::protected_from_scale_in(facts.instance, facts.group)
}

fn group_unavailable(facts: &Facts<'_>) -> Option<KeepReason> {
    let why = facts.group?.unavailable.clone()?;
    Some(KeepReason::GroupUnavailable(facts.instance.group.clone()?, why))
}

fn group_not_allowed(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::group_not_allowed(facts.instance.group.as_ref()?, facts.policy)
}

fn managed_scaling(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::managed_scaling(facts.instance.group.as_ref()?, facts.group?, facts.policy)
}

/// For how long an instance that ECS did not take is not drained again: its tasks would move for
/// nothing once more, and a day later the load may be another one.
const NOT_TAKEN_FOR: SignedDuration = SignedDuration::from_hours(24);

fn not_taken(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.group.filter(|group| group.is_left_to_ecs())?;
    let emptied_at = facts.instance.emptied_at()?;
    // A time to come is none that a sweep wrote.
    let is_recent =
        (SignedDuration::ZERO..NOT_TAKEN_FOR).contains(&facts.now.duration_since(emptied_at));
    is_recent.then_some(KeepReason::NotTaken { emptied_at })
}

/// One of unknown age is young.
fn too_young(facts: &Facts<'_>) -> Option<KeepReason> {
    let min_instance_age = facts.policy.min_instance_age;
    let is_old = facts
        .instance
        .registered_at
        .is_some_and(|registered_at| facts.now.duration_since(registered_at) >= min_instance_age);
    (!is_old).then_some(KeepReason::TooYoung { min_instance_age })
}

fn group_at_minimum(facts: &Facts<'_>) -> Option<KeepReason> {
    group_rules::group_at_minimum(facts.instance, facts.group?)
}

fn not_read(facts: &Facts<'_>) -> Option<KeepReason> {
    facts.instance.tasks.is_none().then_some(KeepReason::NotRead)
}

fn pinned(facts: &Facts<'_>) -> Option<KeepReason> {
    // The first by id is named, so that the order in which tasks are listed does not matter.
    let tasks = facts.instance.tasks.iter().flatten();
    let pinned = tasks.filter_map(|task| Some((&task.id, pins(task, facts)?))).min();
    pinned.map(|(_, why)| KeepReason::Pinned(why))
}

/// Why a task keeps its instance, if it does.
fn pins(task: &Task, facts: &Facts<'_>) -> Option<String> {
    let id = &task.id;
    match task.kind {
        TaskKind::Daemon | TaskKind::Stopping => None,
        TaskKind::Standalone if facts.policy.allow_standalone_tasks => None,
        TaskKind::Standalone => {
            Some(format!("task {id} is standalone: nothing would start it elsewhere"))
        }
        TaskKind::UnknownService => {
            Some(format!("task {id} belongs to a service that could not be read"))
        }
        TaskKind::Service(index) => {
            let service = facts.inventory.services.get(index)?;
            immovable(service, facts.unclear[index].as_ref(), task.protected)
                .map(|why| format!("task {id} of service {} {why}", service.name))
        }
    }
}

/// Why ECS would not move a task of this service, if so.
fn immovable(service: &Service, unclear: Option<&String>, protected: bool) -> Option<String> {
    if protected {
        return Some("is protected from scale-in".to_owned());
    }
    if service.keep_tasks {
        return Some(format!("is to stay where it is: its service has the tag {KEEP_TASKS_TAG}"));
    }
    // Neither may a task stop before its replacement runs, nor may the replacement start before.
    // Source: ECS Developer Guide, container-instance-draining.
    if service.minimum_healthy_percent >= 100 && service.maximum_percent <= 100 {
        return Some(
            "cannot be replaced: its minimumHealthyPercent and its maximumPercent are both 100"
                .to_owned(),
        );
    }
    unclear.map(|why| format!("cannot be planned for: {why}"))
}
