//! What tasks hold of a container instance, and what is left of it.
//!
//! Sources: ECS API, `ContainerInstance` and `Resource`. A task holds what it needs from its
//! placement until it has STOPPED. A host port of 0 is assigned by the agent and counts for nobody.

use std::collections::BTreeSet;

use super::container_instance::ContainerInstance;
use super::task::Task;
use super::task_spec::{Network, Port, Protocol, TaskSpec};

/// The TCP ports that an agent reserves when it registers: SSH, Docker's and its own.
pub const RESERVED_PORTS: [u16; 5] = [22, 2375, 2376, 51678, 51679];

/// Where the ports begin that the agent assigns.
const FIRST_DYNAMIC_PORT: u16 = 32768;

/// What tasks hold of a container instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldResources {
    /// CPU units.
    pub cpu: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Host ports.
    pub ports: BTreeSet<Port>,
    /// Host ports that were assigned.
    dynamic_ports: BTreeSet<Port>,
    /// GPUs by id.
    pub gpus: BTreeSet<String>,
    /// Network interfaces of its own for each task in `awsvpc` mode.
    pub interfaces: usize,
}

/// What a container instance lacks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// Too few CPU units are left.
    Cpu,
    /// Too little memory is left.
    Memory,
    /// A host port is taken.
    Port,
    /// Too few GPUs are free.
    Gpu,
    /// No network interface is free.
    Interface,
}

impl HeldResources {
    pub(super) fn add(&mut self, task: &Task) {
        self.reserve(&task.spec);
        self.hold(&task.spec, &task.bindings, &task.gpus);
    }

    /// Holds what the scheduler counts of a task that is not there yet.
    pub fn reserve(&mut self, spec: &TaskSpec) {
        self.cpu += spec.cpu;
        self.memory_mib += spec.memory_mib;
        self.interfaces += usize::from(spec.network == Network::Awsvpc);
    }

    /// Holds what a task gets that is placed now.
    pub(super) fn place(&mut self, instance: &ContainerInstance, spec: &TaskSpec) {
        let (bindings, gpus) = self.assign(instance, spec);
        self.reserve(spec);
        self.hold(spec, &bindings, &gpus);
    }

    fn hold(&mut self, spec: &TaskSpec, bindings: &[Port], gpus: &[String]) {
        self.gpus.extend(gpus.iter().cloned());
        for (requested, bound) in spec.ports.iter().zip(bindings) {
            // Assigned ports are kept apart: the scheduler does not count them, but the agent must
            // not assign them twice.
            let ports =
                if requested.number == 0 { &mut self.dynamic_ports } else { &mut self.ports };
            ports.insert(*bound);
        }
    }

    /// CPU units and memory (MiB) that are left of a container instance.
    pub fn remaining(&self, instance: &ContainerInstance) -> (i64, i64) {
        (instance.machine.cpu - self.cpu, instance.machine.memory_mib - self.memory_mib)
    }

    /// The GPUs of a container instance that nobody holds.
    pub fn free_gpus<'a>(
        &'a self,
        instance: &'a ContainerInstance,
    ) -> impl Iterator<Item = &'a String> {
        instance.machine.gpus.iter().filter(|gpu| !self.gpus.contains(*gpu))
    }

    /// What a container instance lacks for a task, if that is all that is held of it.
    pub fn shortages(&self, instance: &ContainerInstance, spec: &TaskSpec) -> Vec<Shortage> {
        let (cpu, memory_mib) = self.remaining(instance);
        let interfaces_max = instance.machine.interfaces_for_tasks();
        let checks = [
            (Shortage::Cpu, spec.cpu > cpu),
            (Shortage::Memory, spec.memory_mib > memory_mib),
            // In awsvpc mode a task has an interface, and so all ports, to itself.
            (Shortage::Port, spec.network != Network::Awsvpc && self.has_taken_port(spec)),
            (Shortage::Gpu, spec.gpus > self.free_gpus(instance).count()),
            (
                Shortage::Interface,
                spec.network == Network::Awsvpc && self.interfaces >= interfaces_max,
            ),
        ];
        checks.into_iter().filter(|&(_, is_short)| is_short).map(|(shortage, _)| shortage).collect()
    }

    fn has_taken_port(&self, spec: &TaskSpec) -> bool {
        spec.ports.iter().any(|port| {
            self.ports.contains(port)
                // The agent reserves its ports for TCP only, so the same numbers are free for UDP.
                || port.protocol == Protocol::Tcp && RESERVED_PORTS.contains(&port.number)
        })
    }

    /// The ports and GPUs that a new task gets.
    pub(super) fn assign(
        &self,
        instance: &ContainerInstance,
        spec: &TaskSpec,
    ) -> (Vec<Port>, Vec<String>) {
        let mut bindings = Vec::new();
        if spec.network != Network::Awsvpc {
            let mut taken: BTreeSet<Port> =
                self.ports.union(&self.dynamic_ports).copied().collect();
            for &requested in &spec.ports {
                let bound =
                    if requested.number == 0 { dynamic_port(&taken, requested) } else { requested };
                // Within one task no port may be assigned twice either.
                taken.insert(bound);
                bindings.push(bound);
            }
        }
        (bindings, self.free_gpus(instance).take(spec.gpus).cloned().collect())
    }
}

/// The first free port that the agent may assign; the requested one, 0, if none is free.
fn dynamic_port(taken: &BTreeSet<Port>, requested: Port) -> Port {
    (FIRST_DYNAMIC_PORT..)
        .map(|number| Port { number, ..requested })
        .find(|port| !taken.contains(port))
        .unwrap_or(requested)
}
