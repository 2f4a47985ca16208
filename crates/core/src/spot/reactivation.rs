//! What to do about an instance that runs again after it was drained on a notice, and why.
//!
//! The decision is [`decide_return`]. Finding the container instances, setting them to ACTIVE and
//! trying again is left to the `spot-drainer`. An instance that never stopped, because the
//! interruption never came, is left to `reaper::follow_up`: no event tells of it.

use jiff::{SignedDuration, Timestamp};

use crate::ecs::{ContainerInstanceStatus, ObservedContainerInstance};
use crate::spot::answer::OutcomeKind;
use crate::spot::decide::Decision;
use crate::spot::notice::Notice;

/// How long the agent of an instance that runs again is waited for. It connects within a minute of
/// that as a rule; the notice's queue hands the event out four times, 30 seconds apart, and the last
/// of them still decides.
pub const AGENT_CONNECTS_WITHIN: SignedDuration = SignedDuration::from_secs(90);

/// Decides what to do about a container instance on an instance that runs: if it was drained by
/// `function` on a notice before it began to run, it is set to ACTIVE once its agent is connected.
/// `observed` is `None` if every cluster was looked through and none has one.
pub fn decide_return(
    notice: &Notice,
    observed: Option<&ObservedContainerInstance>,
    function: &str,
    dry_run: bool,
    now: Timestamp,
) -> Decision {
    let ignored = |reason: &str| done(OutcomeKind::Ignored, reason);
    let Some(observed) = observed else {
        return ignored("it runs, and no cluster has a container instance on it");
    };
    let mark = observed.mark();
    let mark = mark.as_ref();
    let Some(mark) = mark.filter(|mark| mark.function == function && mark.cause.is_some()) else {
        return ignored("it runs, and was not drained on a notice that it could outlive");
    };
    // An event that is late, or comes again, may be about the time before the notice. Marks hold
    // whole seconds, as do EC2's events.
    let Some(since) = notice.time.filter(|time| time.as_second() >= mark.at.as_second()) else {
        return ignored("it ran before it was drained");
    };
    match observed.container_instance.status {
        ContainerInstanceStatus::Active | ContainerInstanceStatus::Draining if dry_run => {
            done(OutcomeKind::WouldReactivate, "it runs again; DRY_RUN is set")
        }
        ContainerInstanceStatus::Active => Decision::Unmark,
        ContainerInstanceStatus::Draining if observed.agent_connected => Decision::Reactivate,
        ContainerInstanceStatus::Draining if now.duration_since(since) < AGENT_CONNECTS_WITHIN => {
            Decision::LookAgain { why: "its agent is not connected yet".to_owned() }
        }
        // A second container instance, whose agent lost its state, never comes back; nor is every
        // boot quick. Neither is worth a dead letter.
        ContainerInstanceStatus::Draining => done(
            OutcomeKind::NotReactivated,
            format!(
                "it runs, but its agent is not connected after {} s: the scale-in reaper sets it to \
                 ACTIVE once it is",
                AGENT_CONNECTS_WITHIN.as_secs()
            ),
        ),
        ContainerInstanceStatus::Registering
        | ContainerInstanceStatus::RegistrationFailed
        | ContainerInstanceStatus::Deregistering
        | ContainerInstanceStatus::Inactive
        | ContainerInstanceStatus::Other(_) => done(
            OutcomeKind::Gone,
            format!("the container instance is {}", observed.container_instance.status),
        ),
    }
}

fn done(outcome: OutcomeKind, reason: impl Into<String>) -> Decision {
    Decision::Done { outcome, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::ContainerInstance;
    use crate::ids::{Cluster, ContainerInstanceArn, InstanceId};
    use crate::spot::notice::NoticeKind;

    /// When the instance was drained.
    const DRAINED: i64 = 7_200;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn observed(status: &str, agent_connected: bool, mark: &str) -> ObservedContainerInstance {
        ObservedContainerInstance {
            container_instance: ContainerInstance {
                arn: ContainerInstanceArn::new("arn"),
                cluster: Cluster::new("shop"),
                instance_id: InstanceId::parse("i-1a2b3c4d").unwrap(),
                status: status.into(),
            },
            agent_connected,
            tasks_wanted: 0,
            attribute: Some(mark.to_owned()),
        }
    }

    /// The decision this many seconds after the instance began to run, which was this many seconds
    /// after it was drained.
    fn word(
        observed: &ObservedContainerInstance,
        after_drain: Option<i64>,
        dry_run: bool,
        late: i64,
    ) -> String {
        let instance_id = observed.container_instance.instance_id.clone();
        let time = after_drain.map(|seconds| second(DRAINED + seconds));
        let now = second(DRAINED + after_drain.unwrap_or(0) + late);
        let notice = Notice { instance_id, kind: NoticeKind::Running, time };
        match decide_return(&notice, Some(observed), "spot-drainer", dry_run, now) {
            Decision::Reactivate => "reactivate".to_owned(),
            Decision::Unmark => "unmark".to_owned(),
            Decision::LookAgain { .. } => "look again".to_owned(),
            Decision::Drain => "drain".to_owned(),
            Decision::Done { outcome, .. } => outcome.as_str().to_owned(),
        }
    }

    const OURS: &str = "spot-drainer/1970-01-01T02:00:00Z/stop";

    #[test]
    fn every_status_has_its_decision_with_and_without_an_agent_and_dry_run() {
        let mut lines = Vec::new();
        for status in ["DRAINING", "ACTIVE", "REGISTERING", "DEREGISTERING", "INACTIVE", "NEW_WORD"]
        {
            let [connected, gone] = [true, false].map(|agent| observed(status, agent, OURS));
            lines.push(format!(
                "{status}: {}; dry run: {}; without an agent: {}, after 90 s {}",
                word(&connected, Some(600), false, 0),
                word(&connected, Some(600), true, 0),
                word(&gone, Some(600), false, 89),
                word(&gone, Some(600), false, 90),
            ));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        DRAINING: reactivate; dry run: would_reactivate; without an agent: look again, after 90 s not_reactivated
        ACTIVE: unmark; dry run: would_reactivate; without an agent: unmark, after 90 s unmark
        REGISTERING: gone; dry run: gone; without an agent: gone, after 90 s gone
        DEREGISTERING: gone; dry run: gone; without an agent: gone, after 90 s gone
        INACTIVE: gone; dry run: gone; without an agent: gone, after 90 s gone
        NEW_WORD: gone; dry run: gone; without an agent: gone, after 90 s gone
        ");
    }

    #[test]
    fn only_what_this_function_drained_and_what_began_to_run_after_that_comes_back() {
        for mark in
            ["", "scale-in-reaper/1970-01-01T02:00:00Z", "spot-drainer/1970-01-01T02:00:00Z"]
        {
            assert_eq!(
                word(&observed("DRAINING", true, mark), Some(600), false, 0),
                "ignored",
                "{mark}"
            );
        }
        let ours = observed("DRAINING", true, OURS);
        assert_eq!(word(&ours, Some(0), false, 0), "reactivate", "in the same second");
        assert_eq!(word(&ours, Some(-1), false, 900), "ignored", "it ran before");
        assert_eq!(word(&ours, None, false, 900), "ignored", "nobody knows since when it runs");
    }
}
