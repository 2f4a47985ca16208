//! EC2's operations `DescribeInstances`, by the Capacity Reservation of the instances,
//! `DescribeInstanceTypes`, by name, and `DescribeSubnets`, by id.
//!
//! Source: EC2 API Reference, of each operation.

use std::collections::BTreeMap;

use super::answer::Refusal;
use super::query_protocol::{Form, element};
use crate::world::World;
use crate::world::ec2::network_interfaces;

/// Source: EC2 User Guide, `Using_Filtering`.
const FILTER_VALUES_MAX: usize = 200;

/// The values of each filter of a form, if it has no filters but these.
fn filters<'f>(form: &'f Form, known: &[&str]) -> Result<BTreeMap<&'f str, Vec<&'f str>>, Refusal> {
    if form.text("Version") != Some("2016-11-15") {
        return Err(Refusal::new("InvalidAction", "The action is not valid for this version"));
    }
    let mut filters = BTreeMap::new();
    for number in 1.. {
        let Some(name) = form.text(&format!("Filter.{number}.Name")) else { break };
        let key = |value| format!("Filter.{number}.Value.{value}");
        let values: Vec<_> = (1..).map_while(|value| form.text(&key(value))).collect();
        if !known.contains(&name) {
            let message = format!("The filter '{name}' is invalid");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if values.len() > FILTER_VALUES_MAX {
            let message = "The maximum number of filter values specified on a single call is 200";
            return Err(Refusal::new("FilterLimitExceeded", message));
        }
        filters.insert(name, values);
    }
    Ok(filters)
}

/// The subnets of the services in network mode `awsvpc`. Only with the filter by id.
pub(super) fn describe_subnets(world: &World, form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["subnet-id"])?;
    let Some(ids) = filters.get("subnet-id") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by id here"));
    };
    let services = world.clusters.values().flat_map(|cluster| cluster.services.values());
    let subnets: BTreeMap<_, _> = services
        .flat_map(|service| &service.placement.subnets)
        .filter_map(|(id, zone)| Some((id, zone.as_ref()?)))
        .filter(|(id, _)| ids.contains(&id.as_str()))
        .collect();
    let items: String = subnets
        .into_iter()
        .map(|(id, zone)| [element("subnetId", id), element("availabilityZone", zone)].concat())
        .map(|subnet| format!("<item>{subnet}</item>"))
        .collect();
    Ok(format!("<subnetSet>{items}</subnetSet>"))
}

/// Of one network card each. Only with the filter by name, and what is not simulated is left out.
pub(super) fn describe_instance_types(form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["instance-type"])?;
    let Some(names) = filters.get("instance-type") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by name here"));
    };
    let items: String = names
        .iter()
        .filter_map(|name| Some((name, network_interfaces(name)?.to_string())))
        .map(|(name, number)| {
            let number = element("maximumNetworkInterfaces", &number);
            let card = format!("<item>{}{number}</item>", element("networkCardIndex", "0"));
            let network = [number, format!("<networkCards>{card}</networkCards>")].concat();
            let name = element("instanceType", name);
            format!("<item>{name}<networkInfo>{network}</networkInfo></item>")
        })
        .collect();
    Ok(format!("<instanceTypeSet>{items}</instanceTypeSet>"))
}

/// Only with the filters by reservation and by state.
pub(super) fn describe_instances(world: &World, form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["capacity-reservation-id", "instance-state-name"])?;
    let states = filters.get("instance-state-name");
    let Some(reservations) = filters.get("capacity-reservation-id") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by Capacity Reservation here"));
    };
    let is_asked_for = |state: &str| states.is_none_or(|states| states.contains(&state));
    let items: String = world
        .capacity_reservations
        .iter()
        .filter(|(id, _)| reservations.contains(&id.as_str()))
        .flat_map(|(id, instances)| instances.iter().map(move |instance| (id, instance)))
        .map(|(id, instance)| (id, instance, state(world, instance)))
        .filter(|(.., state)| is_asked_for(state))
        .map(|(id, instance, state)| {
            let state = format!("<instanceState>{}</instanceState>", element("name", state));
            let instance =
                [element("instanceId", instance), state, element("capacityReservationId", id)];
            let instances =
                format!("<instancesSet><item>{}</item></instancesSet>", instance.concat());
            format!("<item>{}{instances}</item>", element("reservationId", "r-0a1b2c3d4e5f60001"))
        })
        .collect();
    Ok(format!("<reservationSet>{items}</reservationSet>"))
}

/// EC2 still describes an instance for an hour after its end.
fn state(world: &World, instance_id: &str) -> &'static str {
    if world.ended(instance_id) { "terminated" } else { "running" }
}
