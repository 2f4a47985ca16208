//! The cluster query language, as far as its published grammar goes: what selects container
//! instances in filters and in `memberOf` constraints.
//!
//! Source: ECS Developer Guide, cluster-query-language. That page does not say what a comparison
//! makes of a container instance without such an attribute; it is assumed that `!=`, `!in` and `!~`
//! hold for it and no other does.

use std::str::FromStr;

use jiff::Timestamp;
use regex_lite::Regex;

/// An expression.
#[derive(Debug, Clone)]
pub struct Expression(pub(super) Node);

#[derive(Debug, Clone)]
pub(super) enum Node {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Test { subject: String, test: Test },
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists,
    In(Vec<String>),
    Order(Order, String),
    Matches(Regex),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    /// Whether it holds, given the values that a subject has: none if there is no such attribute,
    /// several for `task:group`.
    pub fn holds(&self, values: &dyn Fn(&str) -> Vec<String>) -> bool {
        self.0.holds(values)
    }
}

impl Node {
    fn holds(&self, values: &dyn Fn(&str) -> Vec<String>) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.holds(values)),
            Self::Or(nodes) => nodes.iter().any(|node| node.holds(values)),
            Self::Not(node) => !node.holds(values),
            Self::Test { subject, test } => {
                let values = values(subject);
                // A subject can have several values, of which one must pass: so `task:group == x`
                // asks whether any task is of that group.
                match test {
                    Test::Exists => !values.is_empty(),
                    Test::In(allowed) => values.iter().any(|value| allowed.contains(value)),
                    Test::Order(order, bound) => {
                        values.iter().any(|value| order.holds(value, bound))
                    }
                    Test::Matches(regex) => values.iter().any(|value| regex.is_match(value)),
                }
            }
        }
    }
}

impl Order {
    /// Compares numbers or times; nothing else has an order.
    fn holds(self, value: &str, bound: &str) -> bool {
        fn compare<T: FromStr + PartialOrd>(
            value: &str,
            bound: &str,
        ) -> Option<std::cmp::Ordering> {
            value.parse::<T>().ok()?.partial_cmp(&bound.parse::<T>().ok()?)
        }
        let ordering = compare::<i64>(value, bound).or_else(|| compare::<Timestamp>(value, bound));
        ordering.is_some_and(|ordering| match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        })
    }
}
