//! ARC's zonal shift, of which one read is needed: of which resources traffic is shifted away from an
//! Availability Zone.
//!
//! The SDK's client of it is not linked for one call: see decision 010. What a shift means for a
//! cluster is left to `ebb_core::reaper::zonal_shift`.

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use ebb_core::reaper::zonal_shift::{ManagedResource, Shift, ShiftKind};
use form_urlencoded::Serializer;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::error::AwsError;
use crate::unmodeled::{Input, UnmodeledService};

/// How many resources a page has at most. Source: ARC zonal shift API, `ListManagedResources`.
const PAGE_MAX: usize = 100;
/// How many pages there may be: a Region has 500 groups and a few hundred load balancers by AWS's
/// quotas, which may be raised.
const PAGES_MAX: usize = 40;

/// ARC's zonal shift.
#[derive(Debug, Clone)]
pub struct ZonalShifts {
    service: UnmodeledService,
}

impl ZonalShifts {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let endpoint = endpoint(region.as_ref(), config.use_fips().unwrap_or_default());
        Self { service: UnmodeledService::new(config, "arc-zonal-shift", region, endpoint) }
    }

    /// Every resource of the Region of which traffic can be shifted, with its shifts.
    ///
    /// # Errors
    /// If a call fails, or there are more than 40 pages.
    pub async fn managed_resources(&self) -> Result<Vec<ManagedResource>, AwsError> {
        let operation = "list the resources with zonal shifts";
        let mut token = None;
        let mut resources = Vec::new();
        for _ in 0..PAGES_MAX {
            let call = Operation::builder().operation_name("ListManagedResources");
            let input = Input::Path(path(token.as_deref()));
            let document = self.service.invoke(call, operation, input).await?;
            // The contract of the answer is that it is JSON with items, each with its ARN.
            let page: Value = serde_json::from_str(&document).unwrap_or_default();
            resources.extend(page["items"].as_array().into_iter().flatten().map(resource));
            match page["nextToken"].as_str() {
                Some(next) => token = Some(next.to_owned()),
                None => return Ok(resources),
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {PAGES_MAX} pages")))
    }
}

/// Source: AWS General Reference, arc-zonal-shift. China has a domain of its own.
fn endpoint(region: &str, use_fips: bool) -> String {
    let host = if use_fips { "arc-zonal-shift-fips" } else { "arc-zonal-shift" };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}")
}

fn path(token: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("maxResults", &PAGE_MAX.to_string());
    if let Some(token) = token {
        query.append_pair("nextToken", token);
    }
    format!("/managedresources?{}", query.finish())
}

fn resource(described: &Value) -> ManagedResource {
    let weights = described["appliedWeights"].as_object().into_iter().flatten();
    let inactive = weights.filter(|(_, weight)| weight.as_f64() == Some(0.0));
    let shifts = |key: &str, otherwise| {
        let shifts = described[key].as_array().into_iter().flatten();
        shifts.map(move |described| shift(described, otherwise))
    };
    ManagedResource {
        arn: described["arn"].as_str().unwrap_or_default().to_owned(),
        inactive_zones: inactive.map(|(zone, _)| zone.clone()).collect(),
        shifts: shifts("zonalShifts", ShiftKind::ZonalShift)
            .chain(shifts("autoshifts", ShiftKind::Autoshift))
            .collect(),
    }
}

/// A shift; `otherwise` is what it is for if it does not say so.
fn shift(described: &Value, otherwise: ShiftKind) -> Shift {
    // In seconds since 1970, as restJson1 has it.
    let expires_at = described["expiryTime"].as_f64();
    let expires_at = expires_at.and_then(|it| SignedDuration::try_from_secs_f64(it).ok());
    Shift {
        kind: described["shiftType"].as_str().map_or(otherwise, ShiftKind::of_word),
        away_from: described["awayFrom"].as_str().unwrap_or_default().to_owned(),
        is_applied: described["appliedStatus"] == "APPLIED",
        expires_at: expires_at.and_then(|it| Timestamp::from_second(it.as_secs()).ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn both_lists_of_shifts_are_read_and_the_zones_without_weight() {
        let described = json!({
            "arn": "arn-1",
            "availabilityZones": ["euw1-az1", "euw1-az2"],
            "appliedWeights": {"euw1-az1": 0.0, "euw1-az2": 1.0},
            "zonalShifts": [{
                "appliedStatus": "NOT_APPLIED",
                "awayFrom": "euw1-az1",
                "expiryTime": 1_741_064_767.5,
                "shiftType": "PRACTICE_RUN",
            }],
            "autoshifts": [{"appliedStatus": "APPLIED", "awayFrom": "euw1-az2"}],
        });
        let of = |kind, zone: &str, is_applied, expires_at: Option<&str>| Shift {
            kind,
            away_from: zone.to_owned(),
            is_applied,
            expires_at: expires_at.map(|time| time.parse().unwrap()),
        };
        let expected = ManagedResource {
            arn: "arn-1".to_owned(),
            inactive_zones: BTreeSet::from(["euw1-az1".to_owned()]),
            shifts: vec![
                of(ShiftKind::PracticeRun, "euw1-az1", false, Some("2025-03-04T05:06:07Z")),
                of(ShiftKind::Autoshift, "euw1-az2", true, None),
            ],
        };
        assert_eq!(resource(&described), expected);
        let bare = ManagedResource { arn: "arn-1".to_owned(), ..ManagedResource::default() };
        assert_eq!(resource(&json!({"arn": "arn-1"})), bare);
    }

    #[test]
    fn a_token_is_escaped_and_every_partition_has_its_endpoint() {
        assert_eq!(path(Some("a+/=")), "/managedresources?maxResults=100&nextToken=a%2B%2F%3D");
        assert_eq!(
            endpoint("cn-north-1", false),
            "https://arc-zonal-shift.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(
            endpoint("us-east-1", true),
            "https://arc-zonal-shift-fips.us-east-1.amazonaws.com"
        );
    }
}
