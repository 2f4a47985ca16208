//! A sweep of one cluster, written for people.
//!
//! Nothing reads it again: what scripts need is in the JSON of `report`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ebb_planner::{Headroom, Hold, HoldScope, Kept, Motion, Plan, Removal, Reserved, Saving};

use crate::ids::{ContainerInstanceArn, GroupName, InstanceId};
use crate::reaper::potential::{Cap, Potential};
use crate::reaper::report::{ClusterReport, OutcomeKind, RemovalOutcome, Replacement, usd};
use crate::reaper::request::Purpose;
use crate::reaper::settings::ReaperMode;
use crate::words;

/// How many ids follow a reason to keep instances; the others are counted. Enough to look one up.
const IDS_MAX: usize = 3;
/// How many reasons to keep instances are listed; what stays for others is counted. Each pinned
/// task is a reason of its own, so a large cluster may have thousands.
const REASONS_MAX: usize = 20;
/// How many services are named for which room is kept; the others are counted.
const RESERVED_MAX: usize = 10;

/// Writes what goes, what stays and why, and what is left then.
pub fn text(report: &ClusterReport) -> String {
    let plan = &report.plan;
    let mut lines = vec![headline(report)];
    lines.extend(plan.holds.iter().map(|hold| format!("  ! {}", hold_text(hold))));
    lines.extend(removal_lines(report));
    match report.purpose {
        Purpose::Remove => lines.extend(kept_lines(&plan.keep)),
        Purpose::Replace => lines.extend(halt_line(report)),
    }
    lines.extend(replacement_lines(&report.replacements));
    lines.extend(earlier_lines(&report.follow_ups));
    lines.extend(stranded_text(report).iter().map(|text| format!("  ! {text}")));
    lines.extend(report.unregistered_members.iter().map(unregistered_line));
    lines.extend(unclear_line(report.unclear_members));
    lines.extend(headroom_lines(&plan.headroom_before, &plan.headroom_after));
    lines.extend(motion_line(plan.motion()));
    lines.extend(reserved_lines(&plan.reserved));
    if report.purpose == Purpose::Remove {
        lines.extend(saving_lines(plan, &report.potential));
    }
    lines.extend(price_line(report));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn headline(report: &ClusterReport) -> String {
    let ClusterReport { plan, mode, purpose, replacements, .. } = report;
    let going = plan.remove.len();
    let total = going + plan.keep.len();
    let mode = match mode {
        ReaperMode::Plan => " (plan: nothing is changed)",
        ReaperMode::Act => "",
    };
    let total = words::count(total, "container instance");
    let cluster = plan.cluster.name();
    match purpose {
        Purpose::Remove => format!("Cluster {cluster}: {going} of {total} can go{mode}"),
        Purpose::Replace => {
            let number = replacements.len();
            format!("Cluster {cluster}: {number} of {total} to be replaced{mode}")
        }
    }
}

/// Why nothing is replaced; where instances are to be removed, each says it itself.
fn halt_line(report: &ClusterReport) -> Option<String> {
    report.halt.as_ref().map(|halt| format!("  ! nothing is replaced now: {}", halt.why))
}

/// How many instances that are to be replaced are listed; the others are counted.
const REPLACEMENTS_MAX: usize = 50;

fn replacement_lines(replacements: &[Replacement]) -> Vec<String> {
    let mut lines = Vec::new();
    for Replacement { why, group, zone, outcome, .. } in replacements.iter().take(REPLACEMENTS_MAX)
    {
        let group = group.as_ref().map_or("no group", GroupName::as_str);
        let why =
            why.as_ref().map_or_else(|| "its group retains it".to_owned(), ToString::to_string);
        lines.push(format!("  - {}  {zone}  {group}  {why}", outcome.instance_id));
        lines.push(format!("      {}", outcome_text(outcome)));
    }
    let unlisted = replacements.len().saturating_sub(REPLACEMENTS_MAX);
    if unlisted > 0 {
        lines.push(format!("  {unlisted:>5}  more to be replaced"));
    }
    lines
}

/// Who holds what: a sentence of its own.
pub fn hold_text(hold: &Hold) -> String {
    match &hold.scope {
        HoldScope::Instance(id) => format!("{id}: {hold}"),
        HoldScope::Cluster(_) | HoldScope::Group(_) => hold.to_string(),
    }
}

fn removal_lines(report: &ClusterReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (removal, outcome) in report.plan.remove.iter().zip(&report.outcomes) {
        let Removal { instance_id, instance_type, zone, group, reason, .. } = removal;
        lines.push(format!("  - {instance_id}  {instance_type}  {zone}  {group}  {reason}"));
        // A plan has the same outcome for all of them; only what ECS takes has more to it.
        match (report.mode, &outcome.detail) {
            (ReaperMode::Act, _) => lines.push(format!("      {}", outcome_text(outcome))),
            (ReaperMode::Plan, Some(detail)) => lines.push(format!("      {detail}")),
            (ReaperMode::Plan, None) => {}
        }
    }
    lines
}

fn outcome_text(RemovalOutcome { outcome, detail, .. }: &RemovalOutcome) -> String {
    let word = outcome.as_str().replace('_', " ");
    match detail {
        // It says what the word does.
        Some(detail) if *outcome == OutcomeKind::LeftToEcs => detail.clone(),
        Some(detail) => format!("{word}: {detail}"),
        None => word,
    }
}

/// What stays, by reason: the most frequent first.
fn kept_lines(kept: &[Kept]) -> Vec<String> {
    let mut by_reason = BTreeMap::<String, Vec<&InstanceId>>::new();
    for Kept { instance_id, reason } in kept {
        by_reason.entry(reason.to_string()).or_default().push(instance_id);
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    // Stable, so that reasons of equal frequency stay in the order of the alphabet.
    by_reason.sort_by_key(|(_, ids)| Reverse(ids.len()));

    let mut lines = vec![match kept.len() {
        1 => "  1 stays".to_owned(),
        number => format!("  {number} stay"),
    }];
    for (reason, ids) in by_reason.iter().take(REASONS_MAX) {
        lines.push(format!("  {:>5}  {reason}: {}", ids.len(), id_list(ids)));
    }
    let unlisted: usize = by_reason.iter().skip(REASONS_MAX).map(|(_, ids)| ids.len()).sum();
    if unlisted > 0 {
        lines.push(format!("  {unlisted:>5}  for other reasons"));
    }
    lines
}

fn id_list(ids: &[&InstanceId]) -> String {
    let mut listed: Vec<_> = ids.iter().take(IDS_MAX).map(ToString::to_string).collect();
    if ids.len() > IDS_MAX {
        listed.push(format!("{} more", ids.len() - IDS_MAX));
    }
    listed.join(", ")
}

fn earlier_lines(earlier: &[RemovalOutcome]) -> Vec<String> {
    if earlier.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["  drained by an earlier sweep".to_owned()];
    for outcome in earlier {
        lines.push(format!("    {}  {}", outcome.instance_id, outcome_text(outcome)));
    }
    lines
}

/// How many container instances one call sets to ACTIVE (ECS API, `UpdateContainerInstancesState`).
const UPDATE_MAX: usize = 10;

/// What stays DRAINING because `REAPER_MODE` is `plan` now, and the command that takes it back.
/// `None` if nothing does.
pub fn stranded_text(report: &ClusterReport) -> Option<String> {
    let ids: Vec<_> = report.stranded.iter().map(ContainerInstanceArn::id).collect();
    let (stays, them) = match ids.len() {
        0 => return None,
        1 => ("1 container instance that an earlier sweep drained stays".to_owned(), "it"),
        number => {
            (format!("{number} container instances that earlier sweeps drained stay"), "them")
        }
    };
    let cluster = report.plan.cluster.name();
    let update = format!(
        "aws ecs update-container-instances-state --cluster {cluster} --status ACTIVE \
         --container-instances"
    );
    let ids_in_line = ids.join(" ");
    let command = if ids.len() <= UPDATE_MAX {
        format!("{update} {ids_in_line}")
    } else {
        format!("echo {ids_in_line} | xargs -n {UPDATE_MAX} {update}")
    };
    Some(format!(
        "{stays} DRAINING, as REAPER_MODE is `plan` now. This sets {them} to ACTIVE again: {command}"
    ))
}

fn unregistered_line((instance_id, group): &(InstanceId, GroupName)) -> String {
    format!("  ! {instance_id}  is in group {group}, but in no cluster: paid for nothing?")
}

fn unclear_line(members: usize) -> Option<String> {
    match members {
        0 => None,
        1 => Some("1 member of its groups is not in the cluster".to_owned()),
        _ => Some(format!("{members} members of its groups are not in the cluster")),
    }
    .map(|line| format!("  ? {line}; whether in another one is not known"))
}

fn headroom_lines(before: &Headroom, after: &Headroom) -> [String; 3] {
    [
        format!("  usable instances  {} -> {}", before.instances, after.instances),
        format!(
            "  free CPU          {} -> {}",
            words::share(before.cpu_percent()),
            words::share(after.cpu_percent())
        ),
        format!(
            "  free memory       {} -> {}",
            words::share(before.memory_percent()),
            words::share(after.memory_percent())
        ),
    ]
}

/// What else moves than instances; nothing if no task does.
fn motion_line(Motion { displaced, rebalanced }: Motion) -> Option<String> {
    let moving = words::count(displaced, "task");
    let rebalancing = match rebalanced {
        0 => String::new(),
        most => format!(", and up to {most} more by Availability Zone rebalancing"),
    };
    (displaced > 0).then(|| format!("  set in motion     {moving}{rebalancing}"))
}

/// The services that hold the headroom down: tasks of theirs are to start, and are counted as if
/// they ran.
fn reserved_lines(reserved: &[Reserved]) -> Vec<String> {
    let listed = reserved.iter().take(RESERVED_MAX);
    let mut lines: Vec<_> = listed
        .map(|Reserved { service, tasks, demand }| {
            let (tasks, cpu) = (words::count(*tasks, "task"), words::count(demand.cpu, "CPU unit"));
            let memory_mib = demand.memory_mib;
            format!(
                "  room kept for     {tasks} of service {service} without a place yet, {cpu} and \
                 {memory_mib} MiB each"
            )
        })
        .collect();
    if let Some(unlisted @ 1..) = reserved.len().checked_sub(RESERVED_MAX) {
        let services = words::count(unlisted, "more service");
        lines.push(format!("  room kept for     tasks of {services} as well"));
    }
    lines
}

/// What the plan saves, and what one would save that no cap on a sweep ends.
fn saving_lines(plan: &Plan, potential: &Potential) -> Vec<String> {
    let this = format!("  This plan saves {}.", amount(&plan.saving));
    let bound =
        format!("No plan could save more than {}.", words::share(potential.saving.bound * 100.0));
    let Some(cap) = potential.cap else { return vec![format!("{this} {bound}")] };
    let unread = match potential.not_read {
        0 => String::new(),
        number => format!(" (of {} the tasks were not read)", words::count(number, "instance")),
    };
    let share = match cap {
        Cap::Share(share) => format!(" ({})", words::percent(share)),
        Cap::Budgets => String::new(),
    };
    vec![
        format!("{this} {}{share} is its cap.", cap.setting()),
        format!("  Without that cap one would save {}{unread}. {bound}", amount(&potential.saving)),
    ]
}

/// What the dollars are based on, if there are any.
fn price_line(report: &ClusterReport) -> Option<String> {
    report.plan.saving.planned_microusd.map(|_| format!("  {}", report.prices.text()))
}

/// A share of the cluster's cost, with what that is in dollars if every instance has a price.
fn amount(saving: &Saving) -> String {
    let share = words::share(saving.planned * 100.0);
    match saving.planned_microusd {
        Some(microusd) => format!("{share}: {}", words::price(usd(microusd))),
        None => share,
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::{HeadroomResource, KeepReason, RemoveReason};
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::auto_scaling::LifecycleState;
    use crate::ecs::ContainerInstanceStatus;
    use crate::ids::Cluster;
    use crate::prices::{PriceBasis, PriceSource};
    use crate::reaper::Answer;
    use crate::reaper::testing::{group_name, headroom, id, resources};

    fn removal(number: u64, reason: RemoveReason) -> Removal {
        let displaced = match reason {
            RemoveReason::Empty => 0,
            RemoveReason::Certified { tasks } | RemoveReason::Replayed { tasks } => tasks,
        };
        Removal {
            motion: Motion { displaced, rebalanced: displaced / 2 },
            instance_id: id(number),
            arn: ContainerInstanceArn::new(number.to_string()),
            group: group_name(),
            zone: "eu-west-1a".to_owned(),
            instance_type: "m7g.large".to_owned(),
            price_microusd: Some(81_600),
            reason,
        }
    }

    fn outcome(number: u64, kind: OutcomeKind, detail: Option<&str>) -> RemovalOutcome {
        RemovalOutcome {
            instance_id: id(number),
            outcome: kind,
            detail: detail.map(str::to_owned),
            reactivated: kind == OutcomeKind::Reactivated,
        }
    }

    fn reserved(service: &str, tasks: u64) -> Reserved {
        Reserved { service: service.to_owned(), tasks, demand: resources(1_024, 3_000) }
    }

    fn hold() -> Hold {
        Hold::read(HoldScope::Group(group_name()), "friday", Timestamp::UNIX_EPOCH).unwrap()
    }

    /// Instances that stay for every reason that there is: five for want of headroom, two as too
    /// young.
    fn every_kept() -> Vec<Kept> {
        let mut reasons = vec![
            KeepReason::Contradiction("5 of 4 remain of a resource".to_owned()),
            KeepReason::Draining,
            KeepReason::NotActive(ContainerInstanceStatus::Registering),
            KeepReason::AgentDisconnected,
            KeepReason::NoGroup,
            KeepReason::GroupNotAllowed(group_name()),
            KeepReason::ManagedScaling(group_name()),
            KeepReason::GroupUnavailable(
                group_name(),
                "its process Terminate is suspended".to_owned(),
            ),
            KeepReason::NotInService(LifecycleState::Standby),
            KeepReason::ProtectedFromScaleIn,
        ];
        let min_instance_age = SignedDuration::from_secs(900);
        reasons.extend(vec![KeepReason::TooYoung { min_instance_age }; 2]);
        reasons.extend([
            KeepReason::GroupAtMinimum { group: group_name(), min_size: 2 },
            KeepReason::NotRead,
            KeepReason::Pinned(
                "task 4f is standalone: nothing would start it elsewhere".to_owned(),
            ),
            KeepReason::MinInstances { min_instances: 3, service: None },
            KeepReason::MaxRemovals {
                decided_by: "MAX_REMOVALS_PERCENT (10 %)".to_owned(),
                more_from: None,
            },
            KeepReason::ZoneBalance,
        ]);
        let headroom =
            KeepReason::Headroom { resource: HeadroomResource::Cpu, percent: 20, service: None };
        reasons.extend(vec![headroom; 5]);
        reasons.push(KeepReason::NoRoom(
            "service web finds no other instance with port 80/tcp free".to_owned(),
        ));
        (100..)
            .zip(reasons)
            .map(|(number, reason)| Kept { instance_id: id(number), reason })
            .collect()
    }

    fn every_removal() -> Vec<Removal> {
        vec![
            removal(1, RemoveReason::Empty),
            removal(2, RemoveReason::Certified { tasks: 7 }),
            removal(3, RemoveReason::Replayed { tasks: 1 }),
            removal(4, RemoveReason::Replayed { tasks: 2 }),
        ]
    }

    fn outcomes(mode: ReaperMode) -> Vec<RemovalOutcome> {
        match mode {
            ReaperMode::Plan => {
                let left =
                    |number| (number == 4).then_some("left for ECS to take, once it is empty");
                let would = |number| outcome(number, OutcomeKind::WouldRemove, left(number));
                (1..=4).map(would).collect()
            }
            ReaperMode::Act => {
                let held = "its group's hook holds it until it is empty";
                let refused = "desiredSize equals minSize; it is ACTIVE again";
                vec![
                    outcome(1, OutcomeKind::Terminating, Some(held)),
                    outcome(2, OutcomeKind::BelowMinimum, Some(refused)),
                    outcome(3, OutcomeKind::Draining, Some("no hook of its group would hold it")),
                    outcome(4, OutcomeKind::Postponed, None),
                ]
            }
        }
    }

    /// A sweep with every reason that there is.
    fn every_reason(mode: ReaperMode) -> ClusterReport {
        let load =
            "load has come back: 12.0 % of CPU is free, less than HEADROOM_CPU_PERCENT (20 %)";
        ClusterReport {
            mode,
            purpose: Purpose::Remove,
            replacements: Vec::new(),
            halt: None,
            plan: Plan {
                cluster: Cluster::new("arn:aws:ecs:eu-west-1:111122223333:cluster/shop"),
                remove: every_removal(),
                keep: every_kept(),
                headroom_before: headroom(28, (20_480, 81_920), (9_257, 46_760)),
                headroom_after: headroom(24, (20_480, 81_920), (6_144, 24_576)),
                holds: Vec::new(),
                reserved: vec![reserved("huge", 6), reserved("web", 1)],
                saving: Saving {
                    planned: 0.142_857,
                    bound: 0.214_3,
                    planned_microusd: Some(326_400),
                },
                steps: 12_345,
            },
            potential: Potential {
                saving: Saving { planned: 0.428_571, bound: 0.5, planned_microusd: Some(979_200) },
                cap: Some(Cap::Share(10)),
                not_read: 1,
            },
            prices: PriceBasis {
                sources: [PriceSource::SpotPriceHistory, PriceSource::PriceList].into(),
                spot_unknown: false,
            },
            outcomes: outcomes(mode),
            follow_ups: vec![
                outcome(11, OutcomeKind::Waiting, Some("3 tasks left")),
                outcome(12, OutcomeKind::Reactivated, Some(load)),
            ],
            stranded: Vec::new(),
            unregistered_members: vec![(id(21), group_name())],
            unclear_members: 2,
            container_instances: BTreeMap::new(),
        }
    }

    #[test]
    fn a_plan_says_what_goes_what_stays_and_why() {
        insta::assert_snapshot!(text(&every_reason(ReaperMode::Plan)), @r"
        Cluster shop: 4 of 28 container instances can go (plan: nothing is changed)
          - i-0a1b2c3d4e5f60001  m7g.large  eu-west-1a  shop-spot  no service runs a task on it
          - i-0a1b2c3d4e5f60002  m7g.large  eu-west-1a  shop-spot  its 7 tasks fit elsewhere, wherever ECS places the tasks that move
          - i-0a1b2c3d4e5f60003  m7g.large  eu-west-1a  shop-spot  its task fits elsewhere in every replay of the services' placement strategies
          - i-0a1b2c3d4e5f60004  m7g.large  eu-west-1a  shop-spot  its 2 tasks fit elsewhere in every replay of the services' placement strategies
              left for ECS to take, once it is empty
          24 stay
              5  HEADROOM_CPU_PERCENT (20 %) would not be left: i-0a1b2c3d4e5f60118, i-0a1b2c3d4e5f60119, i-0a1b2c3d4e5f60120, 2 more
              2  it is younger than MIN_INSTANCE_AGE_SECONDS (900 s): i-0a1b2c3d4e5f60110, i-0a1b2c3d4e5f60111
              1  MAX_REMOVALS_PERCENT (10 %) is used up: i-0a1b2c3d4e5f60116
              1  MIN_INSTANCES (3 usable instances) would not be left: i-0a1b2c3d4e5f60115
              1  a capacity provider's managed scaling decides the size of group shop-spot (MANAGED_SCALING is leave): i-0a1b2c3d4e5f60106
              1  group shop-spot cannot be shrunk now: its process Terminate is suspended: i-0a1b2c3d4e5f60107
              1  group shop-spot is not in AUTO_SCALING_GROUPS: i-0a1b2c3d4e5f60105
              1  group shop-spot would be below its minimum size (2): i-0a1b2c3d4e5f60112
              1  it is draining already: i-0a1b2c3d4e5f60101
              1  it is in no Auto Scaling group: i-0a1b2c3d4e5f60104
              1  its ECS agent is not connected: i-0a1b2c3d4e5f60103
              1  its group protects it from scale-in: i-0a1b2c3d4e5f60109
              1  its lifecycle state in its group is Standby: i-0a1b2c3d4e5f60108
              1  its status in ECS is REGISTERING: i-0a1b2c3d4e5f60102
              1  its tasks were not read: others are better candidates: i-0a1b2c3d4e5f60113
              1  its zone would be left with too few instances of its group: i-0a1b2c3d4e5f60117
              1  service web finds no other instance with port 80/tcp free: i-0a1b2c3d4e5f60123
              1  task 4f is standalone: nothing would start it elsewhere: i-0a1b2c3d4e5f60114
              1  what AWS says about it cannot be true: 5 of 4 remain of a resource: i-0a1b2c3d4e5f60100
          drained by an earlier sweep
            i-0a1b2c3d4e5f60011  waiting: 3 tasks left
            i-0a1b2c3d4e5f60012  reactivated: load has come back: 12.0 % of CPU is free, less than HEADROOM_CPU_PERCENT (20 %)
          ! i-0a1b2c3d4e5f60021  is in group shop-spot, but in no cluster: paid for nothing?
          ? 2 members of its groups are not in the cluster; whether in another one is not known
          usable instances  28 -> 24
          free CPU          45.2 % -> 30.0 %
          free memory       57.1 % -> 30.0 %
          set in motion     10 tasks, and up to 4 more by Availability Zone rebalancing
          room kept for     6 tasks of service huge without a place yet, 1024 CPU units and 3000 MiB each
          room kept for     1 task of service web without a place yet, 1024 CPU units and 3000 MiB each
          This plan saves 14.3 %: $0.33 an hour, $238 a month. MAX_REMOVALS_PERCENT (10 %) is its cap.
          Without that cap one would save 42.9 %: $0.98 an hour, $715 a month (of 1 instance the tasks were not read). No plan could save more than 50.0 %.
          Prices: current Spot prices and current on-demand list prices.
        ");
    }

    #[test]
    fn a_sweep_that_acts_says_what_was_done() {
        let text = text(&every_reason(ReaperMode::Act));
        let removals: Vec<_> = text.lines().take(10).collect();
        insta::assert_snapshot!(removals.join("\n"), @r"
        Cluster shop: 4 of 28 container instances can go
          - i-0a1b2c3d4e5f60001  m7g.large  eu-west-1a  shop-spot  no service runs a task on it
              terminating: its group's hook holds it until it is empty
          - i-0a1b2c3d4e5f60002  m7g.large  eu-west-1a  shop-spot  its 7 tasks fit elsewhere, wherever ECS places the tasks that move
              below minimum: desiredSize equals minSize; it is ACTIVE again
          - i-0a1b2c3d4e5f60003  m7g.large  eu-west-1a  shop-spot  its task fits elsewhere in every replay of the services' placement strategies
              draining: no hook of its group would hold it
          - i-0a1b2c3d4e5f60004  m7g.large  eu-west-1a  shop-spot  its 2 tasks fit elsewhere in every replay of the services' placement strategies
              postponed
          24 stay
        ");
    }

    fn stranded(number: usize) -> String {
        let mut report = every_reason(ReaperMode::Plan);
        let cluster = "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop";
        report.stranded = (0..number)
            .map(|number| ContainerInstanceArn::new(format!("{cluster}/{number:02}")))
            .collect();
        let lines = text(&report);
        lines.lines().filter(|line| line.contains("REAPER_MODE")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_left_to_ecs_is_said_once() {
        let left = "left for ECS to take, once it is empty";
        assert_eq!(outcome_text(&outcome(1, OutcomeKind::LeftToEcs, Some(left))), left);
        assert_eq!(outcome_text(&outcome(1, OutcomeKind::LeftToEcs, None)), "left to ecs");
    }

    #[test]
    fn what_stays_draining_in_plan_mode_comes_with_the_command_that_takes_it_back() {
        assert_eq!(stranded(0), "");
        insta::assert_snapshot!([1, 2, 11].map(stranded).join("\n"), @r"
        ! 1 container instance that an earlier sweep drained stays DRAINING, as REAPER_MODE is `plan` now. This sets it to ACTIVE again: aws ecs update-container-instances-state --cluster shop --status ACTIVE --container-instances 00
        ! 2 container instances that earlier sweeps drained stay DRAINING, as REAPER_MODE is `plan` now. This sets them to ACTIVE again: aws ecs update-container-instances-state --cluster shop --status ACTIVE --container-instances 00 01
        ! 11 container instances that earlier sweeps drained stay DRAINING, as REAPER_MODE is `plan` now. This sets them to ACTIVE again: echo 00 01 02 03 04 05 06 07 08 09 10 | xargs -n 10 aws ecs update-container-instances-state --cluster shop --status ACTIVE --container-instances
        ");
    }

    #[test]
    fn a_cluster_of_many_pinned_tasks_takes_few_lines() {
        let mut report = every_reason(ReaperMode::Plan);
        report.plan.keep = (0..2_000)
            .map(|number| {
                let reason =
                    KeepReason::Pinned(format!("task {number} is protected from scale-in"));
                Kept { instance_id: id(number), reason }
            })
            .collect();
        let text = text(&report);
        assert!(text.contains(" 1980  for other reasons\n"), "{text}");
        assert!(text.lines().count() < 50);
    }

    #[test]
    fn a_cluster_of_many_starting_services_takes_few_lines() {
        let mut report = every_reason(ReaperMode::Plan);
        for (number, last) in
            [(10, "service 9 "), (11, "of 1 more service "), (5_000, "of 4990 more ")]
        {
            report.plan.reserved =
                (0..number).map(|number| reserved(&number.to_string(), 2)).collect();
            let text = text(&report);
            let lines: Vec<_> = text.lines().filter(|line| line.contains("kept for")).collect();
            assert_eq!(lines.len(), number.min(11), "{text}");
            assert!(lines.last().is_some_and(|line| line.contains(last)), "{text}");
        }
    }

    #[test]
    fn holds_stand_before_all_else_and_in_the_answer() {
        let mut report = every_reason(ReaperMode::Plan);
        let own = HoldScope::Instance(id(7));
        report.plan.holds = vec![hold(), Hold::read(own, "soon", Timestamp::UNIX_EPOCH).unwrap()];
        let text = text(&report);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  ! ")).collect();
        let like = "is no time like 2026-01-31T06:00:00Z";
        let of_group = format!(
            "  ! group shop-spot is held until its tag ebb:hold-until is put right: `friday` {like}; \
             who has autoscaling:CreateOrUpdateTags can change that"
        );
        let of_instance = format!(
            "  ! {}: it is held until its attribute ebb.hold-until is put right: `soon` {like}; who \
             has ecs:PutAttributes can change that",
            id(7)
        );
        assert_eq!(lines[..2], [of_group, of_instance]);
        assert_eq!(
            report.to_json(9)["holds"][0],
            serde_json::json!({
                "scope": "group",
                "name": "shop-spot",
                "until": null,
                "unclear": true,
                "detail": report.plan.holds[0].to_string(),
            })
        );
    }

    #[test]
    fn nothing_to_remove_and_no_prices_have_their_texts() {
        let mut report = every_reason(ReaperMode::Plan);
        report.plan = Plan {
            remove: Vec::new(),
            keep: Vec::new(),
            headroom_before: Headroom::default(),
            headroom_after: Headroom::default(),
            holds: Vec::new(),
            reserved: Vec::new(),
            saving: Saving::default(),
            ..report.plan
        };
        (report.outcomes, report.follow_ups, report.unregistered_members) =
            (Vec::new(), Vec::new(), Vec::new());
        (report.potential, report.unclear_members) = (Potential::default(), 0);
        insta::assert_snapshot!(text(&report), @r"
        Cluster shop: 0 of 0 container instances can go (plan: nothing is changed)
          0 stay
          usable instances  0 -> 0
          free CPU          0.0 % -> 0.0 %
          free memory       0.0 % -> 0.0 %
          This plan saves 0.0 %. No plan could save more than 0.0 %.
        ");
    }

    #[test]
    fn the_answer_has_the_shape_that_users_rely_on() {
        let mut report = every_reason(ReaperMode::Act);
        report.plan.keep.truncate(2);
        let answer = Answer {
            mode: ReaperMode::Act,
            clusters: vec![report],
            summaries: None,
            ignored: None,
        };
        let mut json = answer.to_json();
        assert!(
            json["clusters"][0]["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("Cluster shop: 4 of 6 "))
        );
        json["clusters"][0]["remove"].as_array_mut().unwrap().truncate(2);
        json["clusters"][0].as_object_mut().unwrap().remove("text");
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
        {
          "clusters": [
            {
              "cluster": "shop",
              "earlier": [
                {
                  "detail": "3 tasks left",
                  "instance_id": "i-0a1b2c3d4e5f60011",
                  "outcome": "waiting"
                },
                {
                  "detail": "load has come back: 12.0 % of CPU is free, less than HEADROOM_CPU_PERCENT (20 %)",
                  "instance_id": "i-0a1b2c3d4e5f60012",
                  "outcome": "reactivated"
                }
              ],
              "headroom_after": {
                "cpu": 6144,
                "cpu_percent": 30.0,
                "instances": 24,
                "memory_mib": 24576,
                "memory_percent": 30.0
              },
              "headroom_before": {
                "cpu": 9257,
                "cpu_percent": 45.2,
                "instances": 28,
                "memory_mib": 46760,
                "memory_percent": 57.1
              },
              "holds": [],
              "keep": [
                {
                  "detail": "what AWS says about it cannot be true: 5 of 4 remain of a resource",
                  "instance_id": "i-0a1b2c3d4e5f60100",
                  "reason": "contradiction"
                },
                {
                  "detail": "it is draining already",
                  "instance_id": "i-0a1b2c3d4e5f60101",
                  "reason": "draining"
                }
              ],
              "kept": 2,
              "motion": {
                "rebalanced_tasks_max": 4,
                "tasks": 10
              },
              "never_joined": [
                {
                  "group": "shop-spot",
                  "instance_id": "i-0a1b2c3d4e5f60021"
                }
              ],
              "remove": [
                {
                  "detail": "no service runs a task on it",
                  "group": "shop-spot",
                  "instance_id": "i-0a1b2c3d4e5f60001",
                  "instance_type": "m7g.large",
                  "outcome": "terminating",
                  "outcome_detail": "its group's hook holds it until it is empty",
                  "reason": "empty",
                  "usd_per_hour": 0.0816,
                  "zone": "eu-west-1a"
                },
                {
                  "detail": "its 7 tasks fit elsewhere, wherever ECS places the tasks that move",
                  "group": "shop-spot",
                  "instance_id": "i-0a1b2c3d4e5f60002",
                  "instance_type": "m7g.large",
                  "outcome": "below_minimum",
                  "outcome_detail": "desiredSize equals minSize; it is ACTIVE again",
                  "reason": "certified",
                  "usd_per_hour": 0.0816,
                  "zone": "eu-west-1a"
                }
              ],
              "reserved": [
                {
                  "cpu": 1024,
                  "memory_mib": 3000,
                  "service": "huge",
                  "tasks": 6
                },
                {
                  "cpu": 1024,
                  "memory_mib": 3000,
                  "service": "web",
                  "tasks": 1
                }
              ],
              "saving": {
                "bound_percent": 50.0,
                "cap": "MAX_REMOVALS_PERCENT",
                "planned_percent": 14.3,
                "potential_percent": 42.9,
                "potential_usd_per_hour": 0.9792,
                "price_sources": [
                  "spot_price_history",
                  "price_list"
                ],
                "spot_known": true,
                "usd_per_hour": 0.3264
              },
              "stranded": []
            }
          ],
          "mode": "act"
        }
        "#);
        assert_eq!(
            answer.to_string(),
            "1 cluster swept: 1 terminating, 1 draining, 1 waiting, 1 reactivated, 1 postponed, 1 below_minimum"
        );
        let ignored = Answer {
            mode: ReaperMode::Plan,
            clusters: Vec::new(),
            summaries: None,
            ignored: Some("foreign".to_owned()),
        };
        assert_eq!(
            ignored.to_json().to_string(),
            r#"{"clusters":[],"ignored":"foreign","mode":"plan"}"#
        );
    }
}
