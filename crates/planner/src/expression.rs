//! `memberOf` expressions of the cluster query language, as far as attributes and instance ids tell
//! them.
//!
//! Source: ECS Developer Guide, cluster-query-language. What is not understood (another subject, a
//! pattern that cannot be read) is an error that says so, never a guess: its tasks stay where they
//! are.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::inventory::Instance;

/// An expression that was understood.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Is { subject: Subject, test: Test },
}

/// What is asked about an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    InstanceId,
    Attribute(String),
}

/// What is asked of it.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Exists,
    In(Vec<String>),
    Matches { whole: Regex, anywhere: Regex },
}

/// How deep parentheses and `not` may nest: an expression has 2,000 characters at most, and a
/// person wrote it.
const DEPTH_MAX: usize = 32;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, in a few words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0 };
        let expression = parser.any_of()?;
        match parser.peek() {
            None => Ok(expression),
            Some(token) => Err(format!("unexpected {token:?}")),
        }
    }

    /// Whether an instance is a member; `None` if that depends on how ECS reads a pattern.
    pub(crate) fn holds(&self, instance: &Instance) -> Option<bool> {
        match self {
            Self::And(parts) => fold(parts, instance, false),
            Self::Or(parts) => fold(parts, instance, true),
            // What is not known stays so under a negation.
            Self::Not(inner) => inner.holds(instance).map(|holds| !holds),
            Self::Is { subject, test } => test.holds(subject.value(instance)),
        }
    }

    /// Whether it asks for a pattern: nothing else can be read in two ways.
    pub(crate) fn has_pattern(&self) -> bool {
        match self {
            Self::And(inner) | Self::Or(inner) => inner.iter().any(Self::has_pattern),
            Self::Not(inner) => inner.has_pattern(),
            Self::Is { test, .. } => matches!(test, Test::Matches { .. }),
        }
    }

    /// Adds the subjects that it asks about.
    pub(crate) fn subjects<'a>(&'a self, into: &mut BTreeSet<&'a Subject>) {
        match self {
            Self::And(inner) | Self::Or(inner) => inner.iter().for_each(|part| part.subjects(into)),
            Self::Not(inner) => inner.subjects(into),
            Self::Is { subject, .. } => {
                into.insert(subject);
            }
        }
    }
}

/// The first part that is `decisive` decides; then any that is not known; else the opposite holds.
fn fold(parts: &[Expression], instance: &Instance, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.holds(instance) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            // The next part may still decide, whatever this one means.
            None => result = None,
        }
    }
    result
}

impl Subject {
    /// Its value for an instance; `None` if it has no such attribute.
    pub(crate) fn value<'a>(&self, instance: &'a Instance) -> Option<&'a str> {
        match self {
            Self::InstanceId => Some(instance.instance_id.as_str()),
            Self::Attribute(name) => {
                instance.attributes.get(name).map(String::as_str).or(match name.as_str() {
                    // The built-in attributes that the inventory knows anyhow.
                    "ecs.availability-zone" => Some(&instance.zone),
                    "ecs.instance-type" => Some(&instance.instance_type),
                    _ => None,
                })
            }
        }
    }
}

impl Test {
    /// An attribute that is not there equals nothing and matches nothing.
    fn holds(&self, value: Option<&str>) -> Option<bool> {
        let Some(value) = value else { return Some(false) };
        match self {
            Self::Exists => Some(true),
            Self::In(values) => Some(values.iter().any(|listed| listed == value)),
            // The guide does not say whether a pattern must match the whole value.
            Self::Matches { whole, anywhere } => {
                match (whole.is_match(value), anywhere.is_match(value)) {
                    (true, _) => Some(true),
                    (false, false) => Some(false),
                    (false, true) => None,
                }
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
        // A pattern may hold any sign, so what follows `=~` is read to the next space outside of
        // brackets.
        if matches!(tokens.last(), Some(Token::Sign("=~" | "!~"))) && !matches!(first, '\'' | '"') {
            let end = unread.find([' ', ')', '&', '|']).unwrap_or(unread.len());
            tokens.push(Token::Word(unread[..end].to_owned()));
            unread = unread[end..].trim_start();
            continue;
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

fn ends_word(character: char) -> bool {
    character.is_whitespace() || "=!<>()[],&|'\"".contains(character)
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
}

impl Parser {
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
            Some(Token::Word(next)) => next == word,
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
            Token::Word(word) if word == "!" || word == "not" => {
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
            Token::Sign("=~") => (false, pattern(&self.value()?)?),
            Token::Sign("!~") => (true, pattern(&self.value()?)?),
            Token::Sign(sign) => return Err(format!("{sign:?} is not understood")),
            Token::Word(word) => match word.as_str() {
                "equals" => (false, Test::In(vec![self.value()?])),
                "not_equals" => (true, Test::In(vec![self.value()?])),
                "matches" => (false, pattern(&self.value()?)?),
                "not_matches" => (true, pattern(&self.value()?)?),
                "exists" => (false, Test::Exists),
                "!exists" | "not_exists" => (true, Test::Exists),
                "in" => (false, Test::In(self.values()?)),
                "!in" | "not_in" => (true, Test::In(self.values()?)),
                word => return Err(format!("operator {word:?} is not understood")),
            },
        };
        // Negated tests become `Not`, so that an attribute that is missing passes `!=` and `!~`
        // alike.
        let is = Expression::Is { subject, test };
        Ok(if negated { Expression::Not(Box::new(is)) } else { is })
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            Token::Sign(sign) => Err(format!("a value was expected, found {sign:?}")),
        }
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
        _ => Err(format!("subject {word:?} is not understood")),
    }
}

fn pattern(text: &str) -> Result<Test, String> {
    Ok(Test::Matches { whole: regex(&format!("^(?:{text})$"))?, anywhere: regex(text)? })
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| format!("pattern {text:?} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    fn holds(expression: &str) -> Option<bool> {
        let mut instance = instance(1);
        for (name, value) in [("ecs.instance-type", "m7g.large"), ("stack", "prod"), ("ssd", "")] {
            instance.attributes.insert(name.to_owned(), value.to_owned());
        }
        Expression::parse(expression)
            .unwrap_or_else(|why| panic!("{expression}: {why}"))
            .holds(&instance)
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
            "attribute:gpu != big",
            "not(attribute:stack == test)",
            "!(attribute:stack == test)",
            "attribute:ecs.instance-type =~ m7g.*",
            "attribute:ecs.instance-type matches m7g.*",
            "attribute:ecs.instance-type !~ t3.*",
            "(attribute:stack == test or attribute:stack == prod) and attribute:ssd exists",
            "attribute:stack == test || attribute:stack == prod && attribute:ssd exists",
            "ec2InstanceId in [i-00000000000000001, i-2]",
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
        ] {
            assert_eq!(holds(stranger), Some(false), "{stranger}");
        }
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
    fn what_is_not_understood_is_said_and_never_guessed() {
        let nested = format!("{}attribute:a exists{}", "(".repeat(40), ")".repeat(40));
        for (expression, problem) in [
            ("", "ends too early"),
            ("task:group == service:web", "subject \"task:group\""),
            ("runningTasksCount == 0", "subject \"runningTasksCount\""),
            ("agentVersion >= 1.2", "subject \"agentVersion\""),
            ("attribute:stack > 3", "\">\""),
            ("attribute:stack like prod", "operator \"like\""),
            ("attribute:stack == ", "ends too early"),
            ("attribute:stack == prod prod", "unexpected"),
            ("attribute:stack in prod", "a list was expected"),
            ("attribute:stack in [prod", "not closed"),
            ("(attribute:stack == prod", "not closed"),
            ("attribute:stack == 'prod", "not closed"),
            ("attribute:stack =~ (?<=a)b", "pattern"),
            (nested.as_str(), "nests too deeply"),
        ] {
            let why = Expression::parse(expression).expect_err(expression);
            assert!(why.contains(problem), "{expression}: {why}");
        }
    }
}
