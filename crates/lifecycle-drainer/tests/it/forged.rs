//! Stories of forged and stale messages, field by field: whatever is not proven is neither drained,
//! set to ACTIVE, completed nor kept alive, and nobody is told of it.

use std::time::Duration;

use ebb_core::ids::{HookName, TopicArn};
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::RunEnd;
use ebb_region::scenario;
use ebb_region::world::autoscaling::{CompletedBy, Hook, LifecycleState};
use ebb_region::world::ecs::{ServiceKind, Status, TaskSpec};
use ebb_region::world::{Happening, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{
    HOOK, Sim, TOPIC, instance_id, last_stop, message, over_sns, quiet_shop, settings, since_start,
    start_time,
};

/// A hook of another tool on the same groups.
const CHEF: &str = "chef-deregister";

/// A token that no action has.
const NO_TOKEN: &str = "00000000-0000-4000-a000-000000000000";

fn set_status(world: &mut World, instance_id: &str, status: Status) {
    let id = world.container_instance(instance_id).unwrap().1.id.clone();
    world.set_status("shop", &id, status);
}

fn add_chef(world: &mut World) {
    for group in [scenario::ON_DEMAND_GROUP, scenario::SPOT_GROUP] {
        world.put_hook(group, Hook { topic_arn: None, ..Hook::new(CHEF) }).unwrap();
    }
}

/// A shop in which two instances wait to be terminated, one is about to wait, and one that serves
/// was drained by somebody. Nobody hears of them but by messages.
async fn forgers_shop(settings: LifecycleSettings) -> Sim {
    let mut world = quiet_shop();
    add_chef(&mut world);
    for number in [9, 10] {
        world.terminate_in_group(&instance_id(number), false).unwrap();
    }
    world.set_lifecycle_state(&instance_id(8), LifecycleState::Terminating);
    set_status(&mut world, &instance_id(11), Status::Draining);
    let people = TopicArn::new("arn:aws:sns:eu-west-1:111122223333:people");
    Sim::start(world, LifecycleSettings { notification_topic: Some(people), ..settings }).await
}

type Fields = Vec<(&'static str, Value)>;

/// What differs from a true message about instance 9.
fn forged_fields(sim: &Sim) -> Vec<Fields> {
    let (token, hook, instance) = ("LifecycleActionToken", "LifecycleHookName", "EC2InstanceId");
    let neighbours_token = genuine(sim, &instance_id(10), HOOK)[token].clone();
    let mut forged = vec![
        vec![(token, json!(NO_TOKEN))],
        vec![(token, neighbours_token)],
        vec![(hook, json!("a-hook-that-the-group-does-not-have"))],
        vec![(hook, json!(CHEF))],
        vec![("AutoScalingGroupName", json!(scenario::ON_DEMAND_GROUP))],
        vec![("AutoScalingGroupName", json!("nobody"))],
        vec![(instance, json!("i-0fedcba9876543210"))],
    ];
    // One that waits as well, one that is about to, and two that serve, one of them DRAINING.
    forged.extend([10, 8, 7, 11].map(|number| vec![(instance, json!(instance_id(number)))]));
    forged
}

/// The state that a hop would carry about an instance, with another time in one field.
fn carried(sim: &Sim, instance_id: &str, field: &str, time: Timestamp) -> Value {
    let world = sim.region.world();
    let arn = world.container_instance(instance_id).map(|(_, instance)| instance.arn("shop"));
    let mut state = json!({
        "hop": 1,
        "first_seen": sim.region.now(),
        "deadline": sim.region.now() + SignedDuration::from_secs(900),
        "container_instances": [{"cluster": "shop", "arn": arn.unwrap_or_else(|| "nothing".to_owned())}],
    });
    state[field] = json!(time);
    // State whose deadline is further from its first look than that is refused as malformed.
    let is_near = |time: &Timestamp| time.duration_since(sim.region.now()).abs().as_hours() < 48;
    if !is_near(&time) && matches!(field, "first_seen" | "deadline") {
        state["first_seen"] = json!(time);
        state["deadline"] = json!(time);
    }
    state
}

/// Times that Auto Scaling and Ebb never write, and some that they might.
fn forged_times(now: Timestamp) -> Vec<Timestamp> {
    let hours = |hours| now + SignedDuration::from_hours(hours);
    vec![Timestamp::UNIX_EPOCH, hours(-24), hours(-1), now, hours(1), hours(24), Timestamp::MAX]
}

/// What a forger could have changed: statuses, completed actions, notices and next hops, and how
/// long actions are kept alive.
fn changes(world: &World) -> (Vec<Happening>, usize, Vec<(String, Timestamp)>) {
    let happenings = world.history.iter().map(|entry| entry.happening.clone());
    let happenings = happenings.filter(|happening| {
        matches!(happening, Happening::ContainerInstance { .. } | Happening::ActionCompleted { .. })
    });
    let kept_alive = world.lifecycle_actions.iter();
    let kept_alive = kept_alive.map(|action| (action.token.clone(), action.heartbeat_deadline));
    (happenings.collect(), world.published.len(), kept_alive.collect())
}

async fn assert_it_changes_nothing(sim: &Sim, message: &Value) {
    let before = changes(&sim.region.world());
    let answer = sim.invoke(&over_sns(std::slice::from_ref(message))).await.unwrap();
    assert_eq!(answer.outcomes[0].outcome.as_str(), "ignored", "{message}: {answer:?}");
    assert_eq!(changes(&sim.region.world()), before, "{message}");
}

/// The message about an instance, with the token of its action by a hook.
fn genuine(sim: &Sim, id: &str, hook: &str) -> Value {
    let world = sim.region.world();
    let mut actions = world.lifecycle_actions.iter();
    let action = actions.find(|action| action.instance_id == id && action.hook.name == hook);
    let mut genuine = message(id, &action.unwrap().group);
    genuine["LifecycleHookName"] = json!(hook);
    genuine["LifecycleActionToken"] = json!(action.unwrap().token);
    genuine
}

fn forge(sim: &Sim, fields: &Fields) -> Value {
    let mut message = genuine(sim, &instance_id(9), HOOK);
    for (field, value) in fields {
        message[*field] = value.clone();
    }
    message
}

#[tokio::test(start_paused = true)]
async fn no_forged_field_changes_anything_in_any_hop_and_at_any_time() {
    let count = forged_fields(&forgers_shop(settings()).await).len();
    for number in 0..count {
        let sim = forgers_shop(settings()).await;
        let fields = &forged_fields(&sim)[number];
        assert_it_changes_nothing(&sim, &forge(&sim, fields)).await;
        for field in ["first_seen", "deadline", "draining_since", "action_expires"] {
            for time in forged_times(sim.region.now()) {
                let mut message = forge(&sim, fields);
                let id = message["EC2InstanceId"].as_str().unwrap().to_owned();
                message["Time"] = json!(time);
                message["ebb"] = carried(&sim, &id, field, time);
                assert_it_changes_nothing(&sim, &message).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_somebody_drained_is_set_active_by_forged_state() {
    for number in [7, 8, 9, 10, 11] {
        let sim = forgers_shop(settings()).await;
        for time in forged_times(sim.region.now()) {
            let id = instance_id(number);
            let mut message = forge(&sim, &vec![("EC2InstanceId", json!(id))]);
            message["ebb"] = carried(&sim, &id, "returning_since", time);
            assert_it_changes_nothing(&sim, &message).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_no_message_whose_hook_the_group_does_not_have() {
    let sim = forgers_shop(LifecycleSettings { dry_run: true, ..settings() }).await;
    let hook = vec![("LifecycleHookName", json!("nobody"))];
    assert_it_changes_nothing(&sim, &forge(&sim, &hook)).await;
}

/// Publishes a message about instance 9, whose tasks cannot leave it or leave it late, as if Auto
/// Scaling had sent it, and lets the Region run. Returns when the action was completed.
async fn drain_by(stuck: bool, forge: impl FnOnce(&Sim, &mut Value)) -> (Sim, SignedDuration) {
    let mut world = quiet_shop();
    let functions = std::mem::take(&mut world.delivery.functions);
    world.terminate_in_group(&instance_id(9), false).unwrap();
    world.advance(start_time() + Duration::from_secs(5));
    world.delivery.functions = functions;
    let (kind, delay) = if stuck {
        (ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 }, None)
    } else {
        (ServiceKind::replica(12), Some(Duration::from_secs(300)))
    };
    let spec = TaskSpec { deregistration_delay: delay, ..TaskSpec::default() };
    world.add_service("shop", "slow", kind, spec);
    let sim = Sim::start(world, settings()).await;
    let mut message = genuine(&sim, &instance_id(9), HOOK);
    forge(&sim, &mut message);
    sim.region.world().publish(TOPIC, None, &message.to_string());
    assert_eq!(sim.run(Duration::from_secs(49 * 3600)).await, RunEnd::Quiet);
    let completed = sim.completed();
    assert_eq!(completed.cause, CompletedBy::Caller, "{message}");
    (sim, since_start(completed.time))
}

#[tokio::test(start_paused = true)]
async fn forged_times_beside_a_true_token_neither_hold_an_instance_longer_nor_cut_it_short() {
    let hours = |hours| start_time() + SignedDuration::from_hours(hours);
    let fields = ["Time", "first_seen", "deadline", "draining_since", "action_expires"];
    for field in fields {
        for time in [Timestamp::UNIX_EPOCH, hours(-1), hours(1), Timestamp::MAX] {
            let forge = |sim: &Sim, message: &mut Value| {
                if field == "Time" {
                    message["Time"] = json!(time);
                    return;
                }
                message["ebb"] = carried(sim, &instance_id(9), field, time);
            };
            let (_, took) = drain_by(true, forge).await;
            assert!(took.as_secs() <= 1_400, "{field} {time}: {took}");
            // Whoever knows the token can pass for a hop that came late; what AWS wrote does not
            // tell when an action began.
            if field != "first_seen" || time != hours(-1) {
                assert!(took.as_secs() >= 450, "{field} {time}: {took}");
                let (sim, _) = drain_by(false, forge).await;
                assert_eq!(sim.tasks_cut_off(), [""; 0], "{field} {time}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_other_tools_stay_theirs() {
    let hooks = Some([HookName::new(HOOK)].into());
    let sim = forgers_shop(LifecycleSettings { hooks, ..settings() }).await;
    let message = genuine(&sim, &instance_id(9), CHEF);
    let calls = sim.region.world().calls.len();
    assert_it_changes_nothing(&sim, &message).await;
    assert_eq!(sim.region.world().calls.len(), calls, "not even a look");
}

#[tokio::test(start_paused = true)]
async fn nobody_stands_in_for_an_instance_that_waits_for_the_hook_of_another_tool() {
    let mut world = quiet_shop();
    let hooks = std::mem::take(&mut world.groups.get_mut(scenario::SPOT_GROUP).unwrap().hooks);
    add_chef(&mut world);
    world.terminate_in_group(&instance_id(10), false).unwrap();
    for hook in hooks {
        world.put_hook(scenario::SPOT_GROUP, hook).unwrap();
    }
    world.terminate_in_group(&instance_id(9), false).unwrap();
    let sim = Sim::start(world, settings()).await;
    sim.run(Duration::from_secs(600)).await;

    assert_eq!(sim.region.world().status_of(&instance_id(10)), Some(Status::Active));
    assert!(sim.completed().time >= last_stop(&sim.region.world(), &instance_id(9), "logs"));
}
