//! Reads expressions of the cluster query language.
//!
//! Source: ECS Developer Guide, cluster-query-language, with the operators that each subject takes
//! and the formats of dates. What ECS says to others is not documented; a filter that it took could
//! only hold for no container instance, so that it is refused here.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex_lite::Regex;

use super::cluster_query::{Expression, Node, Order, Test, Version};

/// The subjects beside `attribute:NAME`.
const SUBJECTS: [&str; 6] = [
    "agentConnected",
    "agentVersion",
    "ec2InstanceId",
    "registeredAt",
    "runningTasksCount",
    "task:group",
];

impl Expression {
    /// Reads an expression; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { unread: text };
        let node = reader.disjunction()?;
        // What is left over would be ignored silently, so an expression that is followed by
        // anything is none.
        reader.unread.trim_start().is_empty().then_some(Self(node))
    }
}

/// Reads an expression from left to right.
struct Reader<'a> {
    unread: &'a str,
}

impl<'a> Reader<'a> {
    fn disjunction(&mut self) -> Option<Node> {
        let mut nodes = vec![self.conjunction()?];
        while self.symbol("||") || self.keyword("or") {
            nodes.push(self.conjunction()?);
        }
        Some(Node::Or(nodes))
    }

    fn conjunction(&mut self) -> Option<Node> {
        let mut nodes = vec![self.negated()?];
        while self.symbol("&&") || self.keyword("and") {
            nodes.push(self.negated()?);
        }
        Some(Node::And(nodes))
    }

    fn negated(&mut self) -> Option<Node> {
        // No expression begins with an operator, so a `!` in this place can only negate what
        // follows.
        if self.symbol("!") || self.keyword("not") {
            return Some(Node::Not(Box::new(self.negated()?)));
        }
        if self.symbol("(") {
            let node = self.disjunction()?;
            return self.symbol(")").then_some(node);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Option<Node> {
        let subject = self.word()?;
        let is_attribute = subject.strip_prefix("attribute:").is_some_and(|name| !name.is_empty());
        if !is_attribute && !SUBJECTS.contains(&subject.as_str()) {
            return None;
        }
        let (negated, test) = self.test()?;
        let test = fitting(&subject, test)?;
        let node = Node::Test { subject, test };
        Some(if negated { Node::Not(Box::new(node)) } else { node })
    }

    /// An operator with its argument, and whether it is a negated one.
    fn test(&mut self) -> Option<(bool, Test)> {
        // The symbols of two characters are tried before the lone `!` that begins `!in` and
        // `!exists`.
        for (symbol, negated) in [("=~", false), ("!~", true)] {
            if self.symbol(symbol) {
                return Some((negated, Test::Matches(self.regex()?)));
            }
        }
        for (symbol, negated) in [("==", false), ("!=", true)] {
            if self.symbol(symbol) {
                return Some((negated, Test::Equals(self.word()?)));
            }
        }
        for (symbol, order) in [
            // The longer symbol comes first: `<` would match the beginning of `<=`.
            ("<=", Order::LessOrEqual),
            (">=", Order::GreaterOrEqual),
            ("<", Order::Less),
            (">", Order::Greater),
        ] {
            if self.symbol(symbol) {
                return Some((false, Test::Order(order, self.word()?)));
            }
        }
        let negated = self.symbol("!");
        let keyword = self.word()?;
        // `!not_in` is no operator: after a `!` the prefix stays on, and no keyword matches.
        let (negated, keyword) = match keyword.strip_prefix("not_") {
            Some(keyword) if !negated => (true, keyword),
            _ => (negated, keyword.as_str()),
        };
        let test = match keyword {
            "exists" => Test::Exists,
            "in" => Test::In(self.list()?),
            "equals" => Test::Equals(self.word()?),
            "greater_than" if !negated => Test::Order(Order::Greater, self.word()?),
            "greater_than_equal" if !negated => Test::Order(Order::GreaterOrEqual, self.word()?),
            "less_than" if !negated => Test::Order(Order::Less, self.word()?),
            "less_than_equal" if !negated => Test::Order(Order::LessOrEqual, self.word()?),
            "matches" => Test::Matches(self.regex()?),
            _ => return None,
        };
        Some((negated, test))
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut words = Vec::new();
        if !self.symbol("[") {
            return None;
        }
        while !self.symbol("]") {
            words.push(self.word()?);
            // A comma may follow the last word.
            if !self.symbol(",") && !self.unread.trim_start().starts_with(']') {
                return None;
            }
        }
        // An empty list would select nothing, or with `!in` everything: it is taken for a mistake.
        (!words.is_empty()).then_some(words)
    }

    /// A pattern must match the whole value, as `matches` does in Java. Without quotes it ends at
    /// white space, or at the parenthesis that closes a group of expressions.
    fn regex(&mut self) -> Option<Regex> {
        let text = self.unread.trim_start();
        let pattern = if text.starts_with(['"', '\'']) {
            self.word()?
        } else {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let mut pattern = &text[..end];
            while pattern.ends_with(')')
                && pattern.matches(')').count() > pattern.matches('(').count()
            {
                pattern = &pattern[..pattern.len() - 1];
            }
            self.unread = &text[pattern.len()..];
            pattern.to_owned()
        };
        Regex::new(&format!("^(?:{pattern})$")).ok().filter(|_| !pattern.is_empty())
    }

    /// A word, or whatever stands between quotes.
    fn word(&mut self) -> Option<String> {
        let text = self.unread.trim_start();
        if let Some(quote @ ('"' | '\'')) = text.chars().next() {
            let (word, unread) = text[1..].split_once(quote)?;
            self.unread = unread;
            return Some(word.to_owned());
        }
        let end = text.find(|character| !is_word(character)).unwrap_or(text.len());
        // An empty word is not a word, so that a missing argument is an error.
        self.unread = &text[end..];
        (end > 0).then(|| text[..end].to_owned())
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let unread: Option<&'a str> = self.unread.trim_start().strip_prefix(symbol);
        self.unread = unread.unwrap_or(self.unread);
        unread.is_some()
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let unread = self
            .unread
            .trim_start()
            .strip_prefix(keyword)
            // A keyword must end where a word ends, or `order` would begin with `or`.
            .filter(|unread| !unread.starts_with(is_word));
        self.unread = unread.unwrap_or(self.unread);
        unread.is_some()
    }
}

/// A test as far as its subject takes it, with a date as the values of subjects are written.
fn fitting(subject: &str, test: Test) -> Option<Test> {
    let is_version = |text: &String| text.contains('.') && text.parse::<Version>().is_ok();
    let is_count = |text: &String| text.parse::<u32>().is_ok();
    let is_truth = |text: &String| matches!(text.as_str(), "true" | "false");
    match (subject, test) {
        ("agentConnected", Test::Equals(text)) if !is_truth(&text) => None,
        ("agentConnected", Test::In(texts)) if !texts.iter().all(is_truth) => None,
        ("agentConnected" | "ec2InstanceId", Test::Order(..) | Test::Exists) => None,
        ("task:group", Test::Order(..)) => None,
        (
            "agentVersion" | "registeredAt" | "runningTasksCount",
            Test::In(_) | Test::Exists | Test::Matches(_),
        ) => None,
        ("agentVersion", Test::Equals(text) | Test::Order(_, text)) if !is_version(&text) => None,
        ("runningTasksCount", Test::Equals(text) | Test::Order(_, text)) if !is_count(&text) => {
            None
        }
        ("registeredAt", Test::Equals(text)) => Some(Test::Equals(date(&text)?.to_string())),
        ("registeredAt", Test::Order(order, text)) => {
            Some(Test::Order(order, date(&text)?.to_string()))
        }
        (_, test) => Some(test),
    }
}

/// A date with or without a time, and a time with or without its zone, which is UTC then.
fn date(text: &str) -> Option<Timestamp> {
    let in_utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    text.parse().ok().or_else(|| in_utc(text.parse().ok()?))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || ":._-/@\\*+".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(expression: &str) -> bool {
        Expression::parse(expression)
            .unwrap_or_else(|| panic!("{expression} is understood"))
            .holds(&subject_values)
    }

    fn subject_values(subject: &str) -> Vec<String> {
        let values: &[&str] = match subject {
            "attribute:ecs.instance-type" => &["g4dn.xlarge"],
            "attribute:stack" => &["prod"],
            "ec2InstanceId" => &["i-1"],
            "runningTasksCount" => &["9"],
            "registeredAt" => &["2026-11-20T00:00:00Z"],
            "agentVersion" => &["1.98.0"],
            "agentConnected" => &["true"],
            "task:group" => &["service:web", "service:logs"],
            _ => &[],
        };
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn every_operator_holds_where_it_should() {
        for expression in [
            "attribute:stack == prod",
            "attribute:stack==prod",
            "attribute:stack equals 'prod'",
            "attribute:stack != test",
            "attribute:stack in [prod, test]",
            "attribute:stack !in ['test','dev']",
            "attribute:stack exists",
            "attribute:colour !exists",
            "attribute:colour not_exists",
            "attribute:ecs.instance-type =~ g4.*",
            "attribute:ecs.instance-type !~ g[0-3].*",
            "attribute:ecs.instance-type matches 'g4dn\\.(x|2x)large'",
            "ec2InstanceId in [i-1, i-2]",
            "runningTasksCount > 8 and runningTasksCount <= 9",
            "runningTasksCount < 10",
            "runningTasksCount == 9",
            "runningTasksCount greater_than 8 and runningTasksCount less_than_equal 9",
            "registeredAt > 2026-11-19T00:00:00Z",
            "registeredAt > 2026-11-19",
            "registeredAt == 2026-11-20T01:00:00+01:00",
            "registeredAt less_than 2026-11-20T00:00:01",
            "agentVersion > 1.9.12 and agentVersion == 1.98.0",
            "agentConnected in [true, false]",
            "task:group == service:logs",
            "task:group != service:worker",
        ] {
            assert!(holds(expression), "{expression}");
            assert!(!holds(&format!("not ({expression})")), "not ({expression})");
        }
        assert!(!holds("attribute:ecs.instance-type =~ g4"), "a pattern matches the whole value");
    }

    #[test]
    fn neither_a_comparison_with_an_absent_attribute_holds_nor_its_opposite() {
        for comparison in ["== red", "!= red", "in [red]", "!in [red]", "=~ r.*", "!~ r.*", "< 2"] {
            assert!(!holds(&format!("attribute:colour {comparison}")), "{comparison}");
            assert!(!holds(&format!("not (attribute:colour {comparison})")), "not {comparison}");
        }
        assert!(holds("attribute:colour != red or attribute:stack == prod"));
        assert!(holds("not (attribute:colour == red and attribute:stack == test)"));
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(holds("attribute:stack == prod or attribute:stack == a and attribute:stack == b"));
        assert!(!holds(
            "(attribute:stack == prod || attribute:stack == a) && attribute:stack == b"
        ));
        assert!(holds("(attribute:ecs.instance-type =~ (g|p)4.*) and !(ec2InstanceId == i-2)"));
    }

    #[test]
    fn what_is_no_expression_is_not_understood() {
        for expression in [
            "",
            "ec2InstanceId > i-1a2b3c4d",
            "ec2InstanceId exists",
            "agentConnected == yes",
            "agentConnected > false",
            "agentVersion =~ 1.*",
            "agentVersion > new",
            "registeredAt > yesterday",
            "registeredAt in [2026-11-20]",
            "runningTasksCount > few",
            "runningTasksCount exists",
            "task:group > service:web",
            "runningTasksCount not_less_than 2",
            "the best ones",
            "attribute: == a",
            "attribute:stack",
            "attribute:stack = prod",
            "attribute:stack == ",
            "attribute:stack in []",
            "attribute:stack in [a b]",
            "(attribute:stack exists",
            "attribute:stack exists)",
            "attribute:stack == a attribute:stack == b",
            "attribute:stack =~ [",
            "ec2InstanceId == i-1 and",
        ] {
            assert!(Expression::parse(expression).is_none(), "{expression}");
        }
    }
}
