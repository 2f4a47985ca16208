//! What a container instance is made of.

use std::collections::BTreeMap;

use crate::world::ec2::network_interfaces;

/// What a container instance is made of: what a launch template says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its instance type.
    pub instance_type: String,
    /// Its operating system, as the attribute `ecs.os-family` says it.
    pub os_family: &'static str,
    /// CPU units that it registers.
    pub cpu: i64,
    /// Memory that it registers, in MiB.
    pub memory_mib: i64,
    /// The ids of its GPUs.
    pub gpus: Vec<String>,
    /// Attributes that its agent registers beside the built-in ones (`ECS_INSTANCE_ATTRIBUTES`).
    pub attributes: BTreeMap<String, String>,
}

/// An `m7g.large`.
impl Default for Machine {
    fn default() -> Self {
        Self::new("m7g.large", 2048, 7680)
    }
}

impl Machine {
    /// A machine of this type, CPU units and memory, without GPUs.
    pub fn new(instance_type: &str, cpu: i64, memory_mib: i64) -> Self {
        Self {
            instance_type: instance_type.to_owned(),
            os_family: "LINUX",
            cpu,
            memory_mib,
            gpus: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// Gives it another operating system, as the attribute `ecs.os-family` says it.
    #[must_use]
    pub fn os_family(mut self, os_family: &'static str) -> Self {
        self.os_family = os_family;
        self
    }

    /// Gives it GPUs.
    #[must_use]
    pub fn gpus(mut self, number: usize) -> Self {
        self.gpus =
            (0..number).map(|index| format!("GPU-00000000-0000-4000-a000-{index:012}")).collect();
        self
    }

    /// Gives it an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// How many tasks in `awsvpc` mode it has network interfaces for: all of its type but the primary
    /// one. Of a type that is not simulated it is the fewest that any leaves. There is no trunking.
    pub(in crate::world) fn interfaces_for_tasks(&self) -> usize {
        network_interfaces(&self.instance_type).unwrap_or(2) - 1
    }

    /// `linux` or `windows`.
    pub(super) fn os_type(&self) -> &'static str {
        if self.os_family.starts_with("WINDOWS") { "windows" } else { "linux" }
    }

    /// `arm64` for the types whose family has a `g` behind its number, as in `m7g` and `c6gn`.
    pub(super) fn architecture(&self) -> &'static str {
        architecture(&self.instance_type)
    }
}

/// The architecture of an instance type: see [`Machine::architecture`].
pub(crate) fn architecture(instance_type: &str) -> &'static str {
    let family = instance_type.split('.').next().unwrap_or_default();
    let behind_number = family.trim_start_matches(|character: char| !character.is_ascii_digit());
    if behind_number.contains('g') { "arm64" } else { "x86_64" }
}
