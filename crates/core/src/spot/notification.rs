//! What people are told of interruptions: what is drained for them or is back, and what the fallback
//! group does not replace.
//!
//! The forms are in [`crate::notification`]; sending is left to the `spot-drainer`.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Origin;
use crate::ids::GroupName;
use crate::notification::{Notification, NotificationKind};
use crate::spot::answer::{Answer, Outcome, OutcomeKind};
use crate::words::{count, list};

/// How many instances the fallback group does not replace by now, by the reason.
pub type Shortages = BTreeMap<String, usize>;

/// The instances that this invocation has set to DRAINING, or to ACTIVE again; `None` if it has done
/// neither. What was DRAINING before is left out: whoever drained it has said so, so that a second
/// delivery says nothing. `tasks` is how many ran on what is drained, if that is known.
pub fn interrupted(answer: &Answer, tasks: Option<usize>, home: &Origin) -> Option<Notification> {
    let drained: Vec<_> = answer.of_kind(OutcomeKind::Draining).collect();
    let reactivated: Vec<_> = answer.of_kind(OutcomeKind::Reactivated).collect();
    let instances = |number| count(number, "container instance");
    let mut done = Vec::new();
    let (mut next, mut steps) = (Vec::new(), Vec::new());
    if !drained.is_empty() {
        done.push(format!("drains {}", instances(drained.len())));
        next.push(
            "ECS stops the tasks of services on what is drained and starts others where there is \
             room, before EC2 takes the instance",
        );
        steps.push(
            "If tasks find no place, the events of their service say why: add room".to_owned(),
        );
        steps.push("Start standalone tasks again elsewhere: nothing else does".to_owned());
    }
    if !reactivated.is_empty() {
        done.push(format!("sets {} to ACTIVE again", instances(reactivated.len())));
        next.push("what is ACTIVE again takes tasks");
    }
    if done.is_empty() {
        return None;
    }
    if steps.is_empty() {
        steps.push("Nothing".to_owned());
    }
    let told: Vec<_> = drained.iter().chain(&reactivated).copied().collect();
    let tasks = match tasks {
        _ if drained.is_empty() => "none was stopped".to_owned(),
        Some(number) => format!("{} on what is drained", count(number, "task")),
        None => "how many are on what is drained could not be read".to_owned(),
    };
    Some(Notification {
        kind: NotificationKind::Interrupted,
        title: format!("Ebb {}", done.join(", and ")),
        origin: home.clone(),
        details: told.iter().map(|outcome| line(outcome)).collect(),
        tasks,
        next: next.join("; "),
        steps,
        ..about(&told)
    })
}

/// The interrupted instances that the fallback group does not replace by now; `None` if there are
/// none.
pub fn not_replaced(
    answer: &Answer,
    shortages: &Shortages,
    group: &GroupName,
    home: &Origin,
) -> Option<Notification> {
    let missing: usize = shortages.values().sum();
    if missing == 0 {
        return None;
    }
    let drains = |outcome: &&Outcome| {
        matches!(outcome.outcome, OutcomeKind::Draining | OutcomeKind::AlreadyDraining)
    };
    let interrupted: Vec<_> = answer.outcomes.iter().filter(drains).collect();
    let instances = count(missing, "interrupted instance");
    Some(Notification {
        kind: NotificationKind::NotReplaced,
        title: format!("Ebb cannot replace {instances}"),
        origin: home.clone(),
        tasks: format!("those of {instances} have only the room that the cluster has without them"),
        details: shortages.iter().map(|(reason, number)| shortage(reason, *number)).collect(),
        next:
            "tasks without room wait for it; where the group has no room itself, it is not raised \
               later for these instances"
                .to_owned(),
        steps: vec![
            format!("Raise the maximum size of group {group}, or launch what is missing"),
            "If EC2 has no capacity: give the group more instance types or zones".to_owned(),
        ],
        ..about(&interrupted)
    })
}

/// One line about instances that are not replaced.
pub fn shortage(reason: &str, number: usize) -> String {
    format!("{} not replaced: {reason}", count(number, "interrupted instance"))
}

/// The clusters, the instances and the thread of a notification about these outcomes: the thread of
/// the instance if there is one alone, or else of the cluster.
fn about(outcomes: &[&Outcome]) -> Notification {
    let clusters: BTreeSet<_> =
        outcomes.iter().filter_map(|outcome| outcome.cluster.clone()).collect();
    let instances: BTreeSet<_> =
        outcomes.iter().filter_map(|outcome| outcome.instance_id.clone()).collect();
    let (clusters, instances) = (Vec::from_iter(clusters), Vec::from_iter(instances));
    let thread = match &instances[..] {
        [instance] => instance.to_string(),
        _ if clusters.is_empty() => "interruptions".to_owned(),
        _ => format!("interruptions in {}", list(&clusters)),
    };
    Notification {
        kind: NotificationKind::Interrupted,
        title: String::new(),
        origin: Origin::default(),
        clusters,
        instances,
        tasks: String::new(),
        details: Vec::new(),
        next: String::new(),
        steps: Vec::new(),
        thread,
    }
}

fn line(outcome: &Outcome) -> String {
    format!(
        "{} in cluster {}: {}",
        outcome.instance_id.as_ref().map_or("an instance", |id| id.as_str()),
        outcome.cluster.as_deref().unwrap_or("(unknown)"),
        outcome.reason.as_deref().unwrap_or("interrupted"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::testing::{forms, id, origin};

    fn outcome(number: usize, outcome: OutcomeKind, cluster: &str, reason: &str) -> Outcome {
        Outcome {
            instance_id: Some(id(number)),
            outcome,
            cluster: Some(cluster.to_owned()),
            container_instance_arn: None,
            reason: Some(reason.to_owned()),
        }
    }

    fn answer(outcomes: Vec<Outcome>) -> Answer {
        Answer { outcomes, batch_item_failures: Vec::new() }
    }

    fn drained(number: usize) -> Outcome {
        outcome(number, OutcomeKind::Draining, "shop", "Spot interruption notice (terminate)")
    }

    #[test]
    fn each_form_says_what_is_drained_and_what_is_back() {
        let one = interrupted(&answer(vec![drained(1)]), Some(3), &origin()).unwrap();
        insta::assert_snapshot!("drained", forms(&one));
        let outcomes = vec![
            drained(1),
            outcome(2, OutcomeKind::Draining, "depot", "Spot interruption notice (stop)"),
            outcome(3, OutcomeKind::Reactivated, "shop", "its instance runs again"),
            outcome(4, OutcomeKind::AlreadyDraining, "shop", "it was DRAINING"),
        ];
        let several = interrupted(&answer(outcomes), None, &origin()).unwrap();
        insta::assert_snapshot!("drained_and_back", forms(&several));
    }

    #[test]
    fn what_this_invocation_did_not_do_is_not_told() {
        for kind in OutcomeKind::ALL {
            let told = interrupted(&answer(vec![outcome(1, kind, "shop", "")]), None, &origin());
            let is_done = matches!(kind, OutcomeKind::Draining | OutcomeKind::Reactivated);
            assert_eq!(told.is_some(), is_done, "{kind:?}");
        }
    }

    #[test]
    fn each_form_says_what_is_not_replaced_and_why() {
        let group = GroupName::new("shop on-demand");
        let reason = "fallback group shop on-demand has no room: its desired capacity was 6 of at \
                      most 6, and each counts as 1";
        let shortages = Shortages::from([(reason.to_owned(), 2)]);
        let outcomes = answer(vec![drained(1), drained(2)]);
        let told = not_replaced(&outcomes, &shortages, &group, &origin()).unwrap();
        insta::assert_snapshot!("not_replaced", forms(&told));
        assert_eq!(not_replaced(&outcomes, &Shortages::new(), &group, &origin()), None);
    }
}
