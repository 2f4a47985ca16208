//! What operators hold by a tag or an attribute, with no deployment: nothing goes there, what an
//! earlier sweep drained comes back, and a sweep under way stops.

use std::time::Duration;

use ebb_core::reaper::OutcomeKind;
use ebb_core::reaper::settings::{ReaperMode, ReaperSettings};
use ebb_region::world::World;
use ebb_region::world::autoscaling::LifecycleState;
use serde_json::{Value, json};

use crate::support::{
    CLUSTER, GROUP, Sim, add_small, hooked, instance_id, outcomes, reason, removed, settings,
    small, start_time,
};

/// The tags are spelt as the attribute by people who mix them up.
const KEYS: [&str; 2] = ["ebb:hold-until", "ebb.hold-until"];

fn hold_cluster(world: &mut World, key: &str, value: &str) {
    let cluster = world.clusters.get_mut(CLUSTER).unwrap();
    cluster.tags.insert(key.to_owned(), value.to_owned());
}

fn hold_group(world: &mut World, key: &str, value: &str) {
    world.groups.get_mut(GROUP).unwrap().tags.insert(key.to_owned(), value.to_owned());
}

fn hold_instance(world: &mut World, value: &str, instance_id: &str) {
    let id = world.container_instance(instance_id).unwrap().1.id.clone();
    world.put_attribute(CLUSTER, &id, "ebb.hold-until", value);
}

fn hold_every_instance(world: &mut World, _key: &str, value: &str) {
    let numbers = (1..=6).map(instance_id);
    let left: Vec<_> = numbers.filter(|id| world.container_instance(id).is_some()).collect();
    left.iter().for_each(|id| hold_instance(world, value, id));
}

const HOLDS: [fn(&mut World, &str, &str); 3] = [hold_cluster, hold_group, hold_every_instance];

#[tokio::test(start_paused = true)]
async fn what_is_held_stays_until_then_and_the_plan_says_why_and_who_can_change_it() {
    for (hold, permission) in
        HOLDS.into_iter().zip(["ecs:TagResource", "CreateOrUpdateTags", "ecs:PutAttributes"])
    {
        for (key, value, says) in [
            (KEYS[0], "2025-03-04T06:00:00Z", "until 2025-03-04T06:00:00Z"),
            (KEYS[1], "2025-03-04T06:00:00Z", "until 2025-03-04T06:00:00Z"),
            (KEYS[0], "forever", "(forever) is taken off"),
            (KEYS[0], "after the sale", "`after the sale` is no time"),
        ] {
            let mut world = hooked(small(1));
            hold(&mut world, key, value);
            let sim = Sim::start(world, settings()).await;
            let report = sim.report().await;

            assert_eq!(removed(&report), [""; 0], "{value}");
            for kept in &report.plan.keep {
                let sentence = kept.reason.to_string();
                assert_eq!(kept.reason.code(), "held", "{sentence}");
                assert!(sentence.contains(says) && sentence.contains(permission), "{sentence}");
            }
            sim.assert_at_rest();
        }
        let mut world = hooked(small(1));
        hold(&mut world, KEYS[0], "2025-03-04T05:00:00Z");
        let sim = Sim::start(world, settings()).await;
        assert!(!removed(&sim.report().await).is_empty(), "its time has come");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_held_stays() {
    let mut world = hooked(small(1));
    add_small(&mut world, CLUSTER, "other", 11..=16, 1);
    hold_group(&mut world, KEYS[0], "forever");
    let empties = [11, 12, 13, 14, 15, 16].map(instance_id);
    hold_instance(&mut world, "soon", &empties[0]);
    let sim = Sim::start(world, settings()).await;
    let report = sim.report().await;

    let gone = removed(&report);
    assert!(!gone.is_empty() && gone.iter().all(|id| empties[1..].contains(id)), "{gone:?}");
    assert_eq!(reason(&report, &empties[0]).code(), "held");
}

#[tokio::test(start_paused = true)]
async fn the_plan_and_the_answer_tell_of_holds_whatever_else_keeps_an_instance() {
    let mut world = small(6);
    hold_cluster(&mut world, KEYS[0], "2025-03-04T06:00:00Z");
    hold_instance(&mut world, "soon", &instance_id(1));
    let plan = ReaperSettings { mode: ReaperMode::Plan, ..settings() };
    let sim = Sim::start(world, plan).await;
    let answer = sim.sweep().await.to_json();

    let cluster = &answer["clusters"][0];
    let text = cluster["text"].as_str().unwrap();
    assert!(text.contains("\n  ! cluster shop is held until 2025-03-04T06:00:00Z"), "{text}");
    let holds = cluster["holds"].as_array().unwrap();
    let facts: Vec<_> =
        holds.iter().map(|hold| json!([hold["scope"], hold["until"], hold["unclear"]])).collect();
    assert_eq!(facts, [json!(["cluster", "2025-03-04T06:00:00Z", false])]);
    hold_cluster(&mut sim.region.world(), KEYS[0], "now");
    let answer = sim.sweep().await.to_json();
    let [hold] = &answer["clusters"][0]["holds"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&hold["until"], &hold["unclear"]), (&Value::Null, &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_earlier_sweep_comes_back_and_its_empty_instance_is_not_terminated() {
    for hold in HOLDS {
        // Without a hook: a later sweep terminates what is drained.
        let sim = Sim::start(small(1), settings()).await;
        sim.sweep().await;
        // What was empty is gone; the others wait for a later sweep.
        let is_waiting = |id: &String| sim.state_of(id) == Some(LifecycleState::InService);
        let draining: Vec<_> = sim.draining().into_iter().filter(is_waiting).collect();
        assert!(!draining.is_empty());
        sim.until_next().await;
        hold(&mut sim.region.world(), KEYS[0], "forever");
        let report = sim.report().await;

        assert!(
            outcomes(&report.follow_ups).iter().all(|kind| *kind == OutcomeKind::Reactivated),
            "{report:?}"
        );
        for id in draining {
            assert_eq!(sim.state_of(&id), Some(LifecycleState::InService));
        }
        sim.assert_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_stops_a_sweep_under_way_before_its_next_ten() {
    let many = || {
        let mut world = World::new(start_time(), 1);
        add_small(&mut world, CLUSTER, GROUP, 1..=40, 1);
        hooked(world)
    };
    let sim = Sim::start(many(), settings()).await;
    let report = sim
        .sweep_while("UpdateContainerInstancesState", 1, |world| {
            hold_cluster(world, KEYS[0], "2025-03-04T06:00:00Z");
        })
        .await;
    let (gone, left): (Vec<_>, Vec<_>) =
        report.outcomes.iter().partition(|it| it.outcome == OutcomeKind::Terminating);
    assert_eq!(gone.len(), 10, "{report:?}");
    assert!(left.len() > 10, "{report:?}");
    for outcome in left {
        let detail = outcome.detail.as_deref().unwrap_or_default();
        assert_eq!(outcome.outcome, OutcomeKind::Postponed);
        assert!(detail.starts_with("cluster shop is held until 2025-03-04T06:00:00Z"), "{detail}");
    }

    let sim = Sim::start(many(), settings()).await;
    let batches = sim.report().await.outcomes.len().div_ceil(10);
    assert!(batches > 1);
    let calls = sim.calls("DescribeClusters");
    assert_eq!(calls, 2 + batches - 1, "once a look, and before each batch but the first");
}

#[tokio::test(start_paused = true)]
async fn a_service_may_keep_its_tasks_where_they_are() {
    for key in ["ebb:keep-tasks", "ebb.keep-tasks"] {
        let mut world = hooked(small(1));
        let services = &mut world.clusters.get_mut(CLUSTER).unwrap().services;
        services.get_mut("web").unwrap().tags.insert(key.to_owned(), String::new());
        let sim = Sim::start(world, settings()).await;
        let report = sim.report().await;

        assert_eq!(removed(&report).len(), 3, "the empty ones go: {report:?}");
        for kept in &report.plan.keep {
            let sentence = kept.reason.to_string();
            assert_eq!(kept.reason.code(), "pinned", "{sentence}");
            assert!(sentence.contains("the tag ebb:keep-tasks"), "{sentence}");
        }
        sim.run(Duration::from_secs(60)).await;
        sim.assert_unharmed();
    }
}
