//! The function on a simulated Region, ready to be told a story.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, clients::config_loader};
use ebb_core::lifecycle::Answer;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_region::in_process::InProcess;
pub(crate) use ebb_region::scenario::{
    HOOK, LIFECYCLE_DRAINER as FUNCTION, TERMINATION_TOPIC as TOPIC, instance_id,
};
use ebb_region::world::autoscaling::{CompletedAction, Hook};
use ebb_region::world::delivery::Function;
use ebb_region::world::ecs::task::TaskStatus;
use ebb_region::world::{Happening, World};
use ebb_region::{Region, RunEnd, scenario};
use jiff::{SignedDuration, Timestamp};
use lifecycle_drainer::LifecycleDrainer;
use serde_json::{Value, json};

/// The function's time-out: as long as Lambda allows.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);

pub(crate) fn start_time() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

pub(crate) struct Sim {
    pub(crate) region: Region,
    drainer: Arc<LifecycleDrainer>,
}

/// The shop's cluster, with a termination hook on both of its groups.
pub(crate) fn shop() -> World {
    shop_with_hook(Hook { topic_arn: Some(TOPIC.to_owned()), ..Hook::new(HOOK) })
}

/// The same without the test notifications that putting a hook sends.
pub(crate) fn quiet_shop() -> World {
    let mut world = scenario::shop(start_time(), 1);
    scenario::route_terminations(&mut world, &Hook::new(HOOK), Function::new(TIMEOUT));
    world
}

pub(crate) fn shop_with_hook(hook: Hook) -> World {
    let mut world = scenario::shop(start_time(), 1);
    world.delivery.functions.insert(FUNCTION.to_owned(), Function::new(TIMEOUT));
    world.subscribe(TOPIC, FUNCTION);
    for group in [scenario::ON_DEMAND_GROUP, scenario::SPOT_GROUP] {
        world.put_hook(group, hook.clone()).unwrap();
    }
    world
}

pub(crate) fn settings() -> LifecycleSettings {
    LifecycleSettings::default()
}

/// When the last task that must be waited for stopped on an instance: any but those of a daemon.
pub(crate) fn last_stop(world: &World, wanted_id: &str, daemon: &str) -> Timestamp {
    let stops = world.history.iter().filter(|entry| match &entry.happening {
        Happening::Task { name, instance_id, status: TaskStatus::Stopped, .. } => {
            instance_id == wanted_id && !name.starts_with(daemon)
        }
        _ => false,
    });
    stops.map(|entry| entry.time).max().expect("tasks have stopped")
}

pub(crate) fn since_start(moment: Timestamp) -> SignedDuration {
    moment.duration_since(start_time())
}

impl Sim {
    /// The message that Auto Scaling publishes about an instance, with the token of its action.
    pub(crate) fn message(&self, instance_id: &str) -> Value {
        let world = self.region.world();
        let mut actions = world.lifecycle_actions.iter();
        let action = actions.rfind(|action| action.instance_id == instance_id);
        let action = action.expect("its group waits for it");
        let mut message = message(instance_id, &action.group);
        message["LifecycleActionToken"] = json!(action.token);
        message
    }
}

/// What a message looks like that Auto Scaling publishes about an instance, as it comes over SNS. No
/// action has its token.
pub(crate) fn message(instance_id: &str, group: &str) -> Value {
    json!({
        "LifecycleHookName": HOOK,
        "AccountId": "111122223333",
        "RequestId": "f3e0c4a1-0c1f-4b5e-8d59-7d0f7d3f0f11",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "AutoScalingGroupName": group,
        "Service": "AWS Auto Scaling",
        "Time": start_time(),
        "EC2InstanceId": instance_id,
        "LifecycleActionToken": "0a6c8c0e-3a3c-4d25-9c2e-0f6f8f0b9f10",
    })
}

pub(crate) fn over_sns(messages: &[Value]) -> Value {
    let records: Vec<_> = messages
        .iter()
        .map(|message| {
            let notification = json!({"TopicArn": TOPIC, "Message": message.to_string()});
            json!({"EventSource": "aws:sns", "Sns": notification})
        })
        .collect();
    json!({"Records": records})
}

impl Sim {
    pub(crate) async fn start(mut world: World, settings: LifecycleSettings) -> Self {
        if let Some(topic) = &settings.notification_topic {
            world.create_topic(topic.as_str());
        }
        // The SDK draws the jitter of its pauses from this source, and so do we.
        fastrand::seed(7);
        Self::on(Region::start(world, 1.0), settings).await
    }

    /// The function on a Region that runs already.
    pub(crate) async fn on(region: Region, settings: LifecycleSettings) -> Self {
        let clients = Clients::new(&region.connect(config_loader()).await);
        Self { region, drainer: Arc::new(LifecycleDrainer::new(clients, settings)) }
    }

    pub(crate) async fn shop() -> Self {
        Self::start(shop(), LifecycleSettings::default()).await
    }

    /// Invokes the function once.
    pub(crate) async fn invoke(&self, payload: &Value) -> Result<Answer, HandlerError> {
        let now = self.region.now();
        self.drainer.handle(payload, now, now + TIMEOUT).await
    }

    /// Lets the Region run, with the function behind its topic.
    pub(crate) async fn run(&self, limit: Duration) -> RunEnd {
        self.run_killing_first(TIMEOUT, limit).await
    }

    /// Lets the Region run, but kills the first invocation that is about an instance after a while,
    /// wherever it is then.
    pub(crate) async fn run_killing_first(
        &self,
        killed_after: Duration,
        limit: Duration,
    ) -> RunEnd {
        let first = AtomicBool::new(true);
        let handle = move |drainer: Arc<LifecycleDrainer>, payload: Value, now, deadline| {
            let is_first = first.swap(false, Ordering::Relaxed);
            let lifetime = if is_first { killed_after } else { TIMEOUT };
            handle_until_killed(drainer, payload, now, deadline, lifetime)
        };
        let lambda = InProcess::default().handling(FUNCTION, &self.region, &self.drainer, handle);
        self.region.run(&lambda, limit).await
    }

    /// Terminates an instance through its group and lets the Region run until nothing more happens.
    pub(crate) async fn terminate(&self, instance_id: &str) {
        self.region.world().terminate_in_group(instance_id, false).unwrap();
        assert_eq!(self.run(Duration::from_secs(49 * 3600)).await, RunEnd::Quiet);
    }

    /// The one action that was completed.
    pub(crate) fn completed(&self) -> CompletedAction {
        let completed = self.region.world().completed_actions.clone();
        assert_eq!(completed.len(), 1, "{completed:?}");
        completed.into_iter().next().unwrap()
    }

    /// The outcomes of every invocation, in order: `republished`, `completed`, …
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let world = self.region.world();
        world.delivery.ended.iter().flat_map(|ended| outcome_words(&ended.result)).collect()
    }

    pub(crate) fn tasks_cut_off(&self) -> Vec<String> {
        self.region.world().tasks_cut_off().into_iter().map(|task| task.name.clone()).collect()
    }
}

/// The outcome words of an answer; for an error, its text.
fn outcome_words(result: &Result<Value, String>) -> Vec<String> {
    match result {
        Ok(answer) => answer["outcomes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|outcome| outcome["outcome"].as_str().unwrap().to_owned())
            .collect(),
        Err(error) => vec![error.clone()],
    }
}

/// Invokes the function, which is killed after its lifetime wherever it is then.
pub(crate) async fn handle_until_killed(
    drainer: Arc<LifecycleDrainer>,
    payload: Value,
    now: Timestamp,
    deadline: Timestamp,
    lifetime: Duration,
) -> Result<Answer, String> {
    let handled = tokio::time::timeout(lifetime, drainer.handle(&payload, now, deadline)).await;
    handled.map_err(|_| "killed".to_owned())?.map_err(|error| error.to_string())
}
