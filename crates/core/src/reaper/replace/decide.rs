//! What a sweep does about each container instance that is to be replaced. Group by group:
//!
//! 1. While a group's replacements are launched, nothing else of it is begun. A raise that may not
//!    have taken effect is made again: it sets what the claims say.
//! 2. As many go as have their replacement: by what the group's usable instances count for, and by
//!    the room for their tasks. Old ones go before younger ones, and none that would leave the
//!    group's zones more uneven than they are.
//! 3. Where no replacement has joined in time, the group becomes as large as before, as far as that
//!    is safe ([`super::give_back`]), and nothing of it is replaced for a day.
//! 4. Only a group at rest is raised, for as many as the budget and its maximum allow, and only if
//!    their tasks would have room on such instances.
//!
//! Removing what is drained is left to the sweep's follow-ups; doing what is decided here, to the
//! `scale-in-reaper`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Group, Instance, Inventory, Plan, Policy, kept_by_group};
use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::ContainerInstanceStatus;
use crate::ids::{GroupName, InstanceId};
use crate::mark::Mark;
use crate::reaper::budgets::Allowance;
use crate::reaper::replace::claim::{Claim, REPLACING_ATTRIBUTE};
use crate::reaper::replace::give_back::{JOINS_WITHIN, RaisedGroup};
use crate::reaper::replace::members::{GroupMember, GroupMembers};
use crate::reaper::replace::outdated::Why;
use crate::reaper::replace::retained::may_end_retained;
use crate::reaper::replace::room::{Drainable, Room};
use crate::words;

/// For how long a group is raised at most while an instance boots, waits for a launch hook, or has
/// joined without enough room for the tasks.
pub const RAISED_AT_MOST: SignedDuration = SignedDuration::from_hours(2);

/// For how long nothing of a group is replaced after a replacement failed: what was wrong with one
/// is likely wrong with the next.
pub const HALTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// All that a decision is made by.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The cluster, with the tasks of what is to be replaced.
    pub inventory: &'a Inventory,
    /// Its groups.
    pub groups: &'a BTreeMap<GroupName, GroupMembers>,
    /// Why instances are to be replaced, by position.
    pub outdated: &'a BTreeMap<usize, Why>,
    /// What a sweep may do.
    pub policy: &'a Policy,
    /// How many instances of the cluster may be on their way out at a time.
    pub allowance: &'a Allowance,
    /// Whether anything new may be begun; else only what was begun goes on.
    pub may_begin: bool,
    /// The function whose marks are a sweep's.
    pub function: &'a str,
    /// When.
    pub now: Timestamp,
}

/// What is done about an instance that is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for this reason.
    Stay(String),
    /// Its replacement is on its way.
    Wait(String),
    /// Claim it, raise its group for it, and note that. All of one group are raised at once.
    Raise {
        /// The claim that is written before.
        claim: Claim,
        /// The desired capacity to set; `None` if it is set already.
        desired_capacity: Option<i64>,
    },
    /// Drain it: its replacement is there.
    Drain {
        /// The claimed instance in place of which it goes, by position: its claim passes on.
        claimed: usize,
    },
    /// Make its group as large as before, and note that it failed. All of one group at once.
    GiveBack {
        /// The group's instances that are not in the cluster.
        unregistered: Vec<InstanceId>,
        /// By how much it was raised for all of these.
        raised_by: i64,
        /// When it was raised for the first of these.
        raised_at: Timestamp,
        /// Why.
        why: String,
    },
    /// Note that it failed: the group's surplus is for later sweeps to take.
    Fail(String),
    /// Remove its claim, which is over.
    Forget,
    /// Terminate it: it is retained outside its group's capacity, and nothing is left on it.
    TerminateRetained,
}

/// What is decided about a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// By position in the inventory.
    pub steps: BTreeMap<usize, Step>,
    /// Those that are drained, as a plan.
    pub drains: Option<Plan>,
    /// On how many instances that are still to be replaced ECS may place their tasks all the same.
    pub old_places: usize,
}

impl Decision {
    /// How many tasks each drain sets in motion.
    pub fn displaced(&self) -> BTreeMap<InstanceId, usize> {
        let drained = self.drains.iter().flat_map(|plan| &plan.remove);
        drained.map(|removal| (removal.instance_id.clone(), removal.motion.displaced)).collect()
    }
}

/// Whether a sweep has begun to replace any instance.
pub fn is_under_way(inventory: &Inventory) -> bool {
    inventory.instances.iter().any(|instance| Claim::among(&instance.attributes).is_some())
}

/// The groups that are raised for replacements, or may be.
fn raised_groups(inventory: &Inventory) -> BTreeSet<GroupName> {
    let instances = inventory.instances.iter();
    let claimed = instances.filter(|instance| is_claimed(instance) && instance.is_in_service());
    claimed.filter_map(|instance| instance.group.clone()).collect()
}

/// The cluster without the groups that are raised for replacements, as far as anything else may
/// shrink them: what is too many in them is there for a purpose.
pub fn without_raised_groups(inventory: &Inventory) -> Cow<'_, Inventory> {
    let raised = raised_groups(inventory);
    if raised.is_empty() {
        return Cow::Borrowed(inventory);
    }
    let mut inventory = inventory.clone();
    for name in &raised {
        if let Some(group) = inventory.groups.get_mut(name) {
            let why = "instances of it are being replaced".to_owned();
            group.unavailable.get_or_insert(why);
        }
    }
    Cow::Owned(inventory)
}

/// Decides about every instance that is to be replaced.
pub fn decide(scene: &Scene<'_>) -> Decision {
    let mut steps = BTreeMap::new();
    let (mut under_way, mut beginning) = (Vec::new(), Vec::new());
    let (mut on_their_way, mut draining) = (0, 0);
    for (index, instance) in scene.inventory.instances.iter().enumerate() {
        let is_claimed = is_claimed(instance) && instance.is_in_service();
        on_their_way += usize::from(instance.is_draining() || is_claimed);
        draining += usize::from(instance.is_draining());
        if scene.is_retained_with_nothing_left(instance) && scene.may_begin {
            steps.insert(index, Step::TerminateRetained);
        } else if instance.group.is_none() && Claim::among(&instance.attributes).is_some() {
            // It was detached, or its group is gone: nothing is raised for it any more.
            steps.insert(index, Step::Forget);
        }
    }
    let mut budget = scene.allowance.instances.saturating_sub(on_their_way);
    for (name, group) in &scene.inventory.groups {
        let Some(members) = scene.groups.get(name) else { continue };
        let view = GroupView::new(scene, name, group, members);
        if !view.open.is_empty() {
            under_way.extend(view.go_on(&mut steps));
        } else if scene.may_begin {
            beginning.push((view.begin(&mut steps, &mut budget), view));
        }
    }
    let outdated = scene.outdated.keys().copied().collect();
    let room = Room {
        inventory: scene.inventory,
        outdated: &outdated,
        policy: scene.policy,
        now: scene.now,
    };
    let budget = scene.allowance.instances.saturating_sub(draining);
    let drains = drain(scene, &room, under_way, budget, &mut steps);
    raise(scene, &room, &beginning, &mut steps);
    if scene.may_begin {
        for &index in scene.outdated.keys() {
            steps.entry(index).or_insert_with(|| Step::Stay(scene.why_not_now(index)));
        }
    }
    let stays_old = |index: &&usize| {
        let is_going = matches!(steps.get(*index), Some(Step::Drain { .. }));
        !is_going && is_usable(scene.instance(**index))
    };
    let old_places = scene.outdated.keys().filter(stays_old).count();
    Decision { steps, drains, old_places }
}

/// A group that is being replaced: in which order its instances go, how many of them, and whose
/// replacements they are.
struct Replaced<'a> {
    view: GroupView<'a>,
    order: Vec<usize>,
    number: usize,
    claimed: Vec<usize>,
}

fn drain(
    scene: &Scene<'_>,
    room: &Room<'_>,
    under_way: Vec<Replaced<'_>>,
    mut budget: usize,
    steps: &mut BTreeMap<usize, Step>,
) -> Option<Plan> {
    let mut wanted = Vec::new();
    for Replaced { order, number, .. } in &under_way {
        // A budget that holds now may be tighter than that by which the group was raised.
        let number = (*number).min(budget);
        budget -= number;
        wanted.push((order.clone(), number));
    }
    let Drainable { indices, refused, plan } = room.drainable(&wanted, false);
    for (Replaced { view, order, number, claimed }, (_, allowed)) in
        under_way.into_iter().zip(&wanted)
    {
        let going: Vec<_> = order.iter().copied().filter(|index| indices.contains(index)).collect();
        // One that was even beside another may not be without it.
        let going = view.keep_even(&going);
        // Each goes by a claim: its own, or that of one that stays for now.
        let mut others: Vec<_> =
            claimed.iter().copied().filter(|index| !going.contains(index)).collect();
        for &index in &going {
            let own = claimed.contains(&index).then_some(index);
            if let Some(claimed) = own.or_else(|| (!others.is_empty()).then(|| others.remove(0))) {
                steps.insert(index, Step::Drain { claimed });
            }
        }
        // Of the others so many have their replacement, and no room for their tasks.
        let without_room = (number - going.len()).min(others.len());
        view.wait_for(&others[without_room..], steps);
        for &index in &others[..without_room] {
            let since = scene.claim(index).map_or(scene.now, Claim::since);
            let is_over = scene.now.duration_since(since) >= RAISED_AT_MOST;
            let step = match refused.get(&index) {
                Some(why) if is_over => Step::Fail(why.clone()),
                Some(why) => Step::Wait(why.clone()),
                None if *allowed < number => Step::Wait(scene.budget_is_used_up()),
                None if is_over => Step::Fail(NO_ROOM.to_owned()),
                None => Step::Wait(NO_ROOM.to_owned()),
            };
            steps.insert(index, step);
        }
    }
    plan
}

const NO_ROOM: &str = "its replacement is there, without room for the tasks of others of its group";

fn raise(
    scene: &Scene<'_>,
    room: &Room<'_>,
    beginning: &[((Vec<usize>, usize), GroupView<'_>)],
    steps: &mut BTreeMap<usize, Step>,
) {
    let wanted: Vec<_> = beginning.iter().map(|(wanted, _)| wanted.clone()).collect();
    let Drainable { indices, refused, .. } = room.drainable(&wanted, true);
    for ((order, _), view) in beginning {
        let begun: Vec<_> = order.iter().copied().filter(|index| indices.contains(index)).collect();
        let more: i64 = begun.iter().map(|&index| scene.weight(index)).sum();
        let desired_capacity = view.group.desired_capacity.saturating_add(more);
        for index in begun {
            let claim = Claim::Raising { since: scene.now, from: view.group.desired_capacity };
            steps.insert(index, Step::Raise { claim, desired_capacity: Some(desired_capacity) });
        }
        for index in order {
            let why =
                refused.get(index).map_or("others go before it, as the budget says", |why| why);
            steps.entry(*index).or_insert_with(|| Step::Stay(why.to_owned()));
        }
    }
}

impl Scene<'_> {
    fn instance(&self, index: usize) -> &Instance {
        &self.inventory.instances[index]
    }

    fn claim(&self, index: usize) -> Option<Claim> {
        Claim::among(&self.instance(index).attributes)
    }

    /// What an instance counts for in its group.
    fn weight(&self, index: usize) -> i64 {
        self.instance(index).weight.max(1)
    }

    /// Whether the group of an instance gets smaller with it: it is being replaced, or a sweep drains
    /// it. What others drain may be replaced by its group.
    fn is_owed(&self, instance: &Instance) -> bool {
        let mark = Mark::among(&instance.attributes).filter(|_| instance.is_draining());
        is_claimed(instance)
            || mark.is_some_and(|mark| mark.function == self.function && mark.cause.is_none())
    }

    fn budget_is_used_up(&self) -> String {
        format!("no more may go at a time: {}", self.allowance.decided_by)
    }

    /// Why nothing is said of an instance otherwise.
    fn why_not_now(&self, index: usize) -> String {
        let instance = self.instance(index);
        if instance.group.is_none() {
            "it is in no Auto Scaling group".to_owned()
        } else if instance.is_draining() {
            self.why_draining(instance)
        } else if !instance.is_in_service() {
            format!("its group says that it is {}", instance.lifecycle_state)
        } else {
            "others of its group are being replaced".to_owned()
        }
    }

    /// What becomes of an instance that drains, so that it is replaced in the end.
    fn why_draining(&self, instance: &Instance) -> String {
        match Mark::among(&instance.attributes) {
            Some(Mark { cause: Some(cause), at, .. }) => format!(
                "it drains on {} of {at}: it goes, or is ACTIVE again and replaced later",
                cause.notice()
            ),
            Some(mark) if mark.function == self.function => "it drains already".to_owned(),
            Some(_) | None => "others drain it, and it is theirs to terminate".to_owned(),
        }
    }

    fn is_retained_with_nothing_left(&self, instance: &Instance) -> bool {
        let Some(name) = &instance.group else { return false };
        instance.lifecycle_state == LifecycleState::TerminatingRetained
            && instance.is_empty()
            && !instance.is_to_be_kept()
            && self.inventory.hold_on(instance, self.now).is_none()
            && may_end_retained(self.inventory, self.policy, name, self.now)
    }
}

/// A group with what of it is being replaced.
struct GroupView<'a> {
    scene: &'a Scene<'a>,
    name: &'a GroupName,
    group: &'a Group,
    members: &'a GroupMembers,
    /// Its instances in service, by position.
    in_service: Vec<usize>,
    /// Those with an open claim.
    open: Vec<(usize, Claim)>,
}

impl<'a> GroupView<'a> {
    fn new(
        scene: &'a Scene<'a>,
        name: &'a GroupName,
        group: &'a Group,
        members: &'a GroupMembers,
    ) -> Self {
        let instances = scene.inventory.instances.iter().enumerate();
        let in_service: Vec<_> = instances
            .filter(|(_, instance)| instance.group.as_ref() == Some(name))
            .filter(|(_, instance)| instance.is_in_service())
            .map(|(index, _)| index)
            .collect();
        let claims = in_service.iter().filter_map(|&index| Some((index, scene.claim(index)?)));
        let open = claims.filter(|(_, claim)| claim.is_open()).collect();
        Self { scene, name, group, members, in_service, open }
    }

    /// Goes on with what was begun. Returns what may have its replacement.
    fn go_on(self, steps: &mut BTreeMap<usize, Step>) -> Option<Replaced<'a>> {
        // 0. What somebody holds, or others size by now, stays as it is.
        if let Some(hold) = self.scene.inventory.group_hold(self.name, self.scene.now) {
            let held = self.open.iter().map(|(index, _)| (*index, Step::Wait(hold.to_string())));
            steps.extend(held);
            return None;
        }
        if let Some(why) = self.not_to_be_changed() {
            for &(index, claim) in &self.open {
                let step = if self.is_over(claim) {
                    Step::Fail(why.clone())
                } else {
                    Step::Wait(why.clone())
                };
                steps.insert(index, step);
            }
            return None;
        }
        // 1. Whether the raise took effect nobody noted.
        if let Some(wanted) = self.raised_capacity() {
            let wanted = wanted.min(self.members.max_size);
            let desired_capacity = (self.group.desired_capacity < wanted).then_some(wanted);
            for &(index, claim) in &self.open {
                let is_over = self.is_over(claim) && desired_capacity.is_some();
                let step = match claim {
                    Claim::Raising { .. } if is_over => {
                        Step::Fail("its group could not be raised".to_owned())
                    }
                    Claim::Raising { .. } => Step::Raise { claim, desired_capacity },
                    Claim::Raised { .. } | Claim::Returning { .. } | Claim::Failed { .. } => {
                        Step::Wait("its group is being raised".to_owned())
                    }
                };
                steps.insert(index, step);
            }
            return None;
        }
        // 2. What is given back is given back to the end.
        let is_returning = |(_, claim): &&(usize, Claim)| matches!(claim, Claim::Returning { .. });
        let returning: Vec<_> =
            self.open.iter().filter(is_returning).map(|(index, _)| *index).collect();
        if !returning.is_empty() {
            self.give_back(&returning, steps);
            return None;
        }
        // 3. What drains has its replacement already.
        let stays: Vec<_> = self
            .open
            .iter()
            .map(|(index, _)| *index)
            .filter(|&index| !self.scene.instance(index).is_draining())
            .collect();
        let mut claimed = self.in_order(stays.clone());
        claimed.extend(stays.into_iter().filter(|&index| !is_usable(self.scene.instance(index))));
        let order = self.in_order(self.scene.outdated.keys().copied().collect());
        let number = self.replacements_there(&order).min(claimed.len());
        let order = self.keep_even(&order);
        // 4. A group that is out of balance would terminate an instance of its fullest zone by
        //    itself (EC2 Auto Scaling User Guide, auto-scaling-benefits). Where Auto Scaling has
        //    launched in zones that have nothing to be replaced, it launches another one: in a zone
        //    that has fewest.
        if number > 0 && order.is_empty() {
            self.raise_again(&claimed, steps);
            return None;
        }
        Some(Replaced { view: self, order, number, claimed })
    }

    /// Why the group is not the reaper's to change, if so.
    fn not_to_be_changed(&self) -> Option<String> {
        let Self { scene, name, group, .. } = self;
        if group.managed_scaling.is_some() {
            Some(format!("the capacity provider of group {name} decides its size"))
        } else if let Some(why) = &group.unavailable {
            Some(format!("group {name} cannot be changed now: {why}"))
        } else if let Some(owner) = &group.owner {
            Some(format!("group {name} is {owner}'s"))
        } else if group.tagged_keep {
            Some(format!("group {name} is to be kept as it is"))
        } else if scene.policy.groups.as_ref().is_some_and(|groups| !groups.contains(*name)) {
            Some(format!("group {name} is none of those that may shrink"))
        } else {
            None
        }
    }

    /// Whether its group was raised for it for long enough. What is too many then is for later sweeps.
    fn is_over(&self, claim: Claim) -> bool {
        self.scene.now.duration_since(claim.since()) >= RAISED_AT_MOST
    }

    /// Raises the group once more for the first of what is claimed.
    fn raise_again(&self, claimed: &[usize], steps: &mut BTreeMap<usize, Step>) {
        for (position, &index) in claimed.iter().enumerate() {
            let from = self.group.desired_capacity;
            let capacity = from.saturating_add(self.scene.weight(index));
            let step = if position > 0 {
                Step::Wait(
                    "its replacement is in a zone that has nothing to be replaced".to_owned(),
                )
            } else if capacity > self.members.max_size {
                Step::Fail(format!(
                    "the zones of its group would be uneven without it, and that is at its maximum \
                     size ({})",
                    self.members.max_size
                ))
            } else {
                let claim = Claim::Raising { since: self.scene.now, from };
                Step::Raise { claim, desired_capacity: Some(capacity) }
            };
            steps.insert(index, step);
        }
    }

    /// The desired capacity that its claims are about to set; `None` if they are past that.
    fn raised_capacity(&self) -> Option<i64> {
        let mut raised = None;
        for &(index, claim) in &self.open {
            if let Claim::Raising { from, .. } = claim {
                let before = raised.unwrap_or(from);
                raised = Some(before.saturating_add(self.scene.weight(index)));
            }
        }
        raised
    }

    /// How many instances may go, as the group's usable ones count for more than it is to have
    /// without its replacements.
    fn replacements_there(&self, order: &[usize]) -> usize {
        let scene = self.scene;
        let sum = |indices: &mut dyn Iterator<Item = usize>| -> i64 {
            indices.map(|index| scene.weight(index)).sum()
        };
        let owed = sum(&mut self
            .in_service
            .iter()
            .copied()
            .filter(|&index| scene.is_owed(scene.instance(index))));
        let usable =
            sum(&mut self.in_service.iter().copied().filter(|&i| is_usable(scene.instance(i))));
        let wanted = self.group.desired_capacity.saturating_sub(owed).max(self.group.min_size);
        let mut surplus = usable.saturating_sub(wanted);
        let mut number = 0;
        for &index in order {
            surplus -= scene.weight(index);
            if surplus < 0 {
                break;
            }
            number += 1;
        }
        number
    }

    /// Waits for the replacements of these instances, or gives them up.
    fn wait_for(&self, claimed: &[usize], steps: &mut BTreeMap<usize, Step>) {
        let Some(youngest) =
            claimed.iter().filter_map(|&index| self.scene.claim(index)).map(Claim::since).max()
        else {
            return;
        };
        let waited = self.scene.now.duration_since(youngest);
        let is_pending = self.members.members.iter().any(GroupMember::is_pending);
        let patience = if is_pending { RAISED_AT_MOST } else { JOINS_WITHIN };
        if waited >= patience {
            self.give_back(claimed, steps);
            return;
        }
        for &index in claimed {
            let why = format!("its replacement is launched since {youngest}");
            steps.insert(index, Step::Wait(why));
        }
    }

    /// Makes the group as large as it was before it was raised for these instances.
    fn give_back(&self, claimed: &[usize], steps: &mut BTreeMap<usize, Step>) {
        let registered: BTreeSet<_> =
            self.scene.inventory.instances.iter().map(|instance| &instance.instance_id).collect();
        let members = self.members.members.iter().filter(|member| member.counts());
        let unregistered: Vec<_> = members
            .map(|member| member.instance_id.clone())
            .filter(|id| !registered.contains(id))
            .collect();
        let since = claimed.iter().filter_map(|&index| self.scene.claim(index)).map(Claim::since);
        let raised_at = since.min().unwrap_or(self.scene.now);
        let raised = RaisedGroup {
            desired_capacity: self.group.desired_capacity,
            min_size: self.group.min_size,
            members: &self.members.members,
            raised_by: claimed.iter().map(|&index| self.scene.weight(index)).sum(),
        };
        let why = if raised.unlaunched() > 0 {
            "EC2 launched no replacement".to_owned()
        } else if unregistered.is_empty() {
            "no replacement is usable: ACTIVE, with its agent connected".to_owned()
        } else {
            let number = words::count(unregistered.len(), "instance");
            format!("no replacement has joined the cluster: {number} of its group not in it")
        };
        for &index in claimed {
            let step = Step::GiveBack {
                unregistered: unregistered.clone(),
                raised_by: raised.raised_by,
                raised_at,
                why: why.clone(),
            };
            steps.insert(index, step);
        }
    }

    /// Which instances could be begun, in order, and how many of them. Takes these from the budget.
    fn begin(&self, steps: &mut BTreeMap<usize, Step>, budget: &mut usize) -> (Vec<usize>, usize) {
        let mut failed = Vec::new();
        for &index in &self.in_service {
            let Some(claim) = self.scene.claim(index) else { continue };
            if self.scene.now.duration_since(claim.since()) < HALTED_FOR {
                failed.push((claim.since(), self.scene.instance(index)));
            } else {
                steps.insert(index, Step::Forget);
            }
        }
        let outdated = self.in_order(self.scene.outdated.keys().copied().collect());
        let halted = failed.iter().map(|(since, instance)| {
            let id = &instance.instance_id;
            format!("nothing of its group is replaced until {}: {id} was not", *since + HALTED_FOR)
        });
        let why_none = halted.max().or_else(|| self.not_at_rest());
        let mut order = Vec::new();
        for index in outdated {
            match why_none.clone().or_else(|| self.stays(index)) {
                Some(why) => {
                    steps.insert(index, Step::Stay(why));
                }
                None => order.push(index),
            }
        }
        let mut room = self.members.max_size.saturating_sub(self.group.desired_capacity);
        let mut number = 0;
        while let Some(&index) = order.get(number).filter(|_| number < *budget) {
            room -= self.scene.weight(index);
            if room < 0 {
                break;
            }
            number += 1;
        }
        if number == 0 {
            let why = if *budget == 0 {
                self.scene.budget_is_used_up()
            } else {
                let Self { name, members, .. } = self;
                format!("group {name} is at its maximum size ({})", members.max_size)
            };
            for index in std::mem::take(&mut order) {
                steps.insert(index, Step::Stay(why.clone()));
            }
        }
        *budget -= number;
        (order, number)
    }

    /// Why an instance stays, whatever there is room for.
    fn stays(&self, index: usize) -> Option<String> {
        let instance = self.scene.instance(index);
        // It is one larger once the replacement is launched.
        let raised = Group {
            desired_capacity: self.group.desired_capacity.saturating_add(instance.weight),
            ..self.group.clone()
        };
        let Scene { inventory, policy, now, .. } = *self.scene;
        kept_by_group(instance, &raised, inventory, policy, now).map(|reason| reason.to_string())
    }

    /// Why nothing of the group can be begun just now, if so.
    fn not_at_rest(&self) -> Option<String> {
        let Self { name, group, members, .. } = self;
        if let Some(why) = self.not_to_be_changed() {
            return Some(why);
        }
        // Of another version of Ebb, perhaps: whether the group is raised for it nobody knows.
        let mut instances = self.in_service.iter().map(|&index| self.scene.instance(index));
        if let Some(instance) = instances.find(|instance| {
            instance.attributes.contains_key(REPLACING_ATTRIBUTE)
                && Claim::among(&instance.attributes).is_none()
        }) {
            let id = &instance.instance_id;
            return Some(format!(
                "the attribute {REPLACING_ATTRIBUTE} of {id} cannot be read: remove it, unless \
                 something replaces it"
            ));
        }
        let counting = members.members.iter().filter(|member| member.counts());
        let size: i64 = counting.clone().map(|member| member.weight.max(1)).sum();
        if size != group.desired_capacity || counting.clone().any(GroupMember::is_pending) {
            return Some(format!("group {name} is launching or terminating instances"));
        }
        let registered = self.in_service.len();
        let elsewhere = counting.count().saturating_sub(registered);
        if elsewhere > 0 {
            let elsewhere = words::count(elsewhere, "instance");
            return Some(format!("{elsewhere} of group {name} in service and not in this cluster"));
        }
        let is_usable = |index: &usize| is_usable(self.scene.instance(*index));
        let unusable = self.in_service.iter().filter(|index| !is_usable(index)).count();
        if unusable > 0 {
            let unusable = words::count(unusable, "instance");
            return Some(format!("{unusable} of group {name} not usable: draining or lost"));
        }
        None
    }

    /// The group's own among these instances that are usable, in the order in which they go: what
    /// EC2 is to end first, then the oldest; and before that those that leave the zones even.
    fn in_order(&self, mut indices: Vec<usize>) -> Vec<usize> {
        indices.retain(|index| {
            self.in_service.contains(index) && is_usable(self.scene.instance(*index))
        });
        indices.sort_by_key(|index| {
            let instance = self.scene.instance(*index);
            let is_scheduled =
                matches!(self.scene.outdated.get(index), Some(Why::ScheduledEvent(_)));
            (!is_scheduled, instance.registered_at, &instance.instance_id)
        });
        let mut zones = self.zones();
        let mut ordered = Vec::new();
        while !indices.is_empty() {
            let evenest = |index: &usize| stays_even(&zones, &self.scene.instance(*index).zone);
            let next = indices.iter().position(evenest).unwrap_or_default();
            let index = indices.remove(next);
            *zones.entry(&self.scene.instance(index).zone).or_default() -= 1;
            ordered.push(index);
        }
        ordered
    }

    /// How many instances the group has in each of its zones, without those that drain.
    fn zones(&self) -> BTreeMap<&str, i64> {
        let mut zones: BTreeMap<&str, i64> =
            self.members.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
        let in_service = self.members.members.iter();
        for member in in_service.filter(|member| member.counts()) {
            *zones.entry(&member.zone).or_default() += 1;
        }
        for &index in &self.in_service {
            // What drains is on its way out of its zone.
            if self.scene.instance(index).is_draining() {
                *zones.entry(&self.scene.instance(index).zone).or_default() -= 1;
            }
        }
        zones
    }

    /// Those of these instances that leave the zones as even as they are, one after the other.
    fn keep_even(&self, indices: &[usize]) -> Vec<usize> {
        let mut zones = self.zones();
        let mut kept = Vec::new();
        for &index in indices {
            let zone = self.scene.instance(index).zone.as_str();
            if stays_even(&zones, zone) {
                *zones.entry(zone).or_default() -= 1;
                kept.push(index);
            }
        }
        kept
    }
}

/// Whether the zones of a group differ no more once one of a zone has gone, or by one at most.
fn stays_even(zones: &BTreeMap<&str, i64>, zone: &str) -> bool {
    let spread = |counts: &mut dyn Iterator<Item = i64>| -> i64 {
        let counts: Vec<_> = counts.collect();
        counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
    };
    let before = spread(&mut zones.values().copied());
    let after = spread(&mut zones.iter().map(|(name, count)| count - i64::from(*name == zone)));
    after <= before.max(1)
}

/// Whether a sweep has begun to replace an instance, and has not given up.
fn is_claimed(instance: &Instance) -> bool {
    Claim::among(&instance.attributes).is_some_and(Claim::is_open)
}

/// Whether an instance takes tasks, for all that is known.
fn is_usable(instance: &Instance) -> bool {
    instance.status == ContainerInstanceStatus::Active
        && instance.agent_connected
        && !instance.unhealthy
        && instance.is_in_service()
}

/// Whether a drain of a sweep goes on although the headroom is short: the replacement of what drains
/// is there, so that as much is free without it as before.
pub fn is_replaced(instance: &Instance) -> bool {
    let has_mark = Mark::among(&instance.attributes).is_some();
    has_mark && matches!(Claim::among(&instance.attributes), Some(Claim::Raised { .. }))
}
