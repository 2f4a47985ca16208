//! What a sweep does, told as stories.

use std::time::Duration;

use ebb_core::ids::{Cluster, TopicArn};
use ebb_core::reaper::managed_scaling::ManagedScalingMode;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::{ClusterReport, OutcomeKind};
use ebb_planner::KeepReason;
use ebb_region::fault::Fault;
use ebb_region::scenario;
use ebb_region::world::autoscaling::CompletedBy;
use ebb_region::world::autoscaling::{Group, Instance, LifecycleState};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::TaskSpec;
use ebb_region::world::ecs::{CapacityProvider, Deployments, NewInstance, ServiceKind, Status};
use ebb_region::world::{Happening, World};
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, TIMEOUT, add_small, hooked, instance_id, outcomes, reason,
    removed, settings, small, start_time,
};

/// What changes the world; everything else that a sweep calls is a read.
const WRITES: [&str; 5] = [
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DeleteAttributes",
    "TerminateInstanceInAutoScalingGroup",
    "SetDesiredCapacity",
];

// Planning

#[tokio::test(start_paused = true)]
async fn plan_mode_says_what_would_go_and_changes_nothing() {
    let settings = ReaperSettings { mode: ReaperMode::Plan, ..settings() };
    let sim = Sim::start(hooked(small(1)), settings).await;
    let before = sim.region.world().history.len();
    let report = sim.report().await;

    assert!(report.plan.remove.len() >= 3, "{report:?}");
    assert!(outcomes(&report.outcomes).iter().all(|outcome| *outcome == OutcomeKind::WouldRemove));
    assert_eq!(sim.region.world().history.len(), before);
    assert_eq!(WRITES.map(|write| sim.calls(write)), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_person_gets_the_plan_whatever_the_setting_and_cannot_exceed_it() {
    let act = Sim::start(hooked(small(1)), settings()).await;
    let planned = act.invoke(&json!({"mode": "plan"})).await.unwrap();
    assert_eq!((planned.mode, act.calls("PutAttributes")), (ReaperMode::Plan, 0));

    let plan = act.with(ReaperSettings { mode: ReaperMode::Plan, ..settings() }).await;
    let asked = plan.invoke(&json!({"mode": "act"})).await.unwrap();
    assert_eq!((asked.mode, plan.calls("PutAttributes")), (ReaperMode::Plan, 0));
    assert_eq!(
        asked.clusters[0].plan, planned.clusters[0].plan,
        "the same world gives the same plan"
    );
}

#[tokio::test(start_paused = true)]
async fn the_answer_names_every_instance_and_its_log_line_is_short() {
    let settings = ReaperSettings { mode: ReaperMode::Plan, ..settings() };
    let mut world = small(1);
    for number in 10..100 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
    }
    let sim = Sim::start(world, settings).await;
    let answer = sim.sweep().await;

    let (json, logged) = (answer.to_json(), answer.to_log());
    let named = |key: &str| json["clusters"][0][key].as_array().unwrap().len();
    assert_eq!(named("remove") + named("keep"), 96);
    assert_eq!(logged["clusters"][0]["keep"].as_array().unwrap().len(), 25);
    assert_eq!(logged["clusters"][0]["kept"], named("keep"));
    for key in ["cpu_percent", "memory_percent"] {
        assert!(json["clusters"][0]["headroom_after"][key].as_f64().unwrap() >= 20.0, "{json}");
    }
}

// Removing

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_drained_and_terminated_and_no_task_is_cut_off() {
    let sim = Sim::start(hooked(scenario::idle_shop(start_time(), 1)), settings()).await;
    let report = sim.report().await;

    let mut removed = removed(&report);
    removed.sort();
    assert!(!removed.is_empty(), "{report:?}");
    assert!(
        outcomes(&report.outcomes).iter().all(|outcome| *outcome == OutcomeKind::Terminating),
        "{report:?}"
    );
    assert_eq!(sim.draining(), removed, "they are DRAINING");
    sim.until_next().await;
    for instance_id in &removed {
        assert_eq!(sim.region.world().status_of(instance_id), None, "{instance_id} is gone");
    }
    sim.assert_at_rest();
    let completed = sim.region.world().completed_actions.clone();
    assert_eq!(completed.len(), removed.len());
    assert!(
        completed.iter().all(|action| action.cause == CompletedBy::Caller),
        "the drainer held them: {completed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn repeated_sweeps_take_their_share_and_come_to_rest_with_the_headroom_left() {
    let settings =
        ReaperSettings { max_removals_percent: 10, max_empty_removals_percent: 0, ..settings() };
    let sim = Sim::start(hooked(scenario::idle_shop(start_time(), 1)), settings).await;
    let mut counts = Vec::new();
    for _ in 0..12 {
        let usable = sim.active();
        let report = sim.report().await;
        assert!(report.plan.remove.len() <= usable.div_ceil(10), "{report:?}");
        counts.push(report.plan.remove.len());
        sim.until_next().await;
        sim.assert_at_rest();
    }

    assert!(counts[0] > 0 && counts[8..] == [0; 4], "{counts:?}");
    let last = sim.report().await.plan;
    assert_eq!(last.headroom_before, last.headroom_after);
    assert!(
        last.headroom_after.cpu_percent() >= 20.0 && last.headroom_after.memory_percent() >= 20.0
    );
}

#[tokio::test(start_paused = true)]
async fn a_schedule_sweeps_by_itself() {
    let mut world = hooked(small(1));
    scenario::route_sweeps(&mut world, Function::new(TIMEOUT), INTERVAL);
    let sim = Sim::start(world, settings()).await;
    sim.run(Duration::from_secs(3 * 3_600)).await;

    sim.assert_at_rest();
    assert!(sim.active() < 6);
    let ended = sim.region.world().delivery.ended.clone();
    assert!(ended.iter().all(|ended| ended.result.is_ok()), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_delivered_twice_at_once_does_no_more_than_one() {
    let once = Sim::start(hooked(small(1)), settings()).await;
    once.sweep().await;
    once.until_next().await;

    let twice = Sim::start(hooked(small(1)), settings()).await;
    let payload = json!({});
    let (a, b) = tokio::join!(twice.invoke(&payload), twice.invoke(&payload));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    twice.until_next().await;
    twice.assert_at_rest();
    assert_eq!(twice.active(), once.active());
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_was_removed() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:sweeps";
    let settings = ReaperSettings { notification_topic: Some(TopicArn::new(topic)), ..settings() };
    let sim = Sim::start(hooked(small(1)), settings).await;
    let removed = removed(&sim.report().await);

    let published = sim.region.world().published.clone();
    let notice = published.iter().find(|message| message.topic_arn == topic).expect("a notice");
    assert!(removed.iter().all(|id| notice.message.contains(id)), "{notice:?}");
    let subject = format!(
        "Ebb's sweep of container instances: {} terminated, in cluster shop",
        removed.len()
    );
    assert_eq!(notice.subject.as_deref(), Some(subject.as_str()));
    sim.until_next().await;
    let before = sim.region.world().published.len();
    sim.sweep().await;
    assert_eq!(sim.region.world().published.len(), before, "nothing done, nobody told");
}

// Keeping

#[tokio::test(start_paused = true)]
async fn a_group_at_its_minimum_keeps_its_instances() {
    let sim = Sim::start(hooked(small(6)), settings()).await;
    let report = sim.report().await;

    assert_eq!(removed(&report), [""; 0]);
    assert_eq!(reason(&report, &instance_id(1)).code(), "group_at_minimum");
    assert_eq!(sim.calls("ListTasks"), 0, "nothing is worth reading");
}

#[tokio::test(start_paused = true)]
async fn a_group_never_goes_below_its_minimum() {
    let sim = Sim::start(hooked(small(4)), settings()).await;
    assert_eq!(removed(&sim.report().await).len(), 2);
    sim.until_next().await;
    assert_eq!((sim.active(), sim.region.world().groups[GROUP].desired_capacity), (4, 4));
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn what_others_drained_is_not_touched_and_counts_into_the_share() {
    let sim =
        Sim::start(hooked(small(1)), ReaperSettings { max_removals_percent: 30, ..settings() })
            .await;
    {
        let mut world = sim.region.world();
        for number in 1..=2 {
            let id = world.container_instance(&instance_id(number)).unwrap().1.id.clone();
            world.set_status(CLUSTER, &id, Status::Draining);
        }
    }
    sim.run(Duration::from_secs(300)).await;
    for _ in 0..3 {
        let report = sim.report().await;
        assert_eq!(
            (removed(&report).len(), report.follow_ups.len()),
            (0, 0),
            "two of four usable ones drain already"
        );
        assert_eq!(sim.draining(), [instance_id(1), instance_id(2)]);
        sim.until_next().await;
    }
}

#[tokio::test(start_paused = true)]
async fn instances_with_a_reason_to_stay_stay() {
    let mut world = hooked(small(1));
    world.disconnect_agent(&instance_id(1));
    let group = world.groups.get_mut(GROUP).unwrap();
    group.instances[1].protected_from_scale_in = true;
    group.instances[2].state = LifecycleState::Standby;
    world.add_instance(CLUSTER, NewInstance::new(instance_id(7)).age(Duration::from_secs(60)));
    world.add_instance(CLUSTER, NewInstance::new(instance_id(8)));
    world.groups.get_mut(GROUP).unwrap().instances.push(Instance::in_service(instance_id(7)));
    let id = world.container_instance(&instance_id(4)).unwrap().1.id.clone();
    world.run_task(CLUSTER, &id, "report", TaskSpec::default());
    let protected: Vec<_> = world.clusters[CLUSTER].tasks.keys().cloned().collect();
    for task in protected {
        world.protect_task(CLUSTER, &task, Duration::from_secs(7_200));
    }
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    let code = |number: usize| reason(&report, &instance_id(number)).code();
    assert_eq!(code(1), "agent_disconnected");
    assert_eq!(code(2), "protected_from_scale_in");
    assert_eq!(code(3), "not_in_service");
    assert_eq!(code(4), "pinned");
    assert_eq!(code(7), "too_young");
    assert_eq!(code(8), "no_group");
    let holders: Vec<_> = sim.region.world().clusters[CLUSTER]
        .tasks
        .values()
        .map(|task| task.container_instance.clone())
        .collect();
    for removed in removed(&report) {
        let arn = sim.region.world().container_instance(&removed).unwrap().1.id.clone();
        assert!(!holders.contains(&arn), "a protected task is on {removed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_protected_pins_its_instance() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let planned = removed(&sim.invoke(&json!({"mode": "plan"})).await.unwrap().clusters[0]);
    let holds = |id: &str| {
        let mut world = sim.region.world();
        let arn = world.container_instance(id).unwrap().1.id.clone();
        let tasks: Vec<_> =
            world.clusters[CLUSTER].tasks_on(&arn).map(|task| task.id.clone()).collect();
        tasks.iter().for_each(|task| world.protect_task(CLUSTER, task, Duration::from_secs(7_200)));
        !tasks.is_empty()
    };
    let busy: Vec<_> = planned.into_iter().filter(|id| holds(id)).collect();
    assert!(!busy.is_empty(), "else nothing is shown");

    let report = sim.report().await;
    for id in busy {
        assert_eq!(reason(&report, &id).code(), "pinned", "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn groups_that_may_not_be_shrunk_are_left_alone() {
    let mut world = hooked(small(1));
    world.attach_capacity_provider(CLUSTER, "provider", CapacityProvider::scaling(GROUP, 100));
    let managed_scaling = ManagedScalingMode::Leave;
    let sim = Sim::start(world, ReaperSettings { managed_scaling, ..settings() }).await;
    let report = sim.report().await;
    assert_eq!(
        (removed(&report).len(), reason(&report, &instance_id(1)).code()),
        (0, "managed_scaling")
    );

    let assisting = sim.with(settings()).await;
    assert!(!removed(&assisting.report().await).is_empty());

    let suspended = |group: Group| group.suspending(&["Terminate"]);
    let refreshed = |group: Group| Group { refresh: Some("InProgress".to_owned()), ..group };
    let changes: [(&dyn Fn(Group) -> Group, bool); 3] = [
        (&suspended, false),
        (&refreshed, false),
        (&|group| Group { refresh: Some("Successful".to_owned()), ..group }, true),
    ];
    for (change, removes) in changes {
        let mut world = hooked(small(1));
        let group = change(world.groups[GROUP].clone());
        world.groups.insert(GROUP.to_owned(), group);
        let report = Sim::start(world, settings()).await.report().await;
        assert_eq!(!removed(&report).is_empty(), removes, "{report:?}");
        let is_unavailable =
            |kept: &ebb_planner::Kept| matches!(kept.reason, KeepReason::GroupUnavailable(..));
        assert_eq!(report.plan.keep.iter().all(is_unavailable), !removes, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_groups_that_are_named_are_shrunk() {
    let groups = Some(["another".to_owned()].map(ebb_core::ids::GroupName::new).into());
    let sim = Sim::start(hooked(small(1)), ReaperSettings { groups, ..settings() }).await;
    let report = sim.report().await;
    assert_eq!(
        (removed(&report).len(), reason(&report, &instance_id(1)).code()),
        (0, "group_not_allowed")
    );
}

/// A group that serves a second cluster with instance 11, and whose instance 9 never joined any.
pub(crate) fn shared() -> World {
    let mut world = small(1);
    world.add_instance("blue", NewInstance::new(instance_id(11)));
    let members = &mut world.groups.get_mut(GROUP).unwrap().instances;
    members.extend([9, 11].map(|number| Instance::in_service(instance_id(number))));
    world
}

fn never_joined(report: &ClusterReport) -> Vec<(&str, &str)> {
    let members = &report.unregistered_members;
    members.iter().map(|(id, group)| (id.as_str(), group.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_member_that_joined_no_cluster_is_reported_and_one_of_another_cluster_is_not() {
    let stranger = instance_id(9);
    // The second cluster is swept as well, or else it is asked.
    for (clusters, reports) in [(None, 2), (settings().clusters, 1)] {
        let sim = Sim::start(shared(), ReaperSettings { clusters, ..settings() }).await;
        let answer = sim.sweep().await;
        assert_eq!(answer.clusters.len(), reports);
        for report in &answer.clusters {
            assert_eq!(never_joined(report), [(stranger.as_str(), GROUP)], "{report:?}");
            assert_eq!(report.unclear_members, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_other_clusters_cannot_be_asked_nothing_is_said_of_who_never_joined() {
    for fault in [Fault::Denied, Fault::EmptyObject] {
        let sim = Sim::start(shared(), settings()).await;
        sim.region.world().faults.plan("ListClusters", fault, 100);
        let report = sim.report().await;
        assert_eq!((never_joined(&report).len(), report.unclear_members), (0, 2), "{fault:?}");
        assert!(!report.outcomes.is_empty(), "the sweep goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn other_clusters_are_asked_only_about_members_that_are_missing_and_not_too_many_of_them() {
    let sim = Sim::start(small(1), settings()).await;
    sim.sweep().await;
    assert_eq!(sim.calls("ListClusters"), 0, "every member is in the cluster");

    for (clusters, unclear) in [(150, 0), (151, 2)] {
        let mut world = shared();
        // The second cluster is one of them.
        (1..clusters).for_each(|number| world.add_cluster(&format!("c{number}")));
        let report = Sim::start(world, settings()).await.report().await;
        assert_eq!(report.unclear_members, unclear, "{clusters} clusters");
    }
}

// Deployments

/// Six instances, and a service with three tasks that deploys: no two tasks fit on one instance, so
/// that three instances are empty.
fn deploying(deployments: Deployments, strategy: &'static str, max_percent: usize) -> World {
    let mut world = World::new(start_time(), 1);
    for number in 1..=6 {
        world.add_instance(CLUSTER, NewInstance::new(instance_id(number)));
    }
    let group = Group::with_instances(CLUSTER, (1..=6).map(instance_id));
    world.add_group(GROUP, Group { min_size: 1, max_size: 10, ..group });
    let kind = ServiceKind::Replica { desired: 3, min_percent: 50, max_percent };
    let spec = TaskSpec { memory_mib: 5_000, ..TaskSpec::default() };
    world.add_service(CLUSTER, "web", kind, spec);
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    let service = cluster.services.get_mut("web").unwrap();
    (service.deployments, service.deployment_strategy) = (deployments, strategy);
    hooked(world)
}

async fn removed_while(
    deployments: Deployments,
    strategy: &'static str,
    max_percent: usize,
) -> usize {
    let world = deploying(deployments, strategy, max_percent);
    removed(&Sim::start(world, settings()).await.report().await).len()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_under_way_keeps_the_instances_that_its_new_tasks_need() {
    use Deployments::{Completed, ReplacementInProgress};

    assert_eq!(removed_while(ReplacementInProgress, "ROLLING", 200).await, 0);
    assert_eq!(
        removed_while(ReplacementInProgress, "ROLLING", 100).await,
        3,
        "none beside the old"
    );
    for strategy in ["BLUE_GREEN", "LINEAR", "CANARY"] {
        for max_percent in [100, 200] {
            let removed = removed_while(ReplacementInProgress, strategy, max_percent).await;
            assert_eq!(removed, 0, "{strategy} {max_percent} %");
            let removed = removed_while(Completed, strategy, max_percent).await;
            assert_eq!(removed, 3, "{strategy} {max_percent} %: no deployment is under way");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_replaces_none_and_never_completes_keeps_no_instance() {
    for strategy in ["ROLLING", "BLUE_GREEN"] {
        let removed = removed_while(Deployments::FirstInProgress, strategy, 200).await;
        assert_eq!(removed, 3, "{strategy}");
    }
}

// Looking again

#[tokio::test(start_paused = true)]
async fn what_was_protected_since_the_plan_stays() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let planned = removed(&sim.invoke(&json!({"mode": "plan"})).await.unwrap().clusters[0]);
    let report = sim
        .sweep_while("GetTaskProtection", 1, |world| {
            let group = world.groups.get_mut(GROUP).unwrap();
            let instance = group
                .instances
                .iter_mut()
                .find(|instance| instance.instance_id == planned[0])
                .unwrap();
            instance.protected_from_scale_in = true;
        })
        .await;

    assert_eq!(reason(&report, &planned[0]), KeepReason::ProtectedFromScaleIn);
    let going = removed(&report);
    assert!(
        !going.is_empty() && going.iter().all(|id| planned[1..].contains(id)),
        "others go: {report:?}"
    );
    assert!(!sim.draining().contains(&planned[0]));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_if_load_came_while_the_plan_was_made() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let report = sim
        .sweep_while("GetTaskProtection", 1, |world| world.set_desired_count(CLUSTER, "web", 40))
        .await;

    assert_eq!((removed(&report).len(), sim.draining().len()), (0, 0), "{report:?}");
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn with_no_time_left_nothing_is_begun() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    let begun = sim.region.now();
    sim.invoke(&json!({"mode": "plan"})).await.unwrap();
    let observation_time = Duration::try_from(sim.region.now().duration_since(begun)).unwrap();
    // Half of the time is kept for what was begun already, and a look takes more than the other
    // half.
    let now = sim.region.now();
    let report = sim
        .reaper
        .handle(&json!({}), now, now + observation_time.mul_f64(1.6))
        .await
        .unwrap()
        .clusters
        .remove(0);

    assert!(!report.outcomes.is_empty());
    assert!(
        outcomes(&report.outcomes).iter().all(|kind| *kind == OutcomeKind::Postponed),
        "{report:?}"
    );
    assert_eq!((sim.draining().len(), sim.marked().len()), (0, 0));
}

// Several clusters

#[tokio::test(start_paused = true)]
async fn one_cluster_that_cannot_be_looked_at_does_not_hide_the_others() {
    let mut world = small(1);
    add_small(&mut world, "back-office", "back-office", 11..=16, 1);
    let clusters = ["gone", "back-office", CLUSTER].map(Cluster::new).to_vec();
    let sim =
        Sim::start(hooked(world), ReaperSettings { clusters: Some(clusters), ..settings() }).await;
    let error = sim.invoke(&json!({})).await.unwrap_err();

    assert!(error.to_string().contains("cluster gone"), "{error}");
    sim.until_next().await;
    let active_in = |cluster: &str| {
        let world = sim.region.world();
        world.clusters[cluster]
            .instances
            .values()
            .filter(|instance| instance.status == Status::Active)
            .count()
    };
    assert!(active_in("back-office") < 6 && active_in(CLUSTER) < 6);
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn every_cluster_of_the_region_is_swept_if_none_is_configured() {
    let mut world = small(1);
    add_small(&mut world, "back-office", "back-office", 11..=16, 1);
    let sim = Sim::start(hooked(world), ReaperSettings { clusters: None, ..settings() }).await;
    let answer = sim.sweep().await;

    let names: Vec<_> =
        answer.clusters.iter().map(|report| report.plan.cluster.name().to_owned()).collect();
    assert_eq!(names, ["back-office", CLUSTER]);
    assert_eq!(
        sim.calls("DescribeCapacityProviders"),
        3,
        "once for all, and before each cluster is acted on"
    );
}

#[tokio::test(start_paused = true)]
async fn of_listed_clusters_one_that_is_deleted_meanwhile_is_none_and_one_that_fails_is_named() {
    let mut world = small(1);
    world.add_cluster("back-office");
    let clusters = ReaperSettings { clusters: None, ..settings() };
    let sim = Sim::start(hooked(world), clusters).await;
    sim.region.world().faults.plan("ListContainerInstances", Fault::Denied, 1);
    let error = sim.invoke(&json!({})).await.unwrap_err();
    assert!(error.to_string().contains("cluster back-office"), "{error}");

    let report = sim.sweep_while("DescribeAutoScalingGroups", 1, |world| {
        world.clusters.remove("back-office");
    });
    assert_eq!(report.await.plan.cluster.name(), CLUSTER);
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_an_error() {
    let sim = Sim::start(hooked(small(1)), settings()).await;
    sim.region.world().faults.plan("PutAttributes", Fault::Denied, 1);
    let error = sim.invoke(&json!({})).await.unwrap_err();
    assert_eq!(error.error_type, ebb_aws::ErrorType::AwsDenied);
    assert_eq!(sim.draining(), [""; 0]);
}

// Reading

#[tokio::test(start_paused = true)]
async fn reads_grow_with_the_candidates_and_not_with_the_cluster() {
    let settings =
        ReaperSettings { mode: ReaperMode::Plan, max_removals_percent: 10, ..settings() };
    let sim = Sim::start(hooked(small(1)), settings).await;
    sim.sweep().await;

    let world = sim.region.world();
    let mut operations: Vec<_> = world.calls.iter().map(|call| call.operation.as_str()).collect();
    operations.sort_unstable();
    let lists = operations.iter().filter(|operation| **operation == "ListTasks").count();
    operations.dedup();
    assert_eq!(lists, 2, "both lists of the cluster cost less than two for each of six instances");
    assert_eq!(
        operations,
        [
            "DescribeAutoScalingGroups",
            "DescribeCapacityProviders",
            "DescribeClusters",
            "DescribeContainerInstances",
            "DescribeInstanceRefreshes",
            "DescribeInstances",
            "DescribeServices",
            "DescribeTaskDefinition",
            "DescribeTasks",
            "GetProducts",
            "GetTaskProtection",
            "ListContainerInstances",
            "ListManagedResources",
            "ListServices",
            "ListTasks",
        ]
    );
    assert!(
        !world
            .history
            .iter()
            .any(|entry| matches!(entry.happening, Happening::DesiredCapacity { .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn in_a_cluster_of_many_tasks_only_those_of_the_candidates_are_listed() {
    let mut world = small(1);
    let tiny = TaskSpec { cpu: 1, memory_mib: 4, ..TaskSpec::default() };
    world.add_service(CLUSTER, "tiny", ServiceKind::replica(360), tiny);
    let sim = Sim::start(world, ReaperSettings { mode: ReaperMode::Plan, ..settings() }).await;
    let report = sim.report().await;

    // Three pages of the cluster's tasks are not all of them; then one list for each instance. Few
    // have stopped.
    assert_eq!((sim.calls("ListTasks"), sim.calls("DescribeTasks")), (3 + 6 + 1, 4));
    assert!(!report.plan.remove.is_empty(), "{report:?}");
}
