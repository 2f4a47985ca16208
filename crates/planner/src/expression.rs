//! `memberOf` expressions of the cluster query language, as far as facts about instances tell them.
//!
//! Source: ECS Developer Guide, cluster-query-language. What is not understood (another subject, a
//! pattern that cannot be read) is an error that says so, never a guess: its tasks stay where they
//! are. What patterns match is left to `pattern`.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::Instance;
use crate::pattern::Patterns;
use crate::subject::Subject;

/// An expression that was understood.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Is(Comparison),
}

/// A question about one subject.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    subject: Subject,
    test: Test,
    /// Whether what an instance does not have counts as another value. ECS lists no instance without
    /// the attribute for `attribute:x != y` (containers-roadmap#486), and the guide says nothing.
    absent_differs: bool,
}

/// What is asked of it.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Exists,
    In(Vec<String>),
    /// By value: whether a pattern matches it; `None` if that depends on how ECS reads the pattern.
    Matches(BTreeMap<String, Option<bool>>),
    /// A whole number from the first to the last.
    Between(i64, i64),
}

/// How deep parentheses and `not` may nest: a person wrote the expression.
const DEPTH_MAX: usize = 32;
/// How many characters an expression may have (ECS API, `PlacementConstraint.expression`).
const LENGTH_MAX: usize = 2_000;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, in a few words.
    pub(crate) fn parse(text: &str, patterns: &mut Patterns<'_>) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("it is longer than {LENGTH_MAX} characters"));
        }
        let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0, patterns };
        let expression = parser.any_of()?;
        match parser.peek() {
            None => Ok(expression),
            Some(token) => Err(format!("unexpected {token:?}")),
        }
    }

    /// An instance is a member if the attribute has one of the values.
    pub(crate) fn attribute_in(name: &str, values: Vec<String>) -> Self {
        Self::Is(Comparison::new(Subject::Attribute(name.to_owned()), Test::In(values)))
    }

    /// Whether an instance is a member; `None` if nobody can tell: see [`Self::doubt`].
    pub(crate) fn holds(&self, instance: &Instance) -> Option<bool> {
        self.is(true, instance)
    }

    /// Whether it is `wanted` for an instance, true or false: a comparison with what the instance
    /// does not have may be neither.
    fn is(&self, wanted: bool, instance: &Instance) -> Option<bool> {
        match self {
            Self::And(parts) => fold(parts, wanted, instance, !wanted),
            Self::Or(parts) => fold(parts, wanted, instance, wanted),
            Self::Not(inner) => inner.is(!wanted, instance),
            Self::Is(comparison) => comparison.is(wanted, instance),
        }
    }

    /// Whether it negates a comparison with what an instance may not have.
    pub(crate) fn negates_a_comparison(&self) -> bool {
        self.compares(false)
    }

    fn compares(&self, is_negated: bool) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().any(|part| part.compares(is_negated))
            }
            Self::Not(inner) => inner.compares(!is_negated),
            Self::Is(comparison) => is_negated && !matches!(comparison.test, Test::Exists),
        }
    }

    /// Learns from a task that runs on an instance. If that can only be where what is absent counts
    /// as another value, it does so from now on.
    pub(crate) fn heed_task_on(&mut self, instance: &Instance) {
        if self.holds(instance) != Some(false) {
            return;
        }
        let mut lenient = self.clone();
        lenient.let_absent_differ();
        if lenient.holds(instance) == Some(true) {
            *self = lenient;
        }
    }

    fn let_absent_differ(&mut self) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter_mut().for_each(Self::let_absent_differ);
            }
            Self::Not(inner) => inner.let_absent_differ(),
            Self::Is(comparison) => comparison.absent_differs = true,
        }
    }

    /// Why nobody may be able to tell whether an instance is a member, if so.
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        match self {
            Self::And(inner) | Self::Or(inner) => inner.iter().find_map(Self::doubt),
            Self::Not(inner) => inner.doubt(),
            Self::Is(comparison) => comparison.doubt(),
        }
    }

    /// Adds the subjects that it asks about.
    pub(crate) fn subjects<'a>(&'a self, into: &mut BTreeSet<&'a Subject>) {
        match self {
            Self::And(inner) | Self::Or(inner) => inner.iter().for_each(|part| part.subjects(into)),
            Self::Not(inner) => inner.subjects(into),
            Self::Is(comparison) => {
                into.insert(&comparison.subject);
            }
        }
    }
}

/// Whether parts are `wanted`: the first that is `decisive` decides; then any that is not known; else
/// the opposite holds.
fn fold(parts: &[Expression], wanted: bool, instance: &Instance, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.is(wanted, instance) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            // The next part may still decide, whatever this one means.
            None => result = None,
        }
    }
    result
}

impl Comparison {
    fn new(subject: Subject, test: Test) -> Self {
        Self { subject, test, absent_differs: false }
    }

    /// Whether it is `wanted` for an instance, true or false.
    fn is(&self, wanted: bool, instance: &Instance) -> Option<bool> {
        let Self { subject, test, absent_differs } = self;
        match (subject.value(instance), test) {
            _ if *subject == Subject::RunningTasks => None,
            (Some(value), test) => test.holds(value).map(|holds| holds == wanted),
            (None, Test::Exists) => Some(!wanted),
            // It equals nothing and matches nothing.
            (None, _) => Some(!wanted && *absent_differs),
        }
    }

    fn doubt(&self) -> Option<&'static str> {
        match (&self.subject, &self.test) {
            (Subject::RunningTasks, _) => Some("it depends on which tasks run where by then"),
            (_, Test::Matches(_)) => {
                Some("it matches a part of a value, and ECS does not say whether that counts")
            }
            (_, Test::Between(..)) => Some("it compares what is no whole number"),
            (_, Test::Exists | Test::In(_)) => None,
        }
    }
}

impl Test {
    /// Whether a value passes; `None` if nobody can tell.
    fn holds(&self, value: &str) -> Option<bool> {
        match self {
            Self::Exists => Some(true),
            Self::In(values) => Some(values.iter().any(|listed| listed == value)),
            Self::Matches(verdicts) => verdicts.get(value).copied().flatten(),
            Self::Between(first, last) => {
                value.parse::<i64>().ok().map(|number| (*first..=*last).contains(&number))
            }
        }
    }
}

/// A word, a quoted text, or one of the signs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 15] =
    ["==", "!=", "=~", "!~", ">=", "<=", "&&", "||", ">", "<", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut unread = text.trim_start();
    while let Some(first) = unread.chars().next() {
        if precedes_pattern(tokens.last()) && !matches!(first, '\'' | '"') {
            let end = pattern_end(unread);
            if end > 0 {
                tokens.push(Token::Word(unread[..end].to_owned()));
                unread = unread[end..].trim_start();
                continue;
            }
        }
        if matches!(first, '\'' | '"') {
            let (inside, after) =
                unread[1..].split_once(first).ok_or_else(|| format!("{first} is not closed"))?;
            tokens.push(Token::Word(inside.to_owned()));
            unread = after.trim_start();
            continue;
        }
        if let Some(sign) = SIGNS.into_iter().find(|sign| unread.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            unread = unread[sign.len()..].trim_start();
            continue;
        }
        // `!exists` and `!in` are words; so is a lone `!`.
        let begin = usize::from(first == '!');
        let mut end = unread[begin..].find(ends_word).map_or(unread.len(), |end| begin + end);
        if !["!exists", "!in"].contains(&&unread[..end]) && begin == 1 {
            end = 1;
        }
        if end == 0 {
            return Err(format!("unexpected {first:?}"));
        }
        tokens.push(Token::Word(unread[..end].to_owned()));
        unread = unread[end..].trim_start();
    }
    Ok(tokens)
}

fn precedes_pattern(token: Option<&Token>) -> bool {
    match token {
        Some(Token::Sign(sign)) => matches!(*sign, "=~" | "!~"),
        Some(Token::Word(word)) => matches!(word.as_str(), "matches" | "not_matches"),
        None => false,
    }
}

/// Where a pattern without quotes ends. It may hold any sign, and so goes on to white space, or to
/// what closes a group of expressions or follows it: `(m5|c5).*` is one pattern.
fn pattern_end(text: &str) -> usize {
    let mut open = 0_usize;
    for (position, character) in text.char_indices() {
        match character {
            '(' | '[' => open += 1,
            ')' | ']' if open > 0 => open -= 1,
            ')' => return position,
            '&' | '|' if open == 0 && text[position + 1..].starts_with(character) => {
                return position;
            }
            _ if character.is_whitespace() => return position,
            _ => {}
        }
    }
    text.len()
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || "=!<>()[],&|'\"".contains(character)
}

struct Parser<'p, 'i> {
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
    patterns: &'p mut Patterns<'i>,
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.position += 1;
        Ok(token)
    }

    fn take(&mut self, sign: &'static str, word: &str) -> bool {
        let is_next = match self.peek() {
            Some(Token::Sign(next)) => *next == sign,
            // People write `AND` as well.
            Some(Token::Word(next)) => next.eq_ignore_ascii_case(word),
            None => false,
        };
        self.position += usize::from(is_next);
        is_next
    }

    fn any_of(&mut self) -> Result<Expression, String> {
        // `and` binds more tightly than `or`, as in most languages, and so is read inside of it.
        let mut parts = vec![self.all_of()?];
        while self.take("||", "or") {
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn all_of(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.operand()?];
        while self.take("&&", "and") {
            parts.push(self.operand()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn operand(&mut self) -> Result<Expression, String> {
        // Parentheses and negations recurse, so that their depth bounds the stack.
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it nests too deeply".to_owned());
        }
        let expression = match self.next()? {
            Token::Sign("(") => {
                let inner = self.any_of()?;
                if !self.take(")", ")") {
                    return Err("a parenthesis is not closed".to_owned());
                }
                inner
            }
            Token::Word(word) if word == "!" || word.eq_ignore_ascii_case("not") => {
                Expression::Not(Box::new(self.operand()?))
            }
            Token::Word(word) => self.test(subject(&word)?)?,
            Token::Sign(sign) => return Err(format!("unexpected {sign:?}")),
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self, subject: Subject) -> Result<Expression, String> {
        let (negated, test) = match self.next()? {
            Token::Sign("==") => (false, Test::In(vec![self.value()?])),
            Token::Sign("!=") => (true, Test::In(vec![self.value()?])),
            Token::Sign("=~") => (false, self.pattern(&subject)?),
            Token::Sign("!~") => (true, self.pattern(&subject)?),
            Token::Sign(">=") => (false, Test::Between(self.number()?, i64::MAX)),
            Token::Sign("<=") => (false, Test::Between(i64::MIN, self.number()?)),
            Token::Sign(">") => (false, Test::Between(self.number()?.saturating_add(1), i64::MAX)),
            Token::Sign("<") => (false, Test::Between(i64::MIN, self.number()?.saturating_sub(1))),
            Token::Sign(sign) => return Err(format!("{sign:?} is not understood")),
            Token::Word(word) => match word.as_str() {
                "equals" => (false, Test::In(vec![self.value()?])),
                "not_equals" => (true, Test::In(vec![self.value()?])),
                "matches" => (false, self.pattern(&subject)?),
                "not_matches" => (true, self.pattern(&subject)?),
                "exists" => (false, Test::Exists),
                "!exists" | "not_exists" => (true, Test::Exists),
                "in" => (false, Test::In(self.values()?)),
                "!in" | "not_in" => (true, Test::In(self.values()?)),
                word => return Err(format!("operator {word:?} is not understood")),
            },
        };
        let is = Expression::Is(Comparison::new(subject, test));
        Ok(if negated { Expression::Not(Box::new(is)) } else { is })
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            Token::Sign(sign) => Err(format!("a value was expected, found {sign:?}")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let text = self.value()?;
        text.parse().map_err(|_| format!("a whole number was expected, found {text:?}"))
    }

    fn pattern(&mut self, subject: &Subject) -> Result<Test, String> {
        let text = self.value()?;
        self.patterns.verdicts(subject, &text).map(Test::Matches)
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if !self.take("[", "[") {
            return Err("a list was expected".to_owned());
        }
        let mut values = vec![self.value()?];
        while self.take(",", ",") {
            values.push(self.value()?);
        }
        if self.take("]", "]") { Ok(values) } else { Err("a list is not closed".to_owned()) }
    }
}

fn subject(word: &str) -> Result<Subject, String> {
    match word.strip_prefix("attribute:") {
        Some(name) if !name.is_empty() => Ok(Subject::Attribute(name.to_owned())),
        _ if word == "ec2InstanceId" => Ok(Subject::InstanceId),
        _ if word == "agentConnected" => Ok(Subject::AgentConnected),
        _ if word == "runningTasksCount" || word == "task:group" => Ok(Subject::RunningTasks),
        _ => Err(format!("subject {word:?} is not understood")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    fn holds(expression: &str) -> Option<bool> {
        let mut instance = instance(1);
        for (name, value) in
            [("ecs.instance-type", "m7g.large"), ("stack", "prod"), ("ssd", ""), ("gpus", "4")]
        {
            instance.attributes.insert(name.to_owned(), value.to_owned());
        }
        let instances = [instance];
        Expression::parse(expression, &mut Patterns::new(&instances))
            .unwrap_or_else(|why| panic!("{expression}: {why}"))
            .holds(&instances[0])
    }

    #[test]
    fn the_forms_of_the_guide_are_understood() {
        for member in [
            "attribute:stack == prod",
            "attribute:stack==prod",
            "attribute:stack equals 'prod'",
            "attribute:stack != test",
            "attribute:stack in [test, prod]",
            "attribute:stack in ['test','prod']",
            "attribute:stack !in [test]",
            "attribute:stack not_in [test]",
            "attribute:ssd exists",
            "attribute:gpu !exists",
            "attribute:gpu not_exists",
            "not(attribute:stack == test)",
            "!(attribute:stack == test)",
            "attribute:ecs.instance-type =~ m7g.*",
            "attribute:ecs.instance-type matches m7g.*",
            "attribute:ecs.instance-type !~ t3.*",
            "attribute:ecs.instance-type =~ (m7g|c7g).*",
            "attribute:ecs.instance-type matches (m7g|c7g).*",
            "attribute:ecs.instance-type =~ c7g.*|m7g.*",
            "attribute:ecs.instance-type =~ [mc]7g.(large|xlarge)||attribute:gpu exists",
            "(attribute:ecs.instance-type =~ (m7g|c7g).*)&&attribute:ssd exists",
            "(attribute:stack == test or attribute:stack == prod) and attribute:ssd exists",
            "attribute:stack == test || attribute:stack == prod && attribute:ssd exists",
            "ec2InstanceId in [i-00000000000000001, i-2]",
            "agentConnected == true",
            "attribute:stack == prod AND NOT attribute:stack == test",
            "attribute:gpus >= 4",
            "attribute:gpus > 3 and attribute:gpus <= 4 and attribute:gpus < 5",
        ] {
            assert_eq!(holds(member), Some(true), "{member}");
        }
        for stranger in [
            "attribute:stack == test",
            "attribute:stack == Prod",
            "attribute:gpu exists",
            "attribute:gpu == big",
            "attribute:gpu =~ .*",
            "attribute:stack == test and attribute:ssd exists",
            "not attribute:stack == prod",
            "attribute:ecs.instance-type =~ t3.*",
            "ec2InstanceId == i-2",
            "agentConnected == false",
            "attribute:gpus > 4",
            "attribute:gpus < 4",
            "attribute:gpu >= 0",
        ] {
            assert_eq!(holds(stranger), Some(false), "{stranger}");
        }
    }

    #[test]
    fn neither_a_comparison_with_what_is_absent_holds_nor_its_opposite() {
        for (expression, differs) in [
            ("attribute:gpu == big", false),
            ("attribute:gpu != big", true),
            ("attribute:gpu not_in [big, small]", true),
            ("attribute:gpu !~ b.*", true),
            ("not attribute:gpu == big", true),
            ("not attribute:gpu >= 2", true),
            ("not (attribute:gpu == big or attribute:stack == test)", true),
            ("not (attribute:gpu == big and attribute:stack == prod)", true),
            ("not attribute:gpu != big", false),
        ] {
            assert_eq!(holds(expression), Some(false), "{expression}");
            // Unless a task runs where it could not otherwise.
            let mut patterns = Patterns::new(&[]);
            let mut heeding = Expression::parse(expression, &mut patterns).unwrap();
            heeding.heed_task_on(&instance(1));
            assert_eq!(heeding.holds(&instance(1)), Some(differs), "{expression}");
        }
        // What there is may still decide.
        assert_eq!(holds("attribute:gpu != big or attribute:stack == prod"), Some(true));
        assert_eq!(holds("not (attribute:gpu == big and attribute:stack == test)"), Some(true));
    }

    #[test]
    fn what_a_pattern_means_is_left_open_where_ecs_does_not_say() {
        assert_eq!(holds("attribute:ecs.instance-type =~ m7g"), None);
        assert_eq!(holds("attribute:ecs.instance-type !~ m7g"), None);
        assert_eq!(
            holds("attribute:ecs.instance-type =~ m7g or attribute:stack == prod"),
            Some(true)
        );
        assert_eq!(
            holds("attribute:ecs.instance-type =~ m7g and attribute:stack == test"),
            Some(false)
        );
    }

    #[test]
    fn what_depends_on_tasks_that_run_by_then_is_left_open() {
        for expression in [
            "runningTasksCount == 1",
            "runningTasksCount<5",
            "task:group == service:web",
            "not(task:group == service:web)",
            "attribute:stack >= 3",
        ] {
            assert_eq!(holds(expression), None, "{expression}");
        }
        assert_eq!(holds("runningTasksCount == 0 and attribute:stack == test"), Some(false));
    }

    #[test]
    fn what_is_not_understood_is_said_and_never_guessed() {
        let nested = format!("{}attribute:a exists{}", "(".repeat(40), ")".repeat(40));
        let long = format!("attribute:stack == {}", "a".repeat(2_000));
        for (expression, problem) in [
            ("", "ends too early"),
            ("agentVersion >= 1.2", "subject \"agentVersion\""),
            ("attribute:stack > three", "a whole number"),
            ("attribute:stack like prod", "operator \"like\""),
            ("attribute:stack == ", "ends too early"),
            ("attribute:stack == prod prod", "unexpected"),
            ("attribute:stack in prod", "a list was expected"),
            ("attribute:stack in [prod", "not closed"),
            ("(attribute:stack == prod", "not closed"),
            ("attribute:stack == 'prod", "not closed"),
            ("attribute:stack =~ (?<=a)b", "pattern"),
            (nested.as_str(), "nests too deeply"),
            (long.as_str(), "longer than 2000 characters"),
        ] {
            let why = Expression::parse(expression, &mut Patterns::new(&[])).expect_err(expression);
            assert!(why.contains(problem), "{expression}: {why}");
        }
    }
}
