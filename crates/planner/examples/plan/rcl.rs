//! Reads inventories in the line-based `rcl` format: whitespace-separated numbers, `#` begins a
//! comment.
//!
//! `D` names the dimensions, `Z` counts zones, `G` is an Auto Scaling group, `I` an instance, `S` a
//! service, `T` a task. A service's masks of zones and groups become `memberOf` expressions; groups
//! pass for instance types there.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use ebb_planner::auto_scaling::LifecycleState;
use ebb_planner::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_planner::{
    DIMENSIONS, Group, HostPort, Instance, Inventory, Protocol, Resources, Service, Strategy, Task,
    TaskKind,
};
use jiff::{SignedDuration, Timestamp};

/// The moment that ages are counted from.
pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50)
}

/// The number of an instance in its file.
pub(crate) fn number(instance_id: &InstanceId) -> u64 {
    u64::from_str_radix(instance_id.as_str().trim_start_matches("i-"), 16).unwrap_or_default()
}

/// A task's line: the instance that it is on, its service, and whether it is pinned. Tasks are
/// numbered by their place.
type TaskLine = (u32, u32, bool);

/// Reads an inventory.
pub(crate) fn read(text: &str) -> Result<Inventory, String> {
    let mut inventory = Inventory {
        cluster: Cluster::new("inventory"),
        instances: Vec::new(),
        groups: BTreeMap::new(),
        services: Vec::new(),
        hold_until: None,
    };
    let (mut zones, mut groups, mut tasks) = (0, 0, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let mut fields = Fields {
            fields: line.split('#').next().unwrap_or("").split_whitespace(),
            line: index + 1,
        };
        match fields.fields.next() {
            None => {}
            Some("D") => fields.dimensions()?,
            Some("Z") => zones = fields.next("number of zones")?,
            Some("G") => {
                groups += 1;
                let (name, group) = fields.group()?;
                inventory.groups.insert(name, group);
            }
            Some("I") => inventory.instances.push(fields.instance()?),
            Some("S") => inventory.services.push(fields.service(zones, groups)?),
            Some("T") => tasks.push(fields.task()?),
            Some(word) => {
                return Err(format!("line {}: {word:?} is none of D, Z, G, I, S, T", index + 1));
            }
        }
    }
    give_tasks(&mut inventory, &tasks);
    Ok(inventory)
}

/// Puts the tasks on their instances, which hold what the tasks need; counts what is still to be
/// placed.
fn give_tasks(inventory: &mut Inventory, tasks: &[TaskLine]) {
    let mut running = vec![0_u64; inventory.services.len()];
    let mut by_instance: Vec<usize> = (0..tasks.len()).collect();
    by_instance.sort_by_key(|&index| tasks[index].0);
    let mut groups = by_instance.chunk_by(|&a, &b| tasks[a].0 == tasks[b].0).peekable();
    inventory.instances.sort_by_key(|instance| number(&instance.instance_id));
    for instance in &mut inventory.instances {
        let is_on =
            |group: &&[usize]| u64::from(tasks[group[0]].0) == number(&instance.instance_id);
        let group = groups.next_if(is_on).unwrap_or_default();
        for &index in group {
            let service = tasks[index].1 as usize;
            let Some(known) = inventory.services.get(service) else { continue };
            running[service] += 1;
            instance.remaining = instance.remaining.map(|free| minus(free, known.demand));
            instance.host_ports.extend(known.host_ports.iter().copied());
        }
        let task = |&index: &usize| {
            let (_, service, pinned) = tasks[index];
            Task {
                id: index.to_string(),
                kind: TaskKind::Service(service as usize),
                protected: pinned,
            }
        };
        instance.tasks = Some(group.iter().map(task).collect());
    }
    for (service, running) in inventory.services.iter_mut().zip(running) {
        service.in_flight = service.in_flight.saturating_sub(running);
    }
}

fn minus(resources: Resources, demand: Resources) -> Resources {
    let mut amounts = resources.to_array();
    for (amount, demand) in amounts.iter_mut().zip(demand.to_array()) {
        *amount -= demand;
    }
    amounts.into()
}

const ZONE: &str = "attribute:ecs.availability-zone";
const GROUP: &str = "attribute:ecs.instance-type";

fn group_name(number: u64) -> GroupName {
    GroupName::new(format!("g{number}"))
}

/// The fields of one line.
struct Fields<'a> {
    fields: std::str::SplitWhitespace<'a>,
    line: usize,
}

impl Fields<'_> {
    fn next<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        let text =
            self.fields.next().ok_or_else(|| format!("line {}: {name} is missing", self.line))?;
        text.parse()
            .map_err(|_| format!("line {}: {name} is {text:?}, expected a number", self.line))
    }

    fn dimensions(&mut self) -> Result<(), String> {
        let count: usize = self.next("number of dimensions")?;
        if count > DIMENSIONS {
            return Err(format!(
                "line {}: {count} dimensions, expected at most {DIMENSIONS}",
                self.line
            ));
        }
        Ok(())
    }

    /// The rest of the line, by dimension.
    fn resources(&mut self) -> Result<Resources, String> {
        let mut amounts = [0; DIMENSIONS];
        for (index, text) in self.fields.by_ref().enumerate() {
            let amount = text
                .parse()
                .map_err(|_| format!("line {}: {text:?} is not an amount", self.line))?;
            *amounts
                .get_mut(index)
                .ok_or_else(|| format!("line {}: too many amounts", self.line))? = amount;
        }
        Ok(amounts.into())
    }

    fn group(&mut self) -> Result<(GroupName, Group), String> {
        let name = group_name(self.next("group")?);
        let min_size = self.next("minimum")?;
        let desired_capacity = self.next("desired capacity")?;
        Ok((name, Group { min_size, desired_capacity, ..Group::default() }))
    }

    fn instance(&mut self) -> Result<Instance, String> {
        let number: u64 = self.next("instance")?;
        let group: u64 = self.next("group")?;
        let zone: u64 = self.next("zone")?;
        let _spot: u64 = self.next("capacity type")?;
        let price = self.next("cost")?;
        let protected: u64 = self.next("protection")?;
        let age: i64 = self.next("age")?;
        let registered = self.resources()?;
        let id = InstanceId::parse(&format!("i-{number:017x}"))
            .ok_or_else(|| format!("line {}: the instance's number is too large", self.line))?;
        Ok(Instance {
            group: Some(group_name(group)),
            lifecycle_state: LifecycleState::InService,
            protected_from_scale_in: protected != 0,
            zone: zone.to_string(),
            instance_type: group.to_string(),
            registered_at: Some(now() - SignedDuration::from_secs(age)),
            registered: Some(registered),
            remaining: Some(registered),
            price_microusd: Some(price),
            ..Instance::new(id, ContainerInstanceArn::new(number.to_string()))
        })
    }

    fn service(&mut self, zones: u32, groups: u32) -> Result<Service, String> {
        let number: u64 = self.next("service")?;
        let strategy = strategy(self.next("strategy")?).ok_or_else(|| {
            format!("line {}: the strategy is unknown, expected 0 to 6", self.line)
        })?;
        let distinct: u64 = self.next("distinctInstance")?;
        let port: i64 = self.next("host port")?;
        let zone_mask: u64 = self.next("zones")?;
        let group_mask: u64 = self.next("groups")?;
        let desired: u64 = self.next("desired count")?;
        let minimum_healthy_percent = self.next("minimum healthy percent")?;
        let maximum_percent = self.next("maximum percent")?;
        let host_ports =
            u16::try_from(port).ok().map(|number| HostPort { protocol: Protocol::Tcp, number });
        let constraints = [member_of(ZONE, zone_mask, zones), member_of(GROUP, group_mask, groups)];
        Ok(Service {
            name: format!("s{number}"),
            host_ports: host_ports.into_iter().collect(),
            distinct_instance: distinct != 0,
            constraints: constraints.into_iter().flatten().collect(),
            os_type: None,
            cpu_architecture: None,
            zones: None,
            capacity_providers: BTreeSet::new(),
            strategy,
            minimum_healthy_percent,
            maximum_percent,
            in_flight: desired,
            tasks_to_rebalance: None,
            keep_tasks: false,
            unclear: None,
            demand: self.resources()?,
        })
    }

    fn task(&mut self) -> Result<TaskLine, String> {
        let pinned = |number: u64| number != 0;
        Ok((self.next("instance")?, self.next("service")?, pinned(self.next("pinned")?)))
    }
}

/// `None` if the mask allows every one.
fn member_of(attribute: &str, mask: u64, count: u32) -> Option<String> {
    let allowed: Vec<_> =
        (0..count).filter(|bit| mask >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
    (allowed.len() < count as usize).then(|| format!("{attribute} in [{}]", allowed.join(",")))
}

fn strategy(number: u64) -> Option<Vec<Strategy>> {
    let zone = || Strategy::Spread(ZONE.to_owned());
    let instance = || Strategy::Spread("instanceId".to_owned());
    Some(match number {
        0 => vec![Strategy::Random],
        1 => vec![zone()],
        2 => vec![zone(), instance()],
        3 => vec![zone(), Strategy::BinpackMemory],
        4 => vec![Strategy::BinpackCpu],
        5 => vec![Strategy::BinpackMemory],
        6 => vec![instance()],
        _ => return None,
    })
}
