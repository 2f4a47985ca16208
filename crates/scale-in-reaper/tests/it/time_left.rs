//! A sweep whose time is nearly over begins nothing: no drain, no termination, no look. What it has
//! begun it needs the rest for.

use std::time::Duration;

use ebb_core::reaper::Answer;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_region::fault::Fault;
use ebb_region::world::World;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::follow_ups::drained_by_us;
use crate::replacing::{halves, renew, with_a_retained_stranger};
use crate::stories::shared;
use crate::support::{
    CLUSTER, GROUP, INTERVAL, Sim, TIMEOUT, add_small, hooked, instance_id, removed, settings,
    start_time,
};

const TERMINATE: &str = "TerminateInstanceInAutoScalingGroup";

/// What may still be written for what was begun in time: a mark and a drain.
const BATCH_LASTS: SignedDuration = SignedDuration::from_millis(400);

/// How many deadlines each story is tried with.
const DEADLINES: u32 = 16;

/// A group of forty instances, of which nearly all may go: several batches.
fn large(min_size: i32) -> World {
    let mut world = World::new(start_time(), 1);
    add_small(&mut world, CLUSTER, GROUP, 1..=40, min_size);
    world.groups.get_mut(GROUP).unwrap().max_size = 80;
    world
}

/// The same after an earlier sweep, which has set thirty of them to DRAINING.
fn drained_before() -> World {
    let mut world = large(1);
    for number in 10..40 {
        drained_by_us(&mut world, &instance_id(number), INTERVAL);
    }
    world
}

/// Forty instances with an old launch template, half of which may be replaced at a time.
fn outdated() -> World {
    let mut world = hooked(large(40));
    renew(&mut world);
    world
}

fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get"].iter().any(|read| operation.starts_with(read))
}

/// A sweep that is cut off after `time`, and when it may begin nothing more: half of the time is
/// kept, and 30 s at most.
async fn sweep_within(sim: &Sim, payload: &Value, time: Duration) -> (Option<Answer>, Timestamp) {
    let now = sim.region.now();
    let answer = sim.reaper.handle(payload, now, now + time).await.ok();
    (answer, now + time.saturating_sub(Duration::from_secs(30)).max(time / 2))
}

/// How long something takes in a Region.
async fn measure<Output>(sim: &Sim, work: impl Future<Output = Output>) -> Duration {
    let begun = sim.region.now();
    work.await;
    sim.region.now().duration_since(begun).unsigned_abs()
}

async fn planned(sim: &Sim) -> Answer {
    sim.invoke(&json!({"mode": "plan"})).await.unwrap()
}

/// Calls other than reads, with how long after `moment` each took effect.
fn writes_after(sim: &Sim, moment: Timestamp) -> Vec<(String, SignedDuration)> {
    let world = sim.region.world();
    let late = world.calls.iter().filter(|call| call.time > moment + BATCH_LASTS);
    let writes = late.filter(|call| !is_read(&call.operation));
    writes.map(|call| (call.operation.clone(), call.time.duration_since(moment))).collect()
}

/// Tries deadlines that fall into any moment of a sweep, and of its later half above all.
async fn assert_nothing_is_begun_too_late(story: &str, world: impl Fn() -> World, payload: &Value) {
    let ready = async || Sim::start(world(), settings()).await;
    let sim = ready().await;
    let begun = sim.region.now();
    let takes = measure(&sim, sweep_within(&sim, payload, TIMEOUT)).await;
    assert!(takes < Duration::from_secs(30), "{story}: {takes:?}");
    assert!(!writes_after(&sim, begun).is_empty(), "{story}: it writes");

    for number in 1..DEADLINES {
        let sim = ready().await;
        let time = 2 * takes * number / DEADLINES;
        let (answer, act_by) = sweep_within(&sim, payload, time).await;
        assert_eq!(writes_after(&sim, act_by), [], "{story}, {time:?} of {takes:?}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_little_time_nothing_is_begun_whatever_a_sweep_is_at() {
    let sweep = json!({});
    assert_nothing_is_begun_too_late("removes", || hooked(large(1)), &sweep).await;
    assert_nothing_is_begun_too_late("removes, no hook", || large(1), &sweep).await;
    assert_nothing_is_begun_too_late("goes on", drained_before, &sweep).await;
}

/// Half of the time is kept for what was begun already, and a look takes more than the other half.
#[tokio::test(start_paused = true)]
async fn with_no_time_left_nothing_is_replaced_or_marked() {
    let patient = ReaperSettings { low_for_sweeps: 2, ..settings() };
    for (world, settings, payload) in
        [(outdated(), halves(), json!({"mode": "replace"})), (hooked(large(1)), patient, json!({}))]
    {
        let sim = Sim::start(world, settings).await;
        let takes = measure(&sim, planned(&sim)).await;
        let calls = sim.region.world().calls.len();
        let answers = async |share| {
            let (answer, _) = sweep_within(&sim, &payload, takes.mul_f64(share)).await;
            answer.is_some()
        };
        assert!(answers(1.6).await || answers(2.4).await || answers(3.2).await, "{payload}");

        let world = sim.region.world();
        let writes = world.calls[calls..].iter().filter(|call| !is_read(&call.operation));
        assert_eq!(writes.map(|call| call.operation.as_str()).collect::<Vec<_>>(), [""; 0]);
    }
}

/// The time is over while other clusters are asked for it, just before it would be terminated.
#[tokio::test(start_paused = true)]
async fn what_is_retained_waits_for_a_sweep_with_time() {
    let replace = json!({"mode": "replace"});
    let sim = Sim::start(with_a_retained_stranger(), settings()).await;
    let begun = sim.region.now();
    sim.invoke(&replace).await.unwrap();
    let call = |world: &World| world.calls.iter().find(|call| call.operation == TERMINATE).cloned();
    let terminated = call(&sim.region.world()).unwrap().time.duration_since(begun);

    // A call takes effect 20 ms after it is made.
    for (earlier, calls) in [(-10, 1), (30, 0), (40, 0), (50, 0)] {
        let sim = Sim::start(with_a_retained_stranger(), settings()).await;
        let act_by = terminated - SignedDuration::from_millis(earlier);
        let time = 2 * Duration::try_from(act_by).unwrap();
        let (answer, _) = sweep_within(&sim, &replace, time).await;
        assert_eq!(sim.calls(TERMINATE), calls, "{earlier} ms before: {answer:?}");
    }
}

/// A termination is tried again after a pause, and not if the time is over by then.
#[tokio::test(start_paused = true)]
async fn with_little_time_no_termination_is_tried_again() {
    for seconds in 2..12 {
        let sim = Sim::start(hooked(large(39)), settings()).await;
        sim.region.world().faults.plan(TERMINATE, Fault::ResourceContention, 60);
        let (answer, act_by) = sweep_within(&sim, &json!({}), Duration::from_secs(seconds)).await;
        let late = writes_after(&sim, act_by);
        let late = late.iter().filter(|(operation, _)| operation == TERMINATE);
        assert_eq!(late.count(), 0, "{seconds} s: {answer:?}");
    }
}

/// Half of a short time may be used.
#[tokio::test(start_paused = true)]
async fn a_sweep_with_twenty_seconds_removes_as_much_as_any() {
    let sim = Sim::start(hooked(large(1)), settings()).await;
    let (answer, _) = sweep_within(&sim, &json!({}), Duration::from_secs(20)).await;
    assert_eq!(removed(&answer.unwrap().clusters[0]).len(), sim.calls(TERMINATE));
    assert!(sim.calls(TERMINATE) > 30, "{}", sim.calls(TERMINATE));
}

#[tokio::test(start_paused = true)]
async fn with_no_time_left_the_cluster_is_not_looked_at_again() {
    let looks = |sim: &Sim| sim.calls("DescribeAutoScalingGroups");
    let sim = Sim::start(hooked(large(1)), settings()).await;
    let takes = measure(&sim, planned(&sim)).await;
    let looked = looks(&sim);
    sweep_within(&sim, &json!({}), takes.mul_f64(1.6)).await.0.unwrap();
    assert_eq!(looks(&sim), 2 * looked);
}

/// A group with a member in none of the swept clusters, in a Region in which it takes seconds to ask
/// all others.
#[tokio::test(start_paused = true)]
async fn with_little_time_other_clusters_are_not_asked_for_members_that_never_joined() {
    let world = || {
        let mut world = shared();
        (0..140).for_each(|number| world.add_cluster(&format!("other-{number}")));
        world
    };
    let sim = Sim::start(world(), settings()).await;
    let takes = measure(&sim, sim.report()).await;
    assert!(takes > Duration::from_secs(4), "{takes:?}");

    let sim = Sim::start(world(), settings()).await;
    let (answer, act_by) = sweep_within(&sim, &json!({}), takes.mul_f64(1.6)).await;
    let late =
        sim.region.world().calls.iter().filter(|call| call.time > act_by + BATCH_LASTS).count();
    assert_eq!(late, 0, "{answer:?}");
    assert_eq!(answer.unwrap().clusters[0].unclear_members, 2);
}
