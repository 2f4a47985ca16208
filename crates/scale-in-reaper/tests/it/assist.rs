//! Sweeps beside cluster auto scaling, on groups whose size a capacity provider's managed scaling
//! decides.

use std::time::Duration;

use ebb_core::ids::Cluster;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_core::reaper::sustained::TAKEN_BACK;
use ebb_core::reaper::{ClusterReport, OutcomeKind};
use ebb_planner::EMPTIED_ATTRIBUTE;
use ebb_region::demonstration::office;
use ebb_region::world::autoscaling::{CompletedBy, Group};
use ebb_region::world::ecs::{CapacityProvider, NewInstance, ServiceKind, StrategyItem, TaskSpec};
use ebb_region::world::{Happening, REGION, World};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, hooked, instance_id, outcomes, reason, removed, settings,
    start_time,
};

/// The second group, of a cheaper kind.
const SPOT_GROUP: &str = "shop-spot";

fn small() -> TaskSpec {
    TaskSpec { cpu: 128, memory_mib: 256, ..TaskSpec::default() }
}

/// Adds a group with instances of these numbers.
fn add_group(world: &mut World, group: &str, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers.clone() {
        let zone = ["a", "b", "c"][number % 3];
        let instance = NewInstance::new(instance_id(number)).zone(format!("{REGION}{zone}"));
        world.add_instance(CLUSTER, instance);
    }
    let members = Group::with_instances(CLUSTER, numbers.map(instance_id));
    world.add_group(group, Group { max_size: 40, ..members });
}

/// Twelve instances with a small task each, which cluster auto scaling alone keeps for ever.
fn twelve() -> World {
    let mut world = World::new(start_time(), 1);
    add_group(&mut world, GROUP, 1..=12);
    world.add_service(CLUSTER, "web", ServiceKind::replica(12), small());
    hooked(world)
}

/// The same beside a capacity provider that the service is placed by.
fn managed(provider: CapacityProvider) -> World {
    let mut world = twelve();
    world.attach_capacity_provider(CLUSTER, "provider", provider);
    world.set_strategy(CLUSTER, "web", [StrategyItem::new("provider", 0, 1)]);
    world
}

async fn managed_sim(provider: CapacityProvider) -> Sim {
    let sim = Sim::start(managed(provider), settings()).await;
    // What ECS measures and protects is known within minutes.
    sim.run(Duration::from_secs(300)).await;
    sim
}

fn protecting(target_capacity: usize) -> CapacityProvider {
    CapacityProvider::protecting(GROUP, target_capacity)
}

fn are_all(report: &ClusterReport, kind: OutcomeKind) -> bool {
    !report.outcomes.is_empty() && outcomes(&report.outcomes).iter().all(|it| *it == kind)
}

fn size(sim: &Sim) -> i32 {
    sim.region.world().groups[GROUP].desired_capacity
}

/// How many instances say that a drain of theirs was taken back.
fn taken_back(sim: &Sim) -> usize {
    let world = sim.region.world();
    let instances = world.clusters[CLUSTER].instances.values();
    instances.filter(|instance| instance.attribute(TAKEN_BACK).is_some()).count()
}

/// How often the desired capacity of a group rose.
fn scale_outs(sim: &Sim) -> usize {
    let world = sim.region.world();
    let of_group = |happening: &Happening| match happening {
        Happening::DesiredCapacity { group, desired_capacity } if group == GROUP => {
            Some(*desired_capacity)
        }
        _ => None,
    };
    let sizes: Vec<_> =
        world.history.iter().filter_map(|entry| of_group(&entry.happening)).collect();
    sizes.windows(2).filter(|pair| pair[0] < pair[1]).count()
}

#[tokio::test(start_paused = true)]
async fn ecs_takes_what_a_sweep_has_emptied_and_ebb_terminates_nothing() {
    let alone = Sim::start(twelve(), settings()).await.report().await.plan.remove.len();
    let sim = managed_sim(protecting(100)).await;
    let report = sim.report().await;

    assert_eq!(report.plan.remove.len(), alone, "as many as without a capacity provider");
    assert!(alone >= 8 && are_all(&report, OutcomeKind::LeftToEcs), "{report:?}");
    sim.until_next().await;
    sim.sweep().await;
    sim.until_next().await;
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
    assert_eq!((size(&sim), scale_outs(&sim)), (12 - i32::try_from(alone).unwrap(), 0));
    sim.assert_at_rest();
    let world = sim.region.world();
    assert!(world.completed_actions.iter().all(|action| action.cause == CompletedBy::Caller));
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_is_left_for_ecs_to_take() {
    let sim = managed_sim(protecting(100)).await;
    let answer = sim.invoke(&json!({"mode": "plan"})).await.unwrap().to_json();
    let cluster = &answer["clusters"][0];
    let left = "left for ECS to take, once it is empty";
    assert_eq!(cluster["remove"][0]["outcome_detail"], left, "{cluster}");
    assert!(cluster["text"].as_str().unwrap().contains(left), "{cluster}");
}

#[tokio::test(start_paused = true)]
async fn without_termination_protection_what_is_empty_is_terminated_and_nothing_else() {
    let sim = managed_sim(CapacityProvider::scaling(GROUP, 100)).await;
    let first = sim.report().await;
    // The lifecycle drainer has a hook there, and what holds a task is drained all the same.
    assert!(are_all(&first, OutcomeKind::Draining), "{first:?}");
    assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
    // ECS may take some of what is empty before that.
    sim.run(Duration::from_secs(600)).await;
    let second = sim.report().await;
    assert!(
        !second.follow_ups.is_empty()
            && outcomes(&second.follow_ups).iter().all(|it| *it == OutcomeKind::Terminating),
        "{second:?}"
    );
    sim.until_next().await;
    assert_eq!((sim.active(), scale_outs(&sim)), (12 - removed(&first).len(), 0));
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn no_more_is_drained_than_target_capacity_leaves() {
    for target in [100, 80, 60] {
        let sim = managed_sim(protecting(target)).await;
        // ECS has the spare instances that the target asks for by then.
        sim.run(Duration::from_secs(3_600)).await;
        let (before, launched) = (size(&sim), scale_outs(&sim));
        for _ in 0..8 {
            sim.sweep().await;
            sim.until_next().await;
            sim.assert_unharmed();
        }
        assert_eq!(scale_outs(&sim), launched, "{target} %: none is launched for the same load");
        assert!(size(&sim) * 2 < before, "{target} %: {before} to {}", size(&sim));
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn a_spare_instance_that_comes_back_keeps_no_other_of_its_group() {
    let hold_after_take_back = SignedDuration::from_hours(3);
    let sim = managed_sim(protecting(60)).await;
    let sim = sim.with(ReaperSettings { hold_after_take_back, ..settings() }).await;
    sim.run(Duration::from_secs(3_600)).await;
    let mut spares = 0;
    for _ in 0..8 {
        let report = sim.report().await;
        let details = report.follow_ups.iter().filter_map(|outcome| outcome.detail.as_deref());
        spares += details.filter(|detail| detail.contains("it is a spare one")).count();
        assert_eq!(taken_back(&sim), 0, "{report:?}");
        sim.until_next().await;
    }
    assert!(spares > 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_drained_while_a_group_is_scaled_out_nor_right_after() {
    let sim = managed_sim(protecting(100)).await;
    sim.region.world().set_desired_capacity(GROUP, 13).unwrap();
    let report = sim.report().await;
    let id = instance_id(1);
    assert_eq!(removed(&report).len(), 0, "{report:?}");
    assert!(reason(&report, &id).to_string().ends_with("it is being scaled out"), "{report:?}");

    // Its boot takes some minutes.
    sim.run(Duration::from_secs(600)).await;
    let report = sim.report().await;
    assert_eq!(removed(&report).len(), 0, "{report:?}");
    assert!(reason(&report, &id).to_string().contains("less than 15 minutes ago"), "{report:?}");
    sim.until_next().await;
    assert!(are_all(&sim.report().await, OutcomeKind::LeftToEcs));
}

#[tokio::test(start_paused = true)]
async fn what_drains_comes_back_where_the_group_is_scaled_out_meanwhile() {
    let sim = managed_sim(protecting(100)).await;
    let drained = removed(&sim.report().await).len();
    // More than what is left has room for: the others wait for an instance.
    sim.region.world().set_desired_count(CLUSTER, "web", 60);
    sim.run(Duration::from_secs(150)).await;
    let report = sim.report().await;

    assert_eq!(report.follow_ups.len(), drained, "{report:?}");
    let came_back = report.follow_ups.iter().filter(|outcome| outcome.reactivated).count();
    assert!(came_back > 0, "{report:?}");
    assert_eq!(removed(&report).len(), 0, "{report:?}");
    for _ in 0..3 {
        sim.until_next().await;
        sim.sweep().await;
    }
    sim.until_next().await;
    sim.assert_unharmed();
}

/// A cluster whose provider does not scale: somebody has deleted its alarms.
fn without_alarms() -> World {
    let mut world = twelve();
    world.attach_capacity_provider(CLUSTER, "provider", CapacityProvider::for_group(GROUP));
    world.set_strategy(CLUSTER, "web", [StrategyItem::new("provider", 0, 1)]);
    world.capacity_providers.insert("provider".to_owned(), protecting(100));
    world
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_ecs_does_not_follow_up_is_taken_back_within_an_hour_and_not_begun_again() {
    let sim = Sim::start(without_alarms(), settings()).await;
    let drained = removed(&sim.report().await);
    for _ in 0..2 {
        sim.until_next().await;
        let report = sim.report().await;
        assert!(
            outcomes(&report.follow_ups).iter().all(|it| *it == OutcomeKind::Waiting),
            "{report:?}"
        );
    }
    // Half an hour after the drain it was seen empty, and an hour after that it comes back.
    sim.until_next().await;
    let report = sim.report().await;
    assert_eq!(outcomes(&report.follow_ups), vec![OutcomeKind::Reactivated; drained.len()]);
    let detail = report.follow_ups[0].detail.as_deref().unwrap();
    assert!(detail.starts_with("ECS has not taken it, which has had no tasks since"), "{detail}");
    sim.assert_at_rest();

    let again =
        |report: &ClusterReport| drained.iter().filter(|id| removed(report).contains(id)).count();
    let mut report = report;
    for _ in 0..44 {
        assert_eq!(again(&report), 0, "{report:?}");
        sim.run(INTERVAL).await;
        report = sim.report().await;
    }
    assert_eq!(reason(&report, &drained[0]).code(), "not_taken", "{report:?}");
    sim.run(INTERVAL * 4).await;
    assert!(again(&sim.report().await) > 0, "a day later");
}

#[tokio::test(start_paused = true)]
async fn what_the_load_called_back_may_go_again_once_the_load_allows_it() {
    let sim = Sim::start(without_alarms(), settings()).await;
    let drained = removed(&sim.report().await);
    sim.until_next().await;
    sim.sweep().await;
    let noted = || {
        let world = sim.region.world();
        let instances = world.clusters[CLUSTER].instances.values();
        instances.filter(|instance| instance.attribute(EMPTIED_ATTRIBUTE).is_some()).count()
    };
    assert_eq!(noted(), drained.len());
    sim.region.world().set_desired_count(CLUSTER, "web", 60);
    sim.run(Duration::from_secs(600)).await;
    let report = sim.report().await;
    let came_back = report.follow_ups.iter().filter(|outcome| outcome.reactivated).count();
    assert!(came_back > 0, "{report:?}");
    assert_eq!(noted(), drained.len() - came_back);
}

/// Two groups with a provider each, and a service for each of them.
fn on_both(targets: [usize; 2]) -> World {
    let mut world = World::new(start_time(), 1);
    add_group(&mut world, GROUP, 1..=6);
    add_group(&mut world, SPOT_GROUP, 11..=16);
    let mut world = hooked(world);
    for (provider, group, target) in
        [("on-demand", GROUP, targets[0]), ("spot", SPOT_GROUP, targets[1])]
    {
        let protecting = CapacityProvider::protecting(group, target);
        world.attach_capacity_provider(CLUSTER, provider, protecting);
        world.add_service(CLUSTER, provider, ServiceKind::replica(0), small());
        world.set_strategy(CLUSTER, provider, [StrategyItem::new(provider, 1, 1)]);
        world.set_desired_count(CLUSTER, provider, 6);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn each_of_two_providers_sheds_what_nobody_needs() {
    for targets in [[100, 100], [100, 80]] {
        let sim = Sim::start(on_both(targets), settings()).await;
        sim.run(Duration::from_secs(3_600)).await;
        for _ in 0..8 {
            sim.sweep().await;
            sim.until_next().await;
            sim.assert_unharmed();
        }
        assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0);
        assert!(sim.active() <= 4, "{targets:?}: {}", sim.active());
        sim.assert_at_rest();
    }
}

/// The tasks that its plan would move do not move, and ECS takes none that `targetCapacity` asks for.
#[tokio::test(start_paused = true)]
async fn a_spare_instance_that_plan_mode_strands_is_told_whatever_could_go_beside_it() {
    let gently = ReaperSettings { max_removals_percent: 10, ..settings() };
    let sim = Sim::start(on_both([100, 60]), gently).await;
    sim.run(Duration::from_secs(3_600)).await;
    let plan = sim.with(ReaperSettings { mode: ReaperMode::Plan, ..settings() }).await;
    let mut spares = 0;
    for _ in 0..8 {
        sim.sweep().await;
        sim.until_next().await;
        let report = plan.report().await;
        let details = report.follow_ups.iter().filter_map(|outcome| outcome.detail.as_deref());
        let spare = details.filter(|detail| detail.contains("a spare one")).count();
        assert!(report.stranded.len() >= spare, "{spare} of {report:?}");
        spares += spare;
    }
    assert!(spares > 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_a_full_provider_keeps_none_of_another_one() {
    let mut world = on_both([100, 100]);
    world.groups.get_mut(GROUP).unwrap().max_size = 6;
    // One to an instance, and so one too many for as long as the group is not larger.
    let large = TaskSpec { cpu: 1_700, ..TaskSpec::default() };
    world.add_service(CLUSTER, "db", ServiceKind::replica(0), large);
    world.set_strategy(CLUSTER, "db", [StrategyItem::new("on-demand", 0, 1)]);
    world.set_desired_count(CLUSTER, "db", 7);
    let sim = Sim::start(world, settings()).await;
    sim.run(Duration::from_secs(900)).await;
    let report = sim.report().await;

    let of_spot: Vec<_> = (11..=16).map(instance_id).collect();
    let gone = removed(&report);
    assert!(gone.len() >= 2 && gone.iter().all(|id| of_spot.contains(id)), "{report:?}");
    for _ in 0..3 {
        sim.until_next().await;
        sim.sweep().await;
    }
    let world = sim.region.world();
    assert_eq!((world.missing_tasks(), world.tasks_cut_off().len()), (vec![("db", 1)], 0));
    assert_eq!(world.groups[GROUP].desired_capacity, 6);
    assert!(world.groups[SPOT_GROUP].desired_capacity <= 4);
}

#[tokio::test(start_paused = true)]
async fn the_office_of_the_demonstration_shrinks_whatever_the_seed() {
    for seed in 1..=20 {
        let mut world = World::new(start_time(), seed);
        office::add(&mut world);
        let settings = ReaperSettings {
            clusters: Some(vec![Cluster::new(office::CLUSTER)]),
            max_removals_percent: 25,
            ..settings()
        };
        let sim = Sim::start(world, settings).await;
        let mut emptied = 0;
        for _ in 0..8 {
            emptied += removed(&sim.report().await).len();
            sim.run(office::SWEEP_INTERVAL).await;
        }

        assert!(emptied >= 4, "seed {seed}: {emptied}");
        assert_eq!(sim.calls("TerminateInstanceInAutoScalingGroup"), 0, "seed {seed}");
        let world = sim.region.world();
        assert_eq!(office::instances_left(&world), office::INSTANCES - emptied, "seed {seed}");
        assert_eq!(office::tasks_cut_off(&world), 0, "seed {seed}");
        assert_eq!(world.missing_tasks(), [], "seed {seed}");
    }
}
