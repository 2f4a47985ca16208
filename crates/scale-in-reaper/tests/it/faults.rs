//! What AWS refuses, what fails, and what dies half-way: whatever it is, nothing stays DRAINING for
//! ever.

use ebb_core::ids::TopicArn;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::reaper::{ClusterReport, OutcomeKind};
use ebb_region::fault::Fault;
use ebb_region::world::World;

use crate::support::{
    CLUSTER, GROUP, Sim, hooked, instance_id, outcomes, removed, settings, small,
};

/// More attempts than the SDK makes for one call.
const MANY: u32 = 60;

const TERMINATE: &str = "TerminateInstanceInAutoScalingGroup";
const UPDATE: &str = "UpdateContainerInstancesState";

const READS: [&str; 14] = [
    "DescribeAutoScalingGroups",
    "DescribeCapacityProviders",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeInstanceRefreshes",
    "DescribeLifecycleHooks",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "GetTaskProtection",
    "ListContainerInstances",
    "ListServices",
    "ListTasks",
    "DescribeAutoScalingInstances",
];

/// What makes Auto Scaling refuse, and what the answer says then.
type Refusal<'a> = (&'a dyn Fn(&mut World), OutcomeKind);

#[tokio::test(start_paused = true)]
async fn every_refusal_to_terminate_has_its_word_and_the_instance_is_active_again() {
    let plan = |fault| move |world: &mut World| world.faults.plan(TERMINATE, fault, MANY);
    let at_minimum = |world: &mut World| world.groups.get_mut(GROUP).unwrap().min_size = 6;
    let without_instances =
        |world: &mut World| world.groups.get_mut(GROUP).unwrap().instances.clear();
    let (busy, contended) =
        (plan(Fault::ScalingActivityInProgress), plan(Fault::ResourceContention));
    let (throttled, failed) = (plan(Fault::Throttle), plan(Fault::ServerError));
    let silent = plan(Fault::Timeout);
    let refusals: [Refusal<'_>; 7] = [
        (&at_minimum, OutcomeKind::BelowMinimum),
        (&without_instances, OutcomeKind::NotManaged),
        (&busy, OutcomeKind::ScalingActivityInProgress),
        (&contended, OutcomeKind::ResourceContention),
        (&throttled, OutcomeKind::Throttled),
        (&failed, OutcomeKind::Failed),
        (&silent, OutcomeKind::Failed),
    ];
    for (refuse, outcome) in refusals {
        let sim = Sim::start(hooked(small(1)), settings()).await;
        let report = sim.sweep_while(UPDATE, 1, |world| refuse(world)).await;

        assert!(!report.outcomes.is_empty());
        assert!(
            outcomes(&report.outcomes).iter().all(|kind| *kind == outcome),
            "{outcome:?}: {report:?}"
        );
        assert!(report.outcomes.iter().all(|outcome| outcome.reactivated), "{report:?}");
        assert_eq!((sim.active(), sim.marked().len()), (6, 0), "{outcome:?}");
        sim.region.world().faults = ebb_region::fault::Faults::default();
        sim.until_next().await;
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_can_bear_no_mark_keeps_no_other_from_going() {
    let expected = removed(&Sim::start(hooked(small(1)), settings()).await.report().await);
    assert!(expected.len() > 2, "{expected:?}");
    let mut world = hooked(small(1));
    let mut instances = world.clusters[CLUSTER].instances.iter();
    let (full, _) = instances.find(|(_, it)| it.instance_id == expected[0]).unwrap();
    let full = full.clone();
    (0..10).for_each(|number| world.put_attribute(CLUSTER, &full, &format!("own-{number}"), "x"));
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    let kinds = outcomes(&report.outcomes);
    assert_eq!(removed(&report), expected);
    assert_eq!(kinds.iter().filter(|kind| **kind == OutcomeKind::Failed).count(), 1, "{report:?}");
    assert!(!sim.draining().contains(&expected[0]), "{report:?}");
    assert_eq!(sim.marked().len(), expected.len() - 1, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_termination_whose_answer_was_lost_has_happened() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let report = sim
        .sweep_while(UPDATE, 1, |world| world.faults.plan(TERMINATE, Fault::AnswerLost, MANY))
        .await;

    assert!(!report.outcomes.is_empty());
    assert!(
        outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Terminating),
        "{report:?}"
    );
    assert_eq!(
        sim.draining().len(),
        report.outcomes.len(),
        "none is set to ACTIVE while its group terminates it"
    );
    sim.region.world().faults = ebb_region::fault::Faults::default();
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn a_termination_that_took_effect_is_never_sent_again() {
    for fault in Fault::TRANSIENT {
        let sim = Sim::start(hooked(small(1)), settings()).await;
        sim.region.world().faults.plan(TERMINATE, fault, 1);
        let report = sim.report().await;

        let removed = removed(&report).len();
        let repeated = sim.calls(TERMINATE) - removed;
        assert!(repeated <= usize::from(!fault.takes_effect()), "{fault:?}: {report:?}");
        let desired = sim.region.world().groups[GROUP].desired_capacity;
        assert_eq!(desired, 6 - i32::try_from(removed).unwrap(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_termination_that_nobody_can_look_up_is_not_sent_again() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    sim.region.world().faults.plan(TERMINATE, Fault::AnswerLost, 1);
    sim.region.world().faults.plan("DescribeAutoScalingInstances", Fault::ServerError, MANY);
    let report = sim.report().await;

    assert_eq!(sim.calls(TERMINATE), removed(&report).len(), "{report:?}");
    assert_eq!(sim.draining().len(), removed(&report).len(), "none of them is ACTIVE again");
    sim.region.world().faults = ebb_region::fault::Faults::default();
    sim.until_next().await;
    sim.sweep().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_cannot_be_taken_back_at_once_is_by_the_next_sweep() {
    for lookup in ["DescribeAutoScalingInstances", UPDATE] {
        let sim = Sim::start(hooked(small(1)), settings()).await;
        let report = sim
            .sweep_while(UPDATE, 1, |world| {
                world.groups.get_mut(GROUP).unwrap().min_size = 6;
                world.faults.plan(lookup, Fault::ServerError, MANY);
            })
            .await;
        assert!(report.outcomes.iter().all(|outcome| !outcome.reactivated), "{report:?}");
        assert_eq!(sim.draining().len(), report.outcomes.len());

        sim.region.world().faults = ebb_region::fault::Faults::default();
        sim.until_next().await;
        let next = sim.report().await;
        assert_eq!(
            outcomes(&next.follow_ups),
            vec![OutcomeKind::Reactivated; report.outcomes.len()],
            "{next:?}"
        );
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_answer_never_came_is_taken_back() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let report = sim
        .sweep_while("PutAttributes", 1, |world| world.faults.plan(UPDATE, Fault::AnswerLost, 5))
        .await;

    assert!(
        report
            .outcomes
            .iter()
            .all(|outcome| outcome.outcome == OutcomeKind::Failed && outcome.reactivated),
        "{report:?}"
    );
    assert_eq!(sim.calls(TERMINATE), 0);
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_vanishes_meanwhile_takes_none_of_the_others_with_it() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let mut vanished = String::new();
    let planned =
        removed(&sim.invoke(&serde_json::json!({"mode": "plan"})).await.unwrap().clusters[0]);
    let report = sim
        .sweep_while("DescribeLifecycleHooks", 1, |world| {
            vanished.clone_from(&planned[0]);
            world.terminate(&planned[0], std::time::Duration::ZERO);
            world.advance(world.now());
        })
        .await;

    let gone = report.outcomes.iter().find(|outcome| outcome.instance_id.as_str() == vanished);
    assert!(gone.is_none_or(|outcome| outcome.outcome == OutcomeKind::Gone), "{report:?}");
    let remaining =
        report.outcomes.iter().filter(|outcome| outcome.instance_id.as_str() != vanished);
    let remaining: Vec<_> = remaining.map(|outcome| outcome.outcome).collect();
    assert_eq!(remaining, vec![OutcomeKind::Terminating; planned.len() - 1], "{report:?}");
    sim.until_next().await;
    sim.assert_unharmed();
}

#[tokio::test(start_paused = true)]
async fn one_fault_at_each_call_changes_nothing() {
    for operation in
        READS.into_iter().chain(["PutAttributes", UPDATE, TERMINATE, "DeleteAttributes"])
    {
        for fault in Fault::TRANSIENT {
            let sim = Sim::start(hooked(small(1)), settings()).await;
            sim.region.world().faults.plan(operation, fault, 1);
            let report = sim.report().await;
            assert!(!report.outcomes.is_empty());
            let wanted = |kind: &OutcomeKind| *kind == OutcomeKind::Terminating;
            assert!(
                outcomes(&report.outcomes).iter().all(wanted),
                "{operation} {fault:?}: {report:?}"
            );
            sim.until_next().await;
            sim.assert_at_rest();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_removes_nothing() {
    let settings = ReaperSettings { clusters: None, ..settings() };
    for operation in READS[..13].iter().chain(&["ListClusters"]) {
        for fault in Fault::BROKEN_ANSWERS.into_iter().chain([Fault::ServerError]) {
            let sim = Sim::start(hooked(small(1)), settings.clone()).await;
            sim.region.world().faults.plan(operation, fault, MANY);
            let report = sim.invoke(&serde_json::json!({})).await;

            let case = format!("{operation}, {fault:?}: {report:?}");
            assert!(report.is_err(), "{case}");
            assert_eq!((sim.draining().len(), sim.marked().len()), (0, 0), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_for_a_while_costs_no_sweep() {
    let settings = ReaperSettings { clusters: None, ..settings() };
    // Before anything is planned; what fails between plan and action is looked at by the next sweep.
    let looks = READS[..13].iter().filter(|operation| **operation != "DescribeLifecycleHooks");
    for operation in looks.chain(&["ListClusters"]) {
        for fault in Fault::BROKEN_ANSWERS.into_iter().chain([Fault::ServerError, Fault::Throttle])
        {
            let sim = Sim::start(hooked(small(1)), settings.clone()).await;
            // One more than the SDK's attempts.
            sim.region.world().faults.plan(operation, fault, 6);
            let report = sim.report().await;
            assert!(!report.outcomes.is_empty(), "{operation}, {fault:?}: {report:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_no_answer_confirms_harms_nothing_and_is_mended_afterwards() {
    for operation in ["PutAttributes", UPDATE, TERMINATE, "DeleteAttributes"] {
        for fault in Fault::BROKEN_ANSWERS {
            let sim = Sim::start(hooked(small(1)), settings()).await;
            sim.region.world().faults.plan(operation, fault, MANY);
            let report = sim.invoke(&serde_json::json!({})).await;
            sim.until_next().await;

            sim.assert_unharmed();
            // Only what its group terminates is taken for terminated.
            let terminating = |report: &ClusterReport| {
                let kinds = outcomes(&report.outcomes);
                kinds.iter().filter(|kind| **kind == OutcomeKind::Terminating).count()
            };
            let confirmed: usize =
                report.iter().flat_map(|answer| &answer.clusters).map(terminating).sum();
            assert_eq!(confirmed, 6 - sim.region.world().groups[GROUP].instances.len());
            sim.region.world().faults = ebb_region::fault::Faults::default();
            for _ in 0..3 {
                sim.sweep().await;
                sim.until_next().await;
            }
            sim.assert_at_rest();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_an_answer_confirms_it_and_no_sweep_waits_for_that() {
    for fault in Fault::BROKEN_ANSWERS {
        for calls in [1, MANY] {
            let topic = "arn:aws:sns:eu-west-1:111122223333:sweeps";
            let notification_topic = Some(TopicArn::new(topic));
            let settings = ReaperSettings { notification_topic, ..settings() };
            let sim = Sim::start(hooked(small(1)), settings).await;
            sim.region.world().faults.plan("Publish", fault, calls);
            let report = sim.report().await;

            let case = format!("{fault:?} × {calls}: {report:?}");
            let terminating = |kind: &OutcomeKind| *kind == OutcomeKind::Terminating;
            assert!(outcomes(&report.outcomes).iter().all(terminating), "{case}");
            let told = sim.region.world().published.iter().any(|sent| sent.topic_arn == topic);
            assert!(told || calls == MANY, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_a_sweep_is_mended_by_the_next_ones() {
    for hooks in [true, false] {
        let world = || if hooks { hooked(small(1)) } else { small(1) };
        let undisturbed = Sim::start(world(), settings()).await;
        for _ in 0..3 {
            undisturbed.sweep().await;
            undisturbed.until_next().await;
        }
        for calls in 1.. {
            let sim = Sim::start(world(), settings()).await;
            if !sim.kill_after(calls).await {
                assert!(calls > 20, "a sweep makes {calls} calls");
                break;
            }
            for _ in 0..4 {
                sim.until_next().await;
                sim.sweep().await;
            }
            sim.until_next().await;
            sim.assert_at_rest();
            assert_eq!(sim.active(), undisturbed.active(), "killed after {calls} calls");
            assert!(sim.state_of(&instance_id(1)).is_none_or(|state| state.counts_into_capacity()));
        }
    }
}
