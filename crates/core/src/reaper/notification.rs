//! What people are told of a sweep of one cluster: whether they are told at all, of what, and what
//! comes next.
//!
//! The plan itself is written in `text`; the forms are in [`crate::notification`], and what was told
//! already is for its [`cause`](crate::notification::cause); sending is left to the function.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Origin;
use crate::ids::InstanceId;
use crate::notification::cause::{Cause, Held};
use crate::notification::{Notification, NotificationKind};
use crate::reaper::halt::HaltCause;
use crate::reaper::report::{ClusterReport, OutcomeKind, RemovalOutcome};
use crate::reaper::text::{stranded_text, text};
use crate::words::count;

/// What happened that people should know of: each container instance, and why.
pub fn news(report: &ClusterReport) -> BTreeSet<Held> {
    let stranded = report.stranded.iter().map(|arn| (arn.clone(), Cause::Stranded));
    let outcomes = report.all_outcomes().filter_map(|outcome| {
        let arn = report.container_instances.get(&outcome.instance_id)?;
        Some((arn.clone(), cause(outcome)?))
    });
    outcomes.chain(stranded).collect()
}

fn cause(outcome: &RemovalOutcome) -> Option<Cause> {
    match outcome.outcome {
        OutcomeKind::Terminating => Some(Cause::Terminated),
        OutcomeKind::Draining => Some(Cause::Drained),
        OutcomeKind::LeftToEcs => Some(Cause::LeftToEcs),
        // One that failed may be ACTIVE again as well: that it failed is what people must know.
        kind if kind.is_failure() => Some(Cause::Failed),
        _ if outcome.reactivated => Some(Cause::TakenBack),
        _ => None,
    }
}

/// A cause in a title; what comes of it; and what people may do about it, if anything.
fn words(cause: Cause) -> (&'static str, &'static str, Option<&'static str>) {
    match cause {
        Cause::Terminated => ("terminated", "what is terminated goes once it is let go", None),
        Cause::Drained => (
            "drained",
            "a later sweep terminates what is drained once it is empty, or takes it back if load \
             comes back",
            None,
        ),
        Cause::LeftToEcs => (
            "drained for ECS to take",
            "what ECS does not take within an hour is set to ACTIVE again",
            None,
        ),
        Cause::TakenBack => ("taken back", "what is taken back takes tasks again", None),
        Cause::Stranded => (
            "left DRAINING",
            "what is left DRAINING stays so, as sweeps only plan now",
            Some("Run the command that the plan and the log give, or set REAPER_MODE to `act`"),
        ),
        // What no sweep tells counts as a failure, rather than as nothing.
        Cause::Failed
        | Cause::StillDrains
        | Cause::GivesUp
        | Cause::CutOff
        | Cause::NotReplaced
        | Cause::Plan
        | Cause::AgentsDisconnected
        | Cause::DeploymentFails
        | Cause::DrainFailed
        | Cause::ZonalShift
        | Cause::Summary => (
            "failed",
            "the next sweep tries what failed again",
            Some("See above what failed, and why; a missing permission is named in the log"),
        ),
    }
}

/// The notification of a sweep of a cluster, of the `told` news alone: each container instance is
/// counted once for each. `None` if there is none.
pub fn sweep(report: &ClusterReport, told: &BTreeSet<Held>) -> Option<Notification> {
    if told.is_empty() {
        return None;
    }
    let mut counts = BTreeMap::<_, (usize, Cause)>::new();
    for (_, cause) in told {
        counts.entry(words(*cause).0).or_insert((0, *cause)).0 += 1;
    }
    let done: Vec<_> =
        counts.iter().map(|(word, (number, _))| format!("{number} {word}")).collect();
    let next: Vec<_> = counts.values().map(|(_, cause)| words(*cause).1).collect();
    let mut steps: Vec<_> =
        counts.values().filter_map(|(_, cause)| words(*cause).2).map(str::to_owned).collect();
    if steps.is_empty() {
        steps.push("Nothing".to_owned());
    }
    let is_told = |id: &&InstanceId| {
        let arn = report.container_instances.get(*id);
        arn.is_some_and(|arn| told.iter().any(|(holder, _)| holder == arn))
    };
    let cluster = report.plan.cluster.name();
    Some(Notification {
        kind: NotificationKind::Sweep,
        title: format!(
            "Ebb's sweep of container instances: {}, in cluster {cluster}",
            done.join(", ")
        ),
        instances: report.container_instances.keys().filter(is_told).cloned().collect(),
        tasks: match tasks_moved(report, told) {
            0 => "none is set in motion".to_owned(),
            tasks => format!("{} set in motion", count(tasks, "task")),
        },
        next: next.join("; "),
        steps,
        ..about(report)
    })
}

/// How many tasks were on what this sweep has drained or had terminated.
fn tasks_moved(report: &ClusterReport, told: &BTreeSet<Held>) -> usize {
    let moves = |cause| matches!(cause, Cause::Terminated | Cause::Drained | Cause::LeftToEcs);
    let gone: BTreeSet<_> =
        told.iter().filter(|(_, cause)| moves(*cause)).map(|(arn, _)| arn).collect();
    let removals = report.plan.remove.iter().filter(|removal| gone.contains(&removal.arn));
    let removed: usize = removals.map(|removal| removal.motion.displaced).sum();
    let replacements = report.replacements.iter().filter(|replacement| {
        let arn = report.container_instances.get(&replacement.outcome.instance_id);
        arn.is_some_and(|arn| gone.contains(arn))
    });
    removed + replacements.map(|replacement| replacement.displaced).sum::<usize>()
}

/// The notification of what could go in a cluster; `None` if nothing could.
pub fn plan(report: &ClusterReport) -> Option<Notification> {
    let going = report.plan.remove.len();
    if going == 0 {
        return None;
    }
    let instances = count(going + report.plan.keep.len(), "container instance");
    let cluster = report.plan.cluster.name();
    Some(Notification {
        kind: NotificationKind::Plan,
        title: format!("Ebb's plan: {going} of {instances} can go, in cluster {cluster}"),
        instances: report.plan.remove.iter().map(|removal| removal.instance_id.clone()).collect(),
        tasks: format!("{} would move", count(report.plan.motion().displaced, "task")),
        next: "nothing is changed, as sweeps only plan".to_owned(),
        steps: vec!["Set REAPER_MODE to `act` to have sweeps carry plans out".to_owned()],
        ..about(report)
    })
}

/// By which cause it is noted that people were told of a halt.
pub fn halt_news(report: &ClusterReport) -> Option<Cause> {
    report.halt.as_ref().map(|halt| match halt.cause {
        HaltCause::AgentsDisconnected => Cause::AgentsDisconnected,
        HaltCause::DeploymentFails => Cause::DeploymentFails,
        HaltCause::DrainFailed => Cause::DrainFailed,
        HaltCause::ZonalShift => Cause::ZonalShift,
    })
}

/// The notification that nothing is removed in a cluster; `None` if it is not halted.
pub fn halt(report: &ClusterReport) -> Option<Notification> {
    let halt = report.halt.as_ref()?;
    let cluster = report.plan.cluster.name();
    let step = match halt.cause {
        HaltCause::AgentsDisconnected => {
            "See why the agents are disconnected: the instances' network, their agents, or ECS itself"
        }
        HaltCause::DeploymentFails => "Mend the deployment, or roll it back",
        HaltCause::DrainFailed => {
            "See in the plan why the drain did not come to its end; its instance takes tasks again"
        }
        HaltCause::ZonalShift => {
            "Cancel the zonal shift once the zone is well again, or let it end; HALT_ON_ZONAL_SHIFT=false \
             has sweeps go on beside one"
        }
    };
    Some(Notification {
        kind: NotificationKind::Halted,
        title: format!("Ebb removes nothing: {}, in cluster {cluster}", halt.why),
        tasks: "none is set in motion".to_owned(),
        next: "each sweep looks again, and goes on once that is over; what was drained before is \
               seen to all the same"
            .to_owned(),
        steps: vec![
            step.to_owned(),
            "The runbook has more, under \"What keeps an instance\"".to_owned(),
        ],
        ..about(report)
    })
}

/// What all of them say of the cluster: the report, as text.
fn about(report: &ClusterReport) -> Notification {
    let cluster = report.plan.cluster.name();
    let arns = report.container_instances.values();
    let origin = arns.map(|arn| Origin::of_arn(arn.as_str())).next().unwrap_or_default();
    // First, as it is to be acted on and the rest may be long.
    let mut details: Vec<_> = stranded_text(report).into_iter().collect();
    let text = text(report);
    let is_new = |line: &&str| details.iter().all(|detail| !line.contains(detail.as_str()));
    let lines: Vec<_> = text.lines().filter(is_new).map(str::to_owned).collect();
    details.extend(lines);
    Notification {
        kind: NotificationKind::Sweep,
        title: String::new(),
        origin,
        clusters: vec![cluster.to_owned()],
        instances: Vec::new(),
        tasks: String::new(),
        details,
        next: String::new(),
        steps: Vec::new(),
        thread: format!("sweeps of {cluster}"),
    }
}

#[cfg(test)]
mod tests {
    use ebb_planner::{Motion, Removal, RemoveReason};

    use super::*;
    use crate::ids::ContainerInstanceArn;
    use crate::notification::testing::{assert_is_sns, forms};
    use crate::notification::{Message, NotificationFormat};
    use crate::prices::PriceBasis;
    use crate::reaper::Potential;
    use crate::reaper::halt::Halt;
    use crate::reaper::request::Purpose;
    use crate::reaper::settings::{ReaperMode, ReaperSettings};
    use crate::reaper::testing::{NOW, group_name, id, inventory};

    fn arn(number: u64) -> ContainerInstanceArn {
        ContainerInstanceArn::new(format!(
            "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/{number}"
        ))
    }

    /// Outcomes of instances of these numbers.
    fn outcomes(
        numbers: impl IntoIterator<Item = u64>,
        kind: OutcomeKind,
        back: bool,
    ) -> Vec<RemovalOutcome> {
        let outcome = |number| RemovalOutcome {
            instance_id: id(number),
            outcome: kind,
            detail: None,
            reactivated: back,
        };
        numbers.into_iter().map(outcome).collect()
    }

    fn removal(number: u64) -> Removal {
        Removal {
            instance_id: id(number),
            arn: arn(number),
            group: group_name(),
            zone: "eu-west-1a".to_owned(),
            instance_type: "m7g.large".to_owned(),
            price_microusd: None,
            motion: Motion { displaced: 3, rebalanced: 0 },
            reason: RemoveReason::Certified { tasks: 3 },
        }
    }

    fn report(follow_ups: Vec<RemovalOutcome>, outcomes: Vec<RemovalOutcome>) -> ClusterReport {
        let policy = ReaperSettings::default().policy();
        let plan = ebb_planner::plan(&inventory(Vec::new()), &policy, NOW);
        ClusterReport {
            mode: ReaperMode::Act,
            purpose: Purpose::Remove,
            plan,
            potential: Potential::default(),
            prices: PriceBasis::default(),
            outcomes,
            follow_ups,
            replacements: Vec::new(),
            halt: None,
            stranded: Vec::new(),
            unregistered_members: Vec::new(),
            unclear_members: 0,
            container_instances: (1..=40).map(|number| (id(number), arn(number))).collect(),
        }
    }

    fn told(report: &ClusterReport) -> Option<Notification> {
        sweep(report, &news(report))
    }

    #[test]
    fn each_outcome_that_people_should_know_of_has_its_word() {
        for kind in OutcomeKind::ALL {
            for reactivated in [false, true] {
                let expected = match kind {
                    OutcomeKind::Terminating => Some("1 terminated"),
                    OutcomeKind::Draining => Some("1 drained"),
                    OutcomeKind::LeftToEcs => Some("1 drained for ECS to take"),
                    OutcomeKind::ReplacementFailed
                    | OutcomeKind::DrainRefused
                    | OutcomeKind::Throttled
                    | OutcomeKind::Denied
                    | OutcomeKind::Failed => Some("1 failed"),
                    _ if reactivated => Some("1 taken back"),
                    _ => None,
                };
                let notification = told(&report(Vec::new(), outcomes([1], kind, reactivated)));
                let title = notification.map(|notification| notification.title);
                let expected = expected.map(|done| {
                    format!("Ebb's sweep of container instances: {done}, in cluster shop")
                });
                assert_eq!(title, expected, "{kind:?}, ACTIVE again: {reactivated}");
            }
        }
    }

    /// Up to two of everything, with what nobody is told of among them.
    #[test]
    fn the_title_counts_whatever_comes_together_and_is_never_empty() {
        for combination in 0..3_u64.pow(5) {
            let digit = |place| combination / 3_u64.pow(place) % 3;
            let [terminated, drained, back, failed, left] = [0, 1, 2, 3, 4].map(digit);
            let numbers = |begin, number| begin..begin + number;
            let mut report = report(
                [
                    outcomes(numbers(1, back), OutcomeKind::Reactivated, true),
                    outcomes(numbers(3, terminated), OutcomeKind::Terminating, false),
                    outcomes([5], OutcomeKind::Waiting, false),
                ]
                .concat(),
                [
                    outcomes(numbers(6, drained), OutcomeKind::Draining, false),
                    outcomes([8], OutcomeKind::Postponed, false),
                    outcomes(numbers(9, failed), OutcomeKind::Throttled, true),
                ]
                .concat(),
            );
            report.stranded = numbers(11, left).map(arn).collect();
            let counts = [
                (drained, "drained"),
                (failed, "failed"),
                (left, "left DRAINING"),
                (back, "taken back"),
                (terminated, "terminated"),
            ];
            let counts: Vec<_> = counts
                .iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, word)| format!("{number} {word}"))
                .collect();

            let Some(notification) = told(&report) else {
                assert!(counts.is_empty(), "{counts:?}");
                continue;
            };
            let counts = counts.join(", ");
            assert_eq!(
                notification.title,
                format!("Ebb's sweep of container instances: {counts}, in cluster shop")
            );
            let all = drained + failed + left + back + terminated;
            assert_eq!(notification.instances.len() as u64, all);
            let Message { subject, body } = notification.message(NotificationFormat::Text);
            // All of them at once have no room in a subject; the body has them.
            assert!(subject.contains(&counts) || subject.ends_with("..."), "{subject}");
            assert!(body.contains(&counts) && body.contains("Cluster shop: "), "{body}");
        }
    }

    #[test]
    fn what_was_told_within_the_hour_is_not_counted() {
        let report = report(outcomes([1, 2], OutcomeKind::Denied, false), Vec::new());
        let mut due = news(&report);
        due.remove(&(arn(1), Cause::Failed));
        let notification = sweep(&report, &due).unwrap();
        assert!(notification.title.contains(": 1 failed,"), "{}", notification.title);
        assert_eq!(notification.instances, [id(2)]);
        assert_eq!(sweep(&report, &BTreeSet::new()), None);
    }

    #[test]
    fn each_form_says_what_a_sweep_did_and_what_it_would_do() {
        let mut acted = report(
            outcomes([4], OutcomeKind::Reactivated, true),
            [
                outcomes([1], OutcomeKind::Terminating, false),
                outcomes([2], OutcomeKind::Draining, false),
                outcomes([3], OutcomeKind::Denied, false),
            ]
            .concat(),
        );
        acted.plan.remove = (1..=3).map(removal).collect();
        insta::assert_snapshot!("sweep", forms(&told(&acted).unwrap()));

        let mut planned = report(Vec::new(), outcomes([1], OutcomeKind::WouldRemove, false));
        planned.mode = ReaperMode::Plan;
        planned.stranded = vec![arn(5), arn(6)];
        planned.plan.remove = vec![removal(1)];
        insta::assert_snapshot!("left_draining", forms(&told(&planned).unwrap()));
        insta::assert_snapshot!("plan", forms(&plan(&planned).unwrap()));
        planned.plan.remove.clear();
        assert_eq!(plan(&planned), None);
    }

    #[test]
    fn each_form_says_what_halts_a_cluster() {
        let halt_because =
            |cause| Halt { cause, why: "the deployment of service web fails".to_owned() };
        let causes = [
            HaltCause::AgentsDisconnected,
            HaltCause::DeploymentFails,
            HaltCause::DrainFailed,
            HaltCause::ZonalShift,
        ];
        let mut told = BTreeSet::new();
        for cause in causes {
            let report =
                ClusterReport { halt: Some(halt_because(cause)), ..report(Vec::new(), Vec::new()) };
            told.insert(halt_news(&report).unwrap());
            let notification = halt(&report).unwrap();
            if cause == HaltCause::DeploymentFails {
                insta::assert_snapshot!("halted", forms(&notification));
            }
        }
        assert_eq!(told.len(), causes.len(), "each is told by itself");
        let report = report(Vec::new(), Vec::new());
        assert_eq!((halt_news(&report), halt(&report)), (None, None));
    }

    #[test]
    fn a_cluster_with_the_longest_name_does_not_push_the_counts_out_of_the_title() {
        let mut report = report(Vec::new(), outcomes(1..=40, OutcomeKind::Draining, false));
        report.plan.cluster = crate::ids::Cluster::new("x".repeat(255));
        let message = told(&report).unwrap().message(NotificationFormat::Text);
        assert_is_sns(&message);
        assert!(message.subject.contains("40 drained"), "{}", message.subject);
    }
}
