//! What the log lines about a drain are about, whoever writes them.

use std::io;
use std::sync::{Arc, Mutex};

use ebb_region::fault::Fault;
use ebb_region::world::ecs::{ServiceKind, TaskSpec};
use lambda_runtime::tracing::subscriber::fmt;
use serde_json::Value;

use crate::support::{Sim, instance_id, settings, shop};

/// Lines as JSON, as under Lambda's log format.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn each_names_the_instance_the_group_and_once_it_is_found_the_cluster() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = fmt().json().with_span_list(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let mut world = shop();
    let stuck = ServiceKind::Replica { desired: 12, min_percent: 100, max_percent: 100 };
    world.add_service("shop", "stuck", stuck, TaskSpec::default());
    // A look that fails, before the cluster is known and after that.
    world.faults.plan("RecordLifecycleActionHeartbeat", Fault::ServerError, 5);
    world.faults.plan("DescribeTasks", Fault::ServerError, 5);
    let sim = Sim::start(world, settings()).await;
    sim.terminate(&instance_id(9)).await;

    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let drains: Vec<_> = lines.iter().filter(|line| line["span"]["name"] == "drain").collect();
    for line in &drains {
        let span = &line["span"];
        assert_eq!(span["host.id"], instance_id(9).as_str(), "{line}");
        assert!(span["asg.name"].is_string(), "{line}");
    }
    let warning = |text: &str| {
        let is_it = |line: &&&Value| {
            line["level"] == "WARN" && line["fields"]["message"].as_str().unwrap().contains(text)
        };
        *drains.iter().find(is_it).unwrap_or_else(|| panic!("no {text:?} in {written}"))
    };
    let before = &warning("Looking again after a pause")["span"];
    assert!(before["ecs.cluster"].is_null(), "{before}");
    // Of the first hop, and of the second, which knows the cluster from the first.
    for text in ["still drains", "gives up draining"] {
        assert_eq!(warning(text)["span"]["ecs.cluster"], "shop");
    }
}
