//! The cluster query language, as far as its published grammar goes: what selects container
//! instances in filters and in `memberOf` constraints.
//!
//! Source: ECS Developer Guide, cluster-query-language. That page does not say what a comparison
//! makes of a container instance without such an attribute. ECS does not list it for `!=`
//! (containers-roadmap#486); so none is taken to hold for it, `!in`, `!~` and what `not` makes of the
//! others included.

use std::num::ParseIntError;
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
    Equals(String),
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
        self.0.is(true, values)
    }
}

impl Node {
    /// Whether it is `wanted`, true or false: a comparison with an absent attribute is neither.
    fn is(&self, wanted: bool, values: &dyn Fn(&str) -> Vec<String>) -> bool {
        match self {
            Self::And(nodes) if wanted => nodes.iter().all(|node| node.is(wanted, values)),
            Self::And(nodes) => nodes.iter().any(|node| node.is(wanted, values)),
            Self::Or(nodes) if wanted => nodes.iter().any(|node| node.is(wanted, values)),
            Self::Or(nodes) => nodes.iter().all(|node| node.is(wanted, values)),
            Self::Not(node) => node.is(!wanted, values),
            Self::Test { subject, test } => {
                let values = values(subject);
                let is_absent = values.is_empty() && subject.starts_with("attribute:");
                if is_absent && !matches!(test, Test::Exists) {
                    return false;
                }
                test.passes(&values) == wanted
            }
        }
    }
}

impl Test {
    /// A subject can have several values, of which one must pass: so `task:group == x` asks whether
    /// any task is of that group.
    fn passes(&self, values: &[String]) -> bool {
        match self {
            Self::Exists => !values.is_empty(),
            Self::Equals(wanted) => values.contains(wanted),
            Self::In(allowed) => values.iter().any(|value| allowed.contains(value)),
            Self::Order(order, bound) => values.iter().any(|value| order.holds(value, bound)),
            Self::Matches(regex) => values.iter().any(|value| regex.is_match(value)),
        }
    }
}

impl Order {
    /// Compares numbers, times or versions; nothing else has an order.
    fn holds(self, value: &str, bound: &str) -> bool {
        fn compare<T: FromStr + PartialOrd>(
            value: &str,
            bound: &str,
        ) -> Option<std::cmp::Ordering> {
            value.parse::<T>().ok()?.partial_cmp(&bound.parse::<T>().ok()?)
        }
        let ordering = compare::<i64>(value, bound)
            .or_else(|| compare::<Timestamp>(value, bound))
            .or_else(|| compare::<Version>(value, bound));
        ordering.is_some_and(|ordering| match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        })
    }
}

/// A version such as `1.98.0`.
#[derive(Debug, PartialEq, PartialOrd)]
pub(super) struct Version(Vec<u32>);

impl FromStr for Version {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split('.').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}
