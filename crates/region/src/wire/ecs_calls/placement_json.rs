//! Placement constraints, placement strategies and capacity provider strategies as ECS gives them, for services and for task definitions.

use serde_json::{Value, json};

use crate::world::ecs::{Constraint, Strategy, StrategyItem};

/// A placement constraint as ECS gives it.
pub(super) fn constraint_json(constraint: &Constraint) -> Value {
    match constraint {
        Constraint::DistinctInstance => json!({"type": "distinctInstance"}),
        Constraint::MemberOf(expression) => json!({"type": "memberOf", "expression": expression}),
    }
}

/// An item of a capacity provider strategy as ECS gives it.
pub(super) fn strategy_item_json(item: &StrategyItem) -> Value {
    json!({
        "capacityProvider": item.capacity_provider,
        "base": item.base,
        "weight": item.weight,
    })
}

/// A placement strategy as ECS gives it: `cpu` and `memory` come back in capitals, and `host` as
/// `instanceId` (terraform-provider-aws, `flattenPlacementStrategy`).
pub(super) fn strategy_json(strategy: &Strategy) -> Value {
    match strategy {
        Strategy::Random => json!({"type": "random"}),
        Strategy::Spread(field) if field == "host" => {
            json!({"type": "spread", "field": "instanceId"})
        }
        Strategy::Spread(field) => json!({"type": "spread", "field": field}),
        Strategy::BinpackCpu => json!({"type": "binpack", "field": "CPU"}),
        Strategy::BinpackMemory => json!({"type": "binpack", "field": "MEMORY"}),
    }
}
