//! The function on a simulated Region, ready to be told a story.

use std::sync::Arc;
use std::time::Duration;

use ebb_aws::{Clients, HandlerError, clients::config_loader};
use ebb_core::event::Origin;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::spot::{Answer, Outcome, OutcomeKind};
use ebb_region::in_process::InProcess;
pub(crate) use ebb_region::scenario::instance_id;
use ebb_region::world::World;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::{Region, RunEnd, scenario};
use jiff::Timestamp;
use serde_json::{Value, json};
use spot_drainer::SpotDrainer;

/// The function's time-out, as `infra/` sets it: as long as its queue's visibility time-out, so
/// that a notice gets four tries within its two minutes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn start_time() -> Timestamp {
    "2025-03-04T05:00:00Z".parse().unwrap()
}

pub(crate) struct Sim {
    pub(crate) region: Region,
    drainer: Arc<SpotDrainer>,
}

impl Sim {
    pub(crate) async fn start(mut world: World, settings: SpotSettings) -> Self {
        if let Some(topic) = &settings.notification_topic {
            world.create_topic(topic.as_str());
        }
        // The SDK draws the jitter of its pauses from this source.
        fastrand::seed(7);
        let region = Region::start(world, 1.0);
        let clients = Clients::new(&region.connect(config_loader()).await);
        Self { region, drainer: Arc::new(SpotDrainer::new(clients, settings)) }
    }

    /// The same Region with other settings.
    pub(crate) async fn with(&self, settings: SpotSettings) -> Self {
        let clients = Clients::new(&self.region.connect(config_loader()).await);
        let drainer = Arc::new(SpotDrainer::new(clients, settings));
        Self { region: self.region.clone(), drainer }
    }

    /// The shop's cluster, configured by its name.
    pub(crate) async fn shop() -> Self {
        Self::start(scenario::shop(start_time(), 1), shop_settings()).await
    }

    /// The shop's cluster, with EC2's notices on their way through a queue.
    pub(crate) async fn shop_with_queue(settings: SpotSettings) -> Self {
        let mut world = scenario::shop(start_time(), 1);
        scenario::route_notices(
            &mut world,
            Queue::for_function(scenario::SPOT_DRAINER),
            Function::new(TIMEOUT),
        );
        Self::start(world, settings).await
    }

    /// Invokes the function once.
    pub(crate) async fn invoke(&self, payload: &Value) -> Result<Answer, HandlerError> {
        self.invoke_for(TIMEOUT, payload).await
    }

    /// Invokes the function once, with that much time.
    pub(crate) async fn invoke_for(
        &self,
        time: Duration,
        payload: &Value,
    ) -> Result<Answer, HandlerError> {
        let now = self.region.now();
        self.drainer.handle(payload, &home(), now, now + time).await
    }

    /// Invokes the function once and expects it to succeed with one outcome.
    pub(crate) async fn outcome(&self, payload: &Value) -> Outcome {
        let mut answer = self.invoke(payload).await.expect("the function succeeds");
        assert_eq!(answer.outcomes.len(), 1, "{answer:?}");
        answer.outcomes.remove(0)
    }

    /// Lets the Region run, with the function behind its rules and queues.
    pub(crate) async fn run(&self, limit: Duration) -> RunEnd {
        let handle = |drainer: Arc<SpotDrainer>, payload, now, deadline| async move {
            drainer.handle(&payload, &home(), now, deadline).await
        };
        let lambda = InProcess::default().handling(
            scenario::SPOT_DRAINER,
            &self.region,
            &self.drainer,
            handle,
        );
        self.region.run(&lambda, limit).await
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.region.world().calls.iter().map(|call| call.operation.clone()).collect()
    }

    pub(crate) fn draining(&self) -> Vec<String> {
        let world = self.region.world();
        world
            .instances_with(ebb_region::world::ecs::Status::Draining)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// Where the function is.
pub(crate) fn home() -> Origin {
    Origin::of_function(
        "arn:aws:lambda:eu-west-1:111122223333:function:spot-drainer",
        Some("eu-west-1".to_owned()),
    )
}

pub(crate) fn shop_settings() -> SpotSettings {
    SpotSettings {
        clusters: Some(vec![ebb_core::ids::Cluster::new("shop")]),
        ..SpotSettings::default()
    }
}

/// A Spot interruption notice, given now.
pub(crate) fn notice(instance_id: &str) -> Value {
    notice_at(instance_id, start_time())
}

pub(crate) fn notice_at(instance_id: &str, time: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": "2f3d8f6e-5b7a-4d2e-9d0c-1b2a3c4d5e6f",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "account": "111122223333",
        "time": time,
        "region": "eu-west-1",
        "resources": [format!("arn:aws:ec2:eu-west-1a:instance/{instance_id}")],
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    })
}

/// An SQS batch with these bodies, in messages `m-0`, `m-1`, …
pub(crate) fn sqs(bodies: &[Value]) -> Value {
    let record = |(number, body): (usize, &Value)| {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        json!({"messageId": format!("m-{number}"), "eventSource": "aws:sqs", "body": body})
    };
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

pub(crate) fn kinds(answer: &Answer) -> Vec<OutcomeKind> {
    answer.outcomes.iter().map(|outcome| outcome.outcome).collect()
}

/// The messages that the answer asks to be delivered again.
pub(crate) fn failed(answer: &Answer) -> Vec<&str> {
    answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}
