//! EC2's operation `DescribeInstances`, by the Capacity Reservation of the instances.
//!
//! Source: EC2 API Reference, `DescribeInstances`.

use super::answer::Refusal;
use super::query_protocol::{Form, element};
use crate::world::World;

/// Only with the filters by reservation and by state.
pub(super) fn describe_instances(world: &World, form: &Form) -> Result<String, Refusal> {
    if form.text("Version") != Some("2016-11-15") {
        return Err(Refusal::new("InvalidAction", "The action is not valid for this version"));
    }
    let (mut reservations, mut states) = (None, None);
    for number in 1.. {
        let Some(name) = form.text(&format!("Filter.{number}.Name")) else { break };
        let key = |value| format!("Filter.{number}.Value.{value}");
        let values: Vec<_> = (1..).map_while(|value| form.text(&key(value))).collect();
        match name {
            "capacity-reservation-id" => reservations = Some(values),
            "instance-state-name" => states = Some(values),
            _ => {
                let message = format!("The filter '{name}' is invalid");
                return Err(Refusal::new("InvalidParameterValue", message));
            }
        }
    }
    let Some(reservations) = reservations else {
        return Err(Refusal::new("InvalidParameterValue", "Only by Capacity Reservation here"));
    };
    let is_asked_for = |state: &str| states.as_ref().is_none_or(|states| states.contains(&state));
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
