//! The page of a plan: every container instance with what its tasks hold, which go, and where what
//! moves may land.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use ebb_core::reaper::request::Purpose;
use ebb_core::reaper::{Cap, ClusterReport, OutcomeKind, Potential, Replacement};
use ebb_core::words::{self, HOURS_PER_MONTH};
use ebb_planner::ids::{GroupName, InstanceId};
use ebb_planner::{
    Group, Headroom, Instance, Inventory, Kept, Plan, Policy, Removal, Reserved, Resources, Saving,
    TaskKind, landing_places,
};
use jiff::Timestamp;

use crate::numbers::{grouped, moment, share};
use crate::short_ids::ShortIds;

/// How many instances are named for which a task has room; the others are counted.
const PLACES_MAX: usize = 8;
/// How much of a bar one character of its labels takes at the narrowest that bars become, in
/// percent. A label that would not fit is left out.
const LABEL_CHAR_PERCENT: f64 = 2.3;
/// The code, in a filter, of what goes.
const GOES: &str = "goes";

/// Writes the page of a plan: one HTML file that needs nothing else.
///
/// `report` is what a sweep would say, and `shapes` says in sentences what other instance types would
/// cost; `policy` and `now` are those that the plan was made with. An instance takes about 2 kB of the
/// page.
pub fn plan_page(
    inventory: &Inventory,
    report: &ClusterReport,
    shapes: &[String],
    policy: &Policy,
    now: Timestamp,
) -> String {
    let ClusterReport { plan, purpose, .. } = report;
    let drawing = Drawing::new(inventory, report, policy, now);
    let cards: Vec<Card> =
        inventory.instances.iter().map(|instance| drawing.card(instance)).collect();
    PlanPage {
        cluster: inventory.cluster.name(),
        headline: headline(report),
        time: moment(now),
        figures: match purpose {
            Purpose::Remove => figures(plan, &report.potential),
            Purpose::Replace => replacement_figures(report),
        },
        meters: [
            meter("CPU", plan, policy.headroom_cpu_percent, Headroom::cpu_percent),
            meter("memory", plan, policy.headroom_memory_percent, Headroom::memory_percent),
        ],
        filters: filters(&cards),
        reserved: plan.reserved.iter().map(reserved_line).collect(),
        shapes,
        settings: settings(policy),
        groups: groups(inventory, cards),
    }
    .to_string()
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage<'a> {
    cluster: &'a str,
    headline: String,
    time: String,
    figures: Vec<Figure>,
    meters: [Meter; 2],
    filters: Vec<Filter>,
    reserved: Vec<String>,
    shapes: &'a [String],
    settings: String,
    groups: Vec<GroupView>,
}

/// A number to be seen first, with a line about it.
struct Figure {
    name: &'static str,
    value: String,
    about: String,
}

/// What is free of a resource, before the plan and after it.
struct Meter {
    resource: &'static str,
    instances: [usize; 2],
    /// In percent, to draw and to read.
    free: [f64; 2],
    shares: [String; 2],
    /// What must be free, in percent.
    must: u32,
}

/// A button that shows the instances with one reason only.
struct Filter {
    code: &'static str,
    words: String,
    instances: usize,
}

struct GroupView {
    name: String,
    facts: String,
    zones: Vec<ZoneView>,
}

struct ZoneView {
    name: String,
    cards: Vec<Card>,
}

/// A container instance.
struct Card {
    group: Option<GroupName>,
    zone: String,
    id: String,
    short: String,
    about: String,
    code: &'static str,
    goes: bool,
    reason: String,
    bars: [Bar; 2],
    tasks: Vec<TaskRow>,
    tasks_read: bool,
    /// The services of which a task that moves may land here, with a space before and after each.
    takes: String,
}

/// What is held of one resource of an instance.
struct Bar {
    resource: &'static str,
    held: String,
    blocks: Vec<Block>,
}

/// What the tasks of a service hold of a bar.
struct Block {
    width: f64,
    label: String,
    about: String,
    /// The service whose tasks move, if they do.
    moves: Option<usize>,
    known: bool,
}

/// Tasks of an instance that are alike.
struct TaskRow {
    name: String,
    count: usize,
    about: String,
    moves: Option<usize>,
    lands: String,
}

/// What is looked up for every instance.
struct Drawing<'a> {
    inventory: &'a Inventory,
    removals: BTreeMap<&'a InstanceId, &'a Removal>,
    kept: BTreeMap<&'a InstanceId, &'a Kept>,
    /// Whether the sweep replaces what is old.
    replaces: bool,
    replacements: BTreeMap<&'a InstanceId, &'a Replacement>,
    places: BTreeMap<usize, Vec<InstanceId>>,
    /// The services that have a task on what goes.
    moving: BTreeSet<usize>,
    short: ShortIds,
}

impl<'a> Drawing<'a> {
    fn new(
        inventory: &'a Inventory,
        report: &'a ClusterReport,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let ClusterReport { plan, purpose, replacements, .. } = report;
        let removals: BTreeMap<_, _> =
            plan.remove.iter().map(|removal| (&removal.instance_id, removal)).collect();
        let leaving = inventory
            .instances
            .iter()
            .filter(|instance| removals.contains_key(&instance.instance_id));
        Self {
            inventory,
            moving: leaving
                .flat_map(|instance| task_counts(instance).into_keys())
                .flatten()
                .collect(),
            removals,
            kept: plan.keep.iter().map(|kept| (&kept.instance_id, kept)).collect(),
            replaces: *purpose == Purpose::Replace,
            replacements: replacements.iter().map(|it| (&it.outcome.instance_id, it)).collect(),
            places: landing_places(inventory, plan, policy, now),
            short: ShortIds::new(
                inventory.instances.iter().map(|instance| instance.instance_id.as_str()),
            ),
        }
    }

    fn card(&self, instance: &Instance) -> Card {
        let id = &instance.instance_id;
        // What is replaced has its tasks moved to what is not there yet.
        let moves = self.removals.contains_key(id);
        let replacement = self.replacements.get(id);
        let goes = moves || replacement.is_some_and(|it| is_going(it));
        let (code, reason) = match (replacement, self.removals.get(id), self.kept.get(id)) {
            (Some(replacement), ..) => {
                (replacement.outcome.outcome.as_str(), replacement_text(replacement))
            }
            (None, Some(removal), _) => (GOES, removal.reason.to_string()),
            (None, None, _) if self.replaces => {
                ("not_old", "nothing says that it is old".to_owned())
            }
            (None, None, Some(kept)) => (kept.reason.code(), kept.reason.to_string()),
            (None, None, None) => ("not_planned", "it is not in the plan".to_owned()),
        };
        let takes = self.moving.iter().filter(|service| {
            self.places.get(*service).is_some_and(|places| places.binary_search(id).is_ok())
        });
        Card {
            group: instance.group.clone(),
            zone: instance.zone.clone(),
            id: id.to_string(),
            short: self.short.of(id.as_str()),
            about: about(instance),
            code,
            goes,
            reason,
            bars: [
                self.bar(instance, moves, "CPU", "units", |resources| resources.cpu),
                self.bar(instance, moves, "memory", "MiB", |resources| resources.memory_mib),
            ],
            tasks: self.task_rows(instance, moves),
            tasks_read: instance.tasks.is_some(),
            takes: takes.map(|service| format!(" {service} ")).collect(),
        }
    }

    fn bar(
        &self,
        instance: &Instance,
        moves: bool,
        resource: &'static str,
        unit: &'static str,
        amount: fn(&Resources) -> i64,
    ) -> Bar {
        let (Some(registered), Some(remaining)) = (&instance.registered, &instance.remaining)
        else {
            return Bar { resource, held: "not known".to_owned(), blocks: Vec::new() };
        };
        let (registered, remaining) = (amount(registered), amount(remaining));
        let held = registered.saturating_sub(remaining);
        let mut unexplained = held;
        let mut blocks = Vec::new();
        for (service, count) in task_counts(instance) {
            let Some(service) = service else { continue };
            let Some(facts) = self.inventory.services.get(service) else { continue };
            let tasks = i64::try_from(count).unwrap_or(i64::MAX);
            // Of what an inventory may say by mistake, no more is drawn than is held.
            let amount = amount(&facts.demand).saturating_mul(tasks).clamp(0, unexplained.max(0));
            unexplained -= amount;
            let (width, name) = (share(amount, registered), &facts.name);
            let amount = grouped(amount);
            let tasks = words::count(count, "task");
            blocks.push(Block {
                width,
                label: label(name, width),
                about: format!("{name}: {tasks}, {amount} {unit} of {resource}"),
                moves: moves.then_some(service),
                known: true,
            });
        }
        if unexplained > 0 {
            blocks.push(Block {
                width: share(unexplained, registered),
                label: String::new(),
                about: format!("other tasks: {} {unit} of {resource}", grouped(unexplained)),
                moves: None,
                known: false,
            });
        }
        let held = format!("{} of {}", grouped(held), grouped(registered));
        Bar { resource, held, blocks }
    }

    fn task_rows(&self, instance: &Instance, moves: bool) -> Vec<TaskRow> {
        let mut rows: Vec<TaskRow> = task_counts(instance)
            .into_iter()
            .filter_map(|(service, count)| {
                let service = service?;
                let facts = self.inventory.services.get(service)?;
                let (cpu, memory) = (grouped(facts.demand.cpu), grouped(facts.demand.memory_mib));
                Some(TaskRow {
                    name: facts.name.clone(),
                    count,
                    about: format!("{cpu} CPU units, {memory} MiB each"),
                    moves: moves.then_some(service),
                    lands: if moves { self.lands(service) } else { String::new() },
                })
            })
            .collect();
        let mut others = BTreeMap::<_, usize>::new();
        for words in instance.tasks.iter().flatten().filter_map(|task| other_task(task.kind)) {
            *others.entry(words).or_default() += 1;
        }
        rows.extend(others.into_iter().map(|((name, about), count)| TaskRow {
            name: name.to_owned(),
            count,
            about: about.to_owned(),
            moves: None,
            lands: String::new(),
        }));
        rows
    }

    /// Where a task of a service may land, in words.
    fn lands(&self, service: usize) -> String {
        let places = self.places.get(&service).map(Vec::as_slice).unwrap_or_default();
        let named = places.iter().take(PLACES_MAX).map(|id| self.short.of(id.as_str()));
        let mut named: Vec<_> = named.collect();
        if let Some(more @ 1..) = places.len().checked_sub(PLACES_MAX) {
            named.push(format!("{more} more"));
        }
        match named.len() {
            0 => "no instance has room for one just now".to_owned(),
            _ => format!("may land on {}", words::list(&named)),
        }
    }
}

/// What a task of no known replica service is called, and what becomes of it.
fn other_task(kind: TaskKind) -> Option<(&'static str, &'static str)> {
    match kind {
        TaskKind::Service(_) => None,
        TaskKind::Daemon => Some(("daemon", "leaves with its instance")),
        TaskKind::Standalone => Some(("standalone", "nothing would start it elsewhere")),
        TaskKind::Stopping => Some(("stopping", "needs no other place")),
        TaskKind::UnknownService => Some(("of another service", "what it needs is not known")),
    }
}

/// How many tasks of each replica service are on an instance; `None` stands for all others.
fn task_counts(instance: &Instance) -> BTreeMap<Option<usize>, usize> {
    let mut counts = BTreeMap::new();
    for task in instance.tasks.iter().flatten() {
        let service = match task.kind {
            TaskKind::Service(service) => Some(service),
            _ => None,
        };
        *counts.entry(service).or_default() += 1;
    }
    counts
}

fn about(instance: &Instance) -> String {
    let price = instance.price_microusd.map(|price| format!("{} a month", month(price)));
    let parts = [Some(instance.instance_type.clone()), price];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The name of what holds a block, if there is room for it.
#[expect(clippy::cast_precision_loss, reason = "to draw; nothing is decided by it")]
fn label(name: &str, width: f64) -> String {
    let needed = (name.chars().count() + 2) as f64 * LABEL_CHAR_PERCENT;
    if needed <= width { name.to_owned() } else { String::new() }
}

fn headline(ClusterReport { plan, purpose, replacements, .. }: &ClusterReport) -> String {
    let going = plan.remove.len();
    let total = words::count(going + plan.keep.len(), "container instance");
    match purpose {
        Purpose::Remove => format!("{going} of {total} can go"),
        Purpose::Replace => format!("{} of {total} to be replaced", replacements.len()),
    }
}

fn replacement_figures(ClusterReport { replacements, .. }: &ClusterReport) -> Vec<Figure> {
    let going = replacements.iter().filter(|it| is_going(it)).count();
    let others = replacements.len() - going;
    vec![Figure {
        name: "A sweep would begin with",
        value: going.to_string(),
        about: format!("{others} more wait, or stay for the reasons below"),
    }]
}

fn is_going(replacement: &Replacement) -> bool {
    replacement.outcome.outcome == OutcomeKind::WouldReplace
}

fn replacement_text(Replacement { why, outcome, .. }: &Replacement) -> String {
    let why = why.as_ref().map_or_else(|| "its group retains it".to_owned(), ToString::to_string);
    [Some(why), outcome.detail.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn figures(plan: &Plan, potential: &Potential) -> Vec<Figure> {
    let bound = words::share(potential.saving.bound * 100.0);
    let mut figures = vec![Figure {
        name: "This plan saves",
        value: amount(&plan.saving),
        about: about_saving(&plan.saving),
    }];
    if let Some(cap) = potential.cap {
        let cap = match cap {
            Cap::Share(share) => format!("{} of the cluster", words::percent(share)),
            Cap::Budgets => "what BUDGETS lets go".to_owned(),
        };
        figures.push(Figure {
            name: "In several sweeps",
            value: amount(&potential.saving),
            about: format!("a sweep takes {cap}; no plan could save more than {bound}"),
        });
    } else {
        figures.push(Figure {
            name: "No plan could save more than",
            value: bound,
            about: "even if tasks could be cut to pieces".to_owned(),
        });
    }
    figures
}

/// A saving in dollars a month, or in percent where not every instance has a price.
fn amount(saving: &Saving) -> String {
    match saving.planned_microusd {
        Some(microusd) => format!("{} a month", month(microusd)),
        None => words::share(saving.planned * 100.0),
    }
}

fn about_saving(saving: &Saving) -> String {
    let share = words::share(saving.planned * 100.0);
    match saving.planned_microusd {
        Some(_) => format!("{share} of what the cluster costs"),
        None => "of the container instances; not every one has a price".to_owned(),
    }
}

/// Whole dollars a month, from millionths of a dollar an hour.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "for people")]
fn month(microusd: u64) -> String {
    format!("${}", grouped((microusd as f64 * HOURS_PER_MONTH / 1e6).round() as i64))
}

fn meter(resource: &'static str, plan: &Plan, must: u32, free: fn(&Headroom) -> f64) -> Meter {
    let headrooms = [&plan.headroom_before, &plan.headroom_after];
    Meter {
        resource,
        instances: headrooms.map(|headroom| headroom.instances),
        free: headrooms.map(|headroom| free(headroom).clamp(0.0, 100.0)),
        shares: headrooms.map(|headroom| words::share(free(headroom))),
        must,
    }
}

/// What goes first, then the reasons to stay, the most frequent first.
fn filters(cards: &[Card]) -> Vec<Filter> {
    let mut counts = BTreeMap::<&'static str, usize>::new();
    for card in cards {
        *counts.entry(card.code).or_default() += 1;
    }
    let mut filters: Vec<_> = counts
        .into_iter()
        .map(|(code, instances)| Filter { code, words: code.replace('_', " "), instances })
        .collect();
    filters.sort_by_key(|filter| (filter.code != GOES, std::cmp::Reverse(filter.instances)));
    filters
}

fn reserved_line(Reserved { service, tasks, demand }: &Reserved) -> String {
    let tasks = words::count(*tasks, "task");
    let (cpu, memory) = (grouped(demand.cpu), grouped(demand.memory_mib));
    format!(
        "{tasks} of service {service} without a place yet, {cpu} CPU units and {memory} MiB each"
    )
}

fn settings(policy: &Policy) -> String {
    let age = words::seconds(policy.min_instance_age);
    format!(
        "free CPU at least {}, free memory at least {}, at most {} of the cluster in one sweep, \
         instances older than {age}, always {} left",
        words::percent(policy.headroom_cpu_percent),
        words::percent(policy.headroom_memory_percent),
        words::percent(policy.max_removals_percent),
        words::count(policy.min_instances, "usable instance"),
    )
}

/// The instances by group and zone: what is in no group comes last.
fn groups(inventory: &Inventory, cards: Vec<Card>) -> Vec<GroupView> {
    let mut by_group = BTreeMap::<_, BTreeMap<String, Vec<Card>>>::new();
    for card in cards {
        let group = (card.group.is_none(), card.group.clone());
        by_group.entry(group).or_default().entry(card.zone.clone()).or_default().push(card);
    }
    let views = by_group.into_iter().map(|((_, name), zones)| {
        let instances = zones.values().map(Vec::len).sum::<usize>();
        let group = name.as_ref().and_then(|name| inventory.groups.get(name));
        let zones = zones.into_iter().map(|(name, mut cards)| {
            cards.sort_by(|a, b| a.id.cmp(&b.id));
            ZoneView { name, cards }
        });
        GroupView {
            name: name
                .map_or_else(|| "In no Auto Scaling group".to_owned(), |name| name.to_string()),
            facts: group_facts(instances, group),
            zones: zones.collect(),
        }
    });
    views.collect()
}

fn group_facts(instances: usize, group: Option<&Group>) -> String {
    let instances = words::count(instances, "container instance");
    match group {
        Some(Group { min_size, desired_capacity, managed_scaling, .. }) => {
            let managed = if managed_scaling.is_some() { ", under managed scaling" } else { "" };
            format!("{instances}, desired {desired_capacity}, minimum {min_size}{managed}")
        }
        None => instances,
    }
}
