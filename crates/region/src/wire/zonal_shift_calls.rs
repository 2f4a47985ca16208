//! ARC's operations `ListManagedResources` and, for people, `StartZonalShift`, by the protocol
//! restJson1.
//!
//! Source: API model of ARC zonal shift (2022-10-30): paths, members and errors.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::aws_json::{Input, PAGE_MAX, page_of};
use crate::fault::Fault;
use crate::world::zonal_shift::ZonalShift;
use crate::world::{REGION, World};

/// The operation that a path is for. `None` if it is none of these.
pub(super) fn operation(path: &str, has_body: bool) -> Option<&'static str> {
    match (path.split('?').next()?, has_body) {
        ("/managedresources", false) => Some("ListManagedResources"),
        ("/zonalshifts", true) => Some("StartZonalShift"),
        _ => None,
    }
}

/// The zones of every resource here, by their IDs.
fn zones() -> [String; 3] {
    ["a", "b", "c"].map(|zone| zone_id(&format!("{REGION}{zone}")))
}

/// "euw1-az1" for "eu-west-1a". In AWS it depends on the account.
fn zone_id(zone: &str) -> String {
    let number = zone.bytes().last().map_or(0, |letter| letter.saturating_sub(b'a') + 1);
    format!("euw1-az{number}")
}

/// A page of the resources of which traffic can be shifted, by the query of the path.
pub(super) fn list_managed_resources(
    world: &World,
    query: &str,
    fault: Option<Fault>,
) -> Result<String, Refusal> {
    let mut input = Map::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse::<u64>().ok().filter(|_| key == "maxResults");
        input.insert(key.into_owned(), number.map_or_else(|| json!(value), Value::from));
    }
    let input = Value::Object(input);
    let resources = world.managed_resources();
    let resources = resources.iter().map(|arn| described(world, arn)).collect();
    let page = page_of(Input { value: &input, fault }, "items", resources, PAGE_MAX, PAGE_MAX);
    page.map(|page| page.to_string()).map_err(|refusal| invalid(&refusal.message))
}

fn described(world: &World, arn: &str) -> Value {
    let shift = world.shift_of(arn);
    let is_away = |zone: &String| shift.is_some_and(|shift| shift.away_from == *zone);
    let weights: Map<_, _> = zones()
        .into_iter()
        .map(|zone| (zone.clone(), json!(if is_away(&zone) { 0.0 } else { 1.0 })))
        .collect();
    let (mut zonal_shifts, mut autoshifts) = (Vec::new(), Vec::new());
    match shift {
        Some(shift) if shift.kind == "ZONAL_AUTOSHIFT" => autoshifts.push(json!({
            "appliedStatus": "APPLIED",
            "awayFrom": shift.away_from,
            "startTime": seconds(shift.started_at),
        })),
        Some(shift) => {
            let mut described = shift_json(shift);
            described["appliedStatus"] = json!("APPLIED");
            described["shiftType"] = json!(shift.kind);
            zonal_shifts.push(described);
        }
        None => {}
    }
    json!({
        "arn": arn,
        "name": arn.rsplit('/').next(),
        "availabilityZones": zones(),
        "appliedWeights": weights,
        "zonalShifts": zonal_shifts,
        "autoshifts": autoshifts,
        "zonalAutoshiftStatus": "DISABLED",
        "practiceRunStatus": "DISABLED",
    })
}

fn shift_json(shift: &ZonalShift) -> Value {
    json!({
        "zonalShiftId": shift.id,
        "resourceIdentifier": shift.resource,
        "awayFrom": shift.away_from,
        "startTime": seconds(shift.started_at),
        "expiryTime": seconds(shift.expires_at),
        "comment": "",
    })
}

fn seconds(time: jiff::Timestamp) -> Value {
    json!(time.as_duration().as_secs_f64())
}

/// Starts a shift for a number of minutes or hours.
pub(super) fn start_zonal_shift(world: &mut World, body: &str) -> Result<String, Refusal> {
    let input: Value = serde_json::from_str(body).map_err(|error| invalid(&error.to_string()))?;
    let text =
        |key: &str| input[key].as_str().ok_or_else(|| invalid(&format!("{key} must be a text")));
    let (resource, zone) = (text("resourceIdentifier")?, text("awayFrom")?);
    text("comment")?;
    let lasts = lasts(text("expiresIn")?)
        .ok_or_else(|| invalid("expiresIn must be a number of minutes or hours, at most 72h"))?;
    if !world.managed_resources().contains(resource) {
        let refusal = Refusal::new("ResourceNotFoundException", "The resource is not managed.");
        return Err(Refusal { status: StatusCode::NOT_FOUND, ..refusal });
    }
    if !zones().iter().any(|known| known == zone) {
        return Err(invalid("The resource is in no such Availability Zone."));
    }
    if world.shift_of(resource).is_some() {
        let refusal = Refusal::new("ConflictException", "A zonal shift is active already.");
        return Err(Refusal { status: StatusCode::CONFLICT, ..refusal });
    }
    let shift = world.shift_away(resource, zone, "ZONAL_SHIFT", lasts);
    let mut answer = shift_json(&shift);
    answer["status"] = json!("ACTIVE");
    Ok(answer.to_string())
}

fn lasts(text: &str) -> Option<Duration> {
    let (number, seconds) = match (text.strip_suffix('m'), text.strip_suffix('h')) {
        (Some(minutes), _) => (minutes, 60),
        (_, Some(hours)) => (hours, 3_600),
        (None, None) => return None,
    };
    let lasts = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (60..=72 * 3_600).contains(&lasts).then(|| Duration::from_secs(lasts))
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("ValidationException", message)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::world::autoscaling::{Group, group_arn};

    #[test]
    fn a_shift_takes_the_weight_of_its_zone_until_it_ends() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_group("shop", Group::with_instances("shop", ["i-1".to_owned()]));
        let list = |world: &World| {
            let listed = list_managed_resources(world, "maxResults=1", None).unwrap();
            let listed: Value = serde_json::from_str(&listed).unwrap();
            let item = &listed["items"][0];
            (item["appliedWeights"]["euw1-az2"].clone(), item["zonalShifts"].clone())
        };
        assert_eq!(list(&world), (json!(1.0), json!([])));
        let mut input = json!({
            "resourceIdentifier": group_arn("shop"),
            "awayFrom": "euw1-az2",
            "expiresIn": "2m",
            "comment": "power",
        });
        start_zonal_shift(&mut world, &input.to_string()).unwrap();
        let (weight, shifts) = list(&world);
        assert_eq!((weight, &shifts[0]["expiryTime"]), (json!(0.0), &json!(120.0)));

        let refused = start_zonal_shift(&mut world, &input.to_string()).unwrap_err();
        assert_eq!(refused.code, "ConflictException");
        input["awayFrom"] = json!("euw1-az9");
        let refused = start_zonal_shift(&mut world, &input.to_string()).unwrap_err();
        assert_eq!(refused.code, "ValidationException");
        world.advance(world.now() + Duration::from_secs(120));
        assert_eq!(list(&world), (json!(1.0), json!([])));
    }
}
