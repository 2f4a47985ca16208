//! A fallback group comes back: once its Spot group is whole again, down to what it was, and never
//! the Spot group in its place.

use std::time::Duration;

use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_planner::KeepReason;
use ebb_region::fault::Fault;
use ebb_region::world::World;
use ebb_region::world::autoscaling::Group;
use ebb_region::world::ecs::NewInstance;
use serde_json::json;

use crate::support::{
    CLUSTER, GROUP, Sim, add_small, hooked, instance_id, reason, removed, settings, start_time,
};

const SPOT_GROUP: &str = "shop-spot";

/// The settings of a reaper that brings back the on-demand group for the Spot group.
pub(crate) fn coming_back() -> ReaperSettings {
    let pairs = format!(r#"{{"{SPOT_GROUP}": "{GROUP}"}}"#);
    let read = ReaperSettings::from_lookup(|variable| {
        (variable == "FALLBACK_AUTO_SCALING_GROUPS").then(|| pairs.clone())
    });
    ReaperSettings { fallback_groups: read.unwrap().fallback_groups, ..settings() }
}

/// Three Spot Instances of six, three of them interrupted, and on-demand instances in their place:
/// as many as `on_demand`, of which `baseline` were there before.
pub(crate) fn interrupted(on_demand: usize, baseline: usize) -> World {
    let mut world = World::new(start_time(), 1);
    add_small(&mut world, CLUSTER, SPOT_GROUP, 1..=3, 0);
    let spot = world.groups.get_mut(SPOT_GROUP).unwrap();
    (spot.desired_capacity, spot.ec2_has_capacity) = (4, false);
    let ids: Vec<_> = (10..10 + on_demand).map(instance_id).collect();
    for id in &ids {
        world.add_instance(CLUSTER, NewInstance::new(id).zone("eu-west-1a"));
    }
    let mut group = Group { max_size: 10, ..Group::with_instances(CLUSTER, ids) };
    group.tags.insert("ebb:fallback".to_owned(), baseline.to_string());
    world.add_group(GROUP, group);
    hooked(world)
}

/// EC2 has capacity again, and the Spot group launches what it lacks.
pub(crate) fn recover(world: &mut World) {
    let spot = world.groups.get_mut(SPOT_GROUP).unwrap();
    spot.ec2_has_capacity = true;
    let desired_capacity = spot.desired_capacity;
    world.set_desired_capacity(SPOT_GROUP, desired_capacity).unwrap();
}

fn desired(sim: &Sim, group: &str) -> i32 {
    sim.region.world().groups[group].desired_capacity
}

fn tag(sim: &Sim) -> Option<String> {
    sim.region.world().groups[GROUP].tags.get("ebb:fallback").cloned()
}

fn kept_for_now(reason: &KeepReason) -> &str {
    let KeepReason::GroupUnavailable(_, why) = reason else { panic!("{reason:?}") };
    why
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_comes_back_once_its_spot_group_was_whole_in_two_sweeps() {
    let sim = Sim::start(interrupted(1, 0), coming_back()).await;
    let [fallback, spot] = [10, 1].map(instance_id);

    let short = sim.report().await;
    assert_eq!(removed(&short), [""; 0]);
    let why = "it stands in for group shop-spot, which has 3 of 4 in service";
    assert_eq!(kept_for_now(&reason(&short, &fallback)), why);
    let why = "its fallback group shop-on-demand, which is raised by 1, goes first";
    assert_eq!(kept_for_now(&reason(&short, &spot)), why);

    recover(&mut sim.region.world());
    sim.until_next().await;
    let once = sim.report().await;
    assert_eq!(removed(&once), [""; 0]);
    let why = "group shop-spot, which it stands in for, is whole in 1 of 2 sweeps";
    assert_eq!(kept_for_now(&reason(&once, &fallback)), why);

    sim.until_next().await;
    assert_eq!(removed(&sim.report().await), [fallback.as_str()]);
    sim.until_next().await;
    assert_eq!((desired(&sim, GROUP), desired(&sim, SPOT_GROUP)), (0, 4));
    sim.report().await;
    assert_eq!(tag(&sim), None, "it has come back");
    sim.until_next().await;
    sim.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_follow_each_other_at_once_count_as_one() {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    let sim = Sim::start(world, coming_back()).await;
    sim.until_next().await;
    for _ in 0..3 {
        assert_eq!(removed(&sim.report().await), [""; 0]);
        sim.run(Duration::from_secs(60)).await;
    }
    let (first, second) = tokio::join!(sim.sweep(), sim.sweep());
    assert_eq!(first.clusters[0].plan.remove.len() + second.clusters[0].plan.remove.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_interrupted_again_begins_anew() {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    let sim = Sim::start(world, coming_back()).await;
    sim.until_next().await;
    sim.report().await;
    {
        let mut world = sim.region.world();
        world.groups.get_mut(SPOT_GROUP).unwrap().ec2_has_capacity = false;
        world.terminate(&instance_id(1), Duration::ZERO);
    }
    sim.until_next().await;
    assert_eq!(removed(&sim.report().await), [""; 0]);
    assert_eq!(tag(&sim).as_deref(), Some("0"));
    recover(&mut sim.region.world());
    sim.until_next().await;
    assert_eq!(removed(&sim.report().await), [""; 0]);
    sim.until_next().await;
    assert_eq!(removed(&sim.report().await), [instance_id(10)]);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_between_plan_and_drain_keeps_the_fallback_group() {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    let sim = Sim::start(world, coming_back()).await;
    sim.until_next().await;
    sim.report().await;
    sim.until_next().await;
    let report = sim
        .sweep_while("DescribeAutoScalingGroups", 1, |world| {
            world.groups.get_mut(SPOT_GROUP).unwrap().ec2_has_capacity = false;
            world.terminate(&instance_id(1), Duration::ZERO);
        })
        .await;
    assert_eq!(removed(&report), [""; 0], "{report:?}");
    assert_eq!(sim.draining(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_never_goes_below_what_it_was() {
    let mut world = interrupted(3, 2);
    recover(&mut world);
    let sim = Sim::start(world, coming_back()).await;
    sim.until_next().await;
    sim.report().await;
    sim.until_next().await;
    assert_eq!(removed(&sim.report().await).len(), 1, "nobody needs any of the three");
    sim.until_next().await;
    assert_eq!((desired(&sim, GROUP), desired(&sim, SPOT_GROUP)), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_that_stays_for_another_reason_keeps_no_spot_group() {
    let mut world = interrupted(1, 0);
    world.groups.get_mut(GROUP).unwrap().tags.insert("ebb:keep".to_owned(), String::new());
    recover(&mut world);
    let sim = Sim::start(world, coming_back()).await;
    sim.until_next().await;
    let report = sim.report().await;
    assert!(!removed(&report).is_empty(), "{report:?}");
    assert_eq!(reason(&report, &instance_id(10)), KeepReason::Keep);
}

#[tokio::test(start_paused = true)]
async fn plan_mode_says_so_and_notes_nothing() {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    let settings = ReaperSettings { mode: ReaperMode::Plan, ..coming_back() };
    let sim = Sim::start(world, settings).await;
    sim.until_next().await;
    let report = sim.report().await;
    let why = "group shop-spot, which it stands in for, is whole in 1 of 2 sweeps";
    assert_eq!(kept_for_now(&reason(&report, &instance_id(10))), why);
    assert_eq!((sim.calls("CreateOrUpdateTags"), tag(&sim).as_deref()), (0, Some("0")));
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_cannot_be_written_is_a_problem_of_the_sweep_and_written_by_the_next() {
    for operation in ["CreateOrUpdateTags", "DeleteTags"] {
        let mut world = interrupted(1, if operation == "DeleteTags" { 1 } else { 0 });
        recover(&mut world);
        let settings = ReaperSettings { fallback_whole_sweeps: 1, ..coming_back() };
        let sim = Sim::start(world, settings).await;
        sim.until_next().await;
        sim.region.world().faults.plan(operation, Fault::Denied, 1);
        let error = sim.invoke(&json!({})).await.unwrap_err();
        assert!(error.to_string().contains("ebb:fallback"), "{operation}: {error}");
        for _ in 0..4 {
            sim.until_next().await;
            sim.report().await;
        }
        assert_eq!(tag(&sim), None, "{operation}");
        sim.until_next().await;
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_dies_after_any_call_leaves_a_group_that_comes_back() {
    for calls in (1..).step_by(3) {
        let mut world = interrupted(2, 1);
        recover(&mut world);
        let sim = Sim::start(world, coming_back()).await;
        sim.until_next().await;
        sim.report().await;
        sim.until_next().await;
        let died = sim.kill_after(calls).await;
        for _ in 0..5 {
            sim.until_next().await;
            sim.report().await;
            assert!(desired(&sim, GROUP) >= 1 || tag(&sim).is_none(), "after {calls} calls");
        }
        assert_eq!(tag(&sim), None, "after {calls} calls");
        sim.until_next().await;
        sim.assert_at_rest();
        if !died {
            assert!(calls > 20, "a sweep makes more than {calls} calls");
            break;
        }
    }
}

/// A reaper whose budgets are these, of a group of which two of three may go after two sweeps.
async fn with_budgets(budgets: &str) -> Sim {
    let mut world = interrupted(3, 1);
    recover(&mut world);
    let read =
        ReaperSettings::from_lookup(|variable| (variable == "BUDGETS").then(|| budgets.to_owned()));
    let settings = ReaperSettings { budgets: read.unwrap().budgets, ..coming_back() };
    let sim = Sim::start(world, settings).await;
    sim.until_next().await;
    sim.report().await;
    sim.until_next().await;
    sim
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_comes_back_within_the_budget_for_it() {
    let sim = with_budgets(r#"[{"count": 1, "reasons": ["fallback"]}]"#).await;
    assert_eq!(removed(&sim.report().await).len(), 1);
    sim.until_next().await;
    assert_eq!((desired(&sim, GROUP), desired(&sim, SPOT_GROUP)), (2, 4));
    assert_eq!(removed(&sim.report().await).len(), 1);
    sim.until_next().await;
    assert_eq!((desired(&sim, GROUP), desired(&sim, SPOT_GROUP)), (1, 4));

    let sim = with_budgets(r#"[{"count": 0, "reasons": ["fallback"]}]"#).await;
    let report = sim.report().await;
    assert_eq!(removed(&report), [""; 0], "nor does the Spot group go in its place");
    let why = kept_for_now(&reason(&report, &instance_id(10))).to_owned();
    assert_eq!(why, "budget 1 of BUDGETS (0 instances) lets none of it go");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_spot_instance_is_no_room_to_come_back_to_while_its_group_still_has_it() {
    let mut world = interrupted(1, 0);
    recover(&mut world);
    let settings = ReaperSettings { fallback_whole_sweeps: 1, ..coming_back() };
    let sim = Sim::start(world, settings).await;
    sim.until_next().await;
    {
        let mut world = sim.region.world();
        let id = world.container_instance(&instance_id(1)).unwrap().1.id.clone();
        world.set_status(CLUSTER, &id, ebb_region::world::ecs::Status::Draining);
    }
    let report = sim.report().await;
    let why = "it stands in for group shop-spot, which has 3 of 4 in service";
    assert_eq!(kept_for_now(&reason(&report, &instance_id(10))), why);
}
