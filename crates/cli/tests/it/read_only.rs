//! Whatever the program does, it changes nothing.

use std::collections::BTreeSet;

use ebb_aws::{Clients, READ_OPERATIONS, clients::config_loader};
use ebb_core::ids::{Cluster, GroupName, TaskArn, TopicArn};
use ebb_region::{Region, scenario};
use serde_json::Value;

use crate::shapes::shape;
use crate::support::{Terminal, start_time};

#[tokio::test(start_paused = true)]
async fn the_clients_refuse_every_operation_that_changes_something() {
    let region = Region::start(scenario::shop(start_time(), 1), 1.0);
    let clients = Clients::read_only(&region.connect(config_loader()).await);
    let cluster = Cluster::new(scenario::CLUSTER);
    let instance = clients.ecs.container_instances(&cluster).await.unwrap().remove(0);
    let (arn, id) = (instance.arn, instance.instance_id);
    let arns = std::slice::from_ref(&arn);
    let group = GroupName::new(scenario::ON_DEMAND_GROUP);
    let calls = region.world().calls.len();
    let history = region.world().history.len();

    let task = TaskArn::new("arn:aws:ecs:eu-west-1:111122223333:task/shop/1");
    let refused = [
        clients.ecs.set_draining(&cluster, arns).await.map(drop),
        clients.ecs.set_active(&cluster, &arn).await.map(drop),
        clients.ecs.put_attribute(&cluster, "mark", &[(&arn, String::new())]).await,
        clients.ecs.delete_attribute(&cluster, "mark", arns).await,
        clients.ecs.stop_task(&cluster, &task, "test").await,
        clients.auto_scaling.terminate(&id).await.map(drop),
        clients.auto_scaling.set_desired_capacity(&group, 7).await.map(drop),
    ];
    for result in refused {
        let error = ebb_aws::Problem::from(result.unwrap_err()).text;
        assert!(error.contains("is not among the reads that may be sent"), "{error}");
    }
    let topic = TopicArn::new(scenario::TERMINATION_TOPIC);
    clients.topics.publish(&topic, "test", "test").await.unwrap_err();
    assert_eq!(region.world().calls.len(), calls, "nothing was sent");
    assert_eq!(region.world().history.len(), history);
}

#[tokio::test(start_paused = true)]
async fn every_read_that_is_allowed_is_needed() {
    let mut needed = BTreeSet::new();
    for (name, commands) in
        [("idle", ["plan", "record"]), ("held", ["drains", "plan"]), ("spread", ["plan", "drains"])]
    {
        let terminal = Terminal::start(shape(name)).await;
        for command in commands {
            terminal.output(command).await;
        }
        let world = terminal.region.world();
        needed.extend(world.calls.iter().map(|call| call.operation.clone()));
    }
    // A function's package is read by one command alone.
    let terminal = Terminal::start(shape("idle")).await;
    let sums = crate::verify::checksums("read-only").display().to_string();
    terminal.run(&format!("verify ebb-spot-drainer --checksums {sums}")).await.unwrap();
    needed.extend(terminal.region.world().calls.iter().map(|call| call.operation.clone()));
    let allowed = READ_OPERATIONS.iter().flat_map(|(_, operations)| operations.iter());
    let allowed: BTreeSet<_> = allowed.map(|&operation| operation.to_owned()).collect();
    assert_eq!(needed, allowed);
}

#[tokio::test(start_paused = true)]
async fn no_command_sends_a_call_that_changes_something() {
    let terminal = Terminal::start(scenario::idle_shop(start_time(), 1)).await;
    let history = terminal.region.world().history.len();
    for command in ["plan", "plan --json", "drains", "record", "record --anonymize"] {
        terminal.output(command).await;
    }
    assert_eq!(terminal.writes(), 0);
    assert_eq!(terminal.region.world().history.len(), history);
}

#[test]
fn the_policy_allows_the_reads_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ebb-read-only-policy.json");
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let allowed: BTreeSet<_> = statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    let reads: BTreeSet<_> = READ_OPERATIONS
        .iter()
        .flat_map(|(service, operations)| {
            operations.iter().map(move |operation| format!("{service}:{operation}"))
        })
        .collect();
    assert_eq!(allowed, reads);
    assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"));
}
