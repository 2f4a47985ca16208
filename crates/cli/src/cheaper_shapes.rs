//! What the load of each group would cost on the cheapest mix of the instance types that it may
//! launch: a part of `ebb plan`, for people and as JSON.

use std::collections::BTreeMap;

use ebb_core::ids::GroupName;
use ebb_core::reaper::{CheaperShape, Shape, cheaper_shape};
use ebb_core::words::{list, price};
use ebb_planner::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::snapshot::ClusterSnapshot;
use crate::words::usd;

/// What was found for each group of a cluster that may launch several instance types, or why it is
/// not judged.
pub(crate) struct CheaperShapes(BTreeMap<GroupName, Result<CheaperShape, String>>);

impl CheaperShapes {
    /// Looks for them; for a group of hundreds of instances that takes seconds.
    pub(crate) fn new(cluster: &ClusterSnapshot, policy: &Policy, now: Timestamp) -> Self {
        let groups = cluster.group_types.iter().map(|(group, types)| {
            let shape = cheaper_shape(&cluster.inventory, group, types, policy, now);
            (group.clone(), shape)
        });
        Self(groups.collect())
    }

    /// A sentence or two for each group.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.0.iter().map(|(group, shape)| sentence(group, shape)).collect()
    }

    /// Each group's for programs.
    pub(crate) fn json(&self) -> Value {
        self.0
            .iter()
            .map(|(group, shape)| match shape {
                Ok(CheaperShape { now, swept, cheapest, tried }) => json!({
                    "group": group.as_str(),
                    "now": shape_json(now),
                    "swept": shape_json(swept),
                    "cheapest": shape_json(cheapest),
                    "tried": tried,
                }),
                Err(why) => json!({"group": group.as_str(), "not_judged": why}),
            })
            .collect()
    }
}

fn sentence(group: &GroupName, shape: &Result<CheaperShape, String>) -> String {
    let CheaperShape { now, swept, cheapest, tried } = match shape {
        Ok(shape) => shape,
        Err(why) => return format!("Whether {group} has a cheaper shape is not judged: {why}."),
    };
    if cheapest.microusd >= swept.microusd {
        return format!("No mix of {} that was tried is cheaper for {group}.", list(tried));
    }
    format!(
        "{group} would carry the same load on {}: {}. It is {} for {} now, and would be {} for {} \
         after all sweeps. The room of each type is taken to be like that of its instances; \
         nothing is done about it.",
        instances(cheapest),
        price(usd(cheapest.microusd)),
        instances(now),
        price(usd(now.microusd)),
        instances(swept),
        price(usd(swept.microusd)),
    )
}

/// "2 m7g.large and 1 m7g.xlarge".
fn instances(shape: &Shape) -> String {
    let types: Vec<_> =
        shape.instances.iter().map(|(name, count)| format!("{count} {name}")).collect();
    list(&types)
}

fn shape_json(shape: &Shape) -> Value {
    json!({"instances": shape.instances, "usd_per_hour": usd(shape.microusd)})
}
