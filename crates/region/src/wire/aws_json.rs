//! The protocol awsJson1.1, as far as ECS speaks it: input structures, pages of lists and answers.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::members::{Misfit, json_misfit};
use crate::fault::Fault;
use crate::world::World;
use crate::world::ecs::{Cluster, arn};

const INVALID: &str = "InvalidParameterException";

pub(super) const PAGE_MAX: u64 = 100;

pub(super) const DESCRIBE_MAX: usize = 100;

pub(super) fn answer(request_id: String, result: Result<String, Refusal>) -> Answer {
    let content_type = "application/x-amz-json-1.1";
    match result {
        Ok(body) => Answer {
            status: http::StatusCode::OK,
            content_type,
            request_id,
            error_type: None,
            body,
        },
        Err(Refusal { status, code, message }) => {
            let body = json!({"__type": code, "message": message}).to_string();
            Answer { status, content_type, request_id, error_type: None, body }
        }
    }
}

/// An input without its token, and whether it has one.
pub(super) fn question(body: &[u8]) -> (String, bool) {
    let mut input: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = input.as_object_mut().and_then(|input| input.remove("nextToken"));
    (input.to_string(), token.is_some())
}

/// The input of an operation, with no member that is not simulated.
pub(super) fn read_input(operation: &str, body: &[u8]) -> Result<Value, Refusal> {
    read_input_or(operation, body, INVALID)
}

/// The same for a service that has another code for what it does not take.
pub(super) fn read_input_or(operation: &str, body: &[u8], code: &str) -> Result<Value, Refusal> {
    let no_input = |message: String| Refusal::new("SerializationException", message);
    let input: Value = serde_json::from_slice(body).map_err(|error| no_input(error.to_string()))?;
    if !input.is_object() {
        return Err(no_input("The input must be an object.".to_owned()));
    }
    match json_misfit(operation, &input) {
        None => Ok(input),
        Some(Misfit::Unknown(path)) => {
            Err(Refusal::new(code, format!("The simulated Region knows no {path} here.")))
        }
        Some(Misfit::OfAnotherType(path)) => Err(no_input(format!("{path} is of another type."))),
    }
}

/// An input structure, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) value: &'a Value,
    /// What befalls the call, if it changes the answer.
    pub(super) fault: Option<Fault>,
}

impl<'a> Input<'a> {
    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>, Refusal> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::new("SerializationException", format!("{key} must be text"))),
        }
    }

    /// A whole number from 0, if the call names one. The model's integers have 32 bits.
    pub(super) fn number(self, key: &str) -> Result<Option<usize>, Refusal> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .and_then(|number| usize::try_from(number).ok())
                .map(Some)
                .ok_or_else(|| {
                    invalid(format!("{key} must be a whole number from 0 to 2147483647."))
                }),
        }
    }

    pub(super) fn list(self, key: &str, max_items: usize) -> Result<&'a [Value], Refusal> {
        let list =
            self.value.get(key).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        match list.len() {
            // An absent list is treated as an empty one: both are the caller's mistake.
            0 => Err(invalid(format!("{key} can not be empty."))),
            len if len > max_items => {
                Err(invalid(format!("{key} can have at most {max_items} items.")))
            }
            _ => Ok(list),
        }
    }

    pub(super) fn texts(self, key: &str, max_items: usize) -> Result<Vec<&'a str>, Refusal> {
        self.list(key, max_items)?
            .iter()
            .map(|item| {
                item.as_str().ok_or_else(|| {
                    Refusal::new("SerializationException", format!("{key} must be texts"))
                })
            })
            .collect()
    }

    /// What the call asks for beside what is always described. What is not simulated is refused.
    pub(super) fn included(self, known: &[&str]) -> Result<Vec<&'a str>, Refusal> {
        let items = self.value["include"].as_array().into_iter().flatten();
        let words: Vec<_> = items.map(|item| item.as_str().unwrap_or_default()).collect();
        match words.iter().find(|word| !known.contains(word)) {
            None => Ok(words),
            Some(word) => Err(invalid(format!("The simulated Region includes no {word} here."))),
        }
    }

    /// Whether a list includes what has the launch type EC2: nothing else is simulated.
    pub(super) fn includes_ec2(self) -> Result<bool, Refusal> {
        match self.text("launchType")? {
            None | Some("EC2") => Ok(true),
            Some("FARGATE" | "EXTERNAL" | "MANAGED_INSTANCES") => Ok(false),
            Some(word) => Err(invalid(format!("Launch type {word} is not valid."))),
        }
    }

    /// The cluster that the call names, by name or ARN; `default` if it names none.
    pub(super) fn cluster(self, world: &World) -> Result<(&str, &Cluster), Refusal> {
        let name = name_of("cluster", self.text("cluster")?.unwrap_or("default"))?;
        world
            .clusters
            .get_key_value(name)
            .map(|(name, cluster)| (name.as_str(), cluster))
            .ok_or_else(|| Refusal::new("ClusterNotFoundException", "Cluster not found."))
    }
}

/// Cuts a list into pages by `maxResults` and `nextToken`.
pub(super) fn page<T: Into<Value>>(
    input: Input<'_>,
    key: &str,
    items: Vec<T>,
) -> Result<Value, Refusal> {
    page_of(input, key, items, PAGE_MAX, PAGE_MAX)
}

/// Like `page`, with its own default and maximum of `maxResults`.
pub(super) fn page_of<T: Into<Value>>(
    input: Input<'_>,
    key: &str,
    items: Vec<T>,
    default_size: u64,
    max_size: u64,
) -> Result<Value, Refusal> {
    let size = match input.value.get("maxResults") {
        None | Some(Value::Null) => default_size,
        Some(value) => value
            .as_u64()
            .filter(|size| (1..=max_size).contains(size))
            .ok_or_else(|| invalid(format!("maxResults should be between 1 and {max_size}.")))?,
    };
    // A page of nothing with a token: a client that stops at the first empty page would miss the
    // rest.
    let size = if input.fault == Some(Fault::EmptyPage) { 0 } else { size };
    let list = list_asked_for(input, key);
    let (start, pages) = match input.text("nextToken")? {
        None => (0, 0),
        Some(token) => read_token(token, &list).ok_or_else(|| invalid("Invalid token"))?,
    };
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).min(items.len());
    let has_next_page = end < items.len();
    let items = items.into_iter().take(end).skip(start).map(Into::into).collect();
    let mut output = Map::new();
    output.insert(key.to_owned(), Value::Array(items));
    if has_next_page {
        let token = format!("{list}-{end}-{}", pages.saturating_add(1));
        output.insert("nextToken".to_owned(), json!(token));
    }
    Ok(Value::Object(output))
}

/// Reads where to go on, and how many pages came before, so that no two tokens are alike. What AWS
/// answers to a token of another list, or of another filter, is not documented; it is none here.
fn read_token(token: &str, list: &str) -> Option<(usize, usize)> {
    let (start, pages) = token.strip_prefix(list)?.strip_prefix('-')?.split_once('-')?;
    Some((start.parse().ok()?, pages.parse().ok()?))
}

/// What a token is of: everything that a call asks for but which page, and of which size.
fn list_asked_for(input: Input<'_>, key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    for (member, value) in input.value.as_object().into_iter().flatten() {
        if !matches!(member.as_str(), "maxResults" | "nextToken") {
            (member, value.to_string()).hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}

/// The name of a resource of the account, given by itself or as an ARN.
///
/// # Errors
/// An ARN of another kind is refused (aws-cli issue 7875).
pub(super) fn name_of<'a>(kind: &str, name_or_arn: &'a str) -> Result<&'a str, Refusal> {
    if !name_or_arn.starts_with("arn:") {
        return Ok(name_or_arn);
    }
    match own_resource(name_or_arn)?.split_once('/') {
        Some((its_kind, name)) if its_kind == kind => Ok(name),
        _ => Err(invalid(format!("Invalid identifier: {name_or_arn} is no {kind}"))),
    }
}

/// The id of a resource of a cluster, given by itself or as an ARN, which may be of the old form
/// without the cluster.
///
/// # Errors
/// An ARN of another cluster is refused (aws-toolkit-vscode issue 2915), as is one of another kind
/// (aws-cli issue 7875).
pub(super) fn id_in<'a>(
    kind: &str,
    cluster_name: &str,
    id_or_arn: &'a str,
) -> Result<&'a str, Refusal> {
    if !id_or_arn.starts_with("arn:") {
        return Ok(id_or_arn);
    }
    let mut parts = own_resource(id_or_arn)?.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(its_kind), ..) if its_kind != kind => {
            Err(invalid(format!("Unsupported resource type: {its_kind}")))
        }
        (_, Some(its_cluster), Some(id)) if its_cluster == cluster_name => Ok(id),
        (_, Some(its_cluster), Some(_)) => Err(invalid(format!(
            "Invalid identifier: Identifier is for cluster {its_cluster}. Your cluster is \
             {cluster_name}"
        ))),
        (_, id, _) => Ok(id.unwrap_or_default()),
    }
}

/// What follows the account in an ARN of ECS. How AWS refuses those of another Region or account is
/// not documented.
fn own_resource(arn: &str) -> Result<&str, Refusal> {
    arn.strip_prefix(&self::arn("")).ok_or_else(|| {
        invalid(format!("Invalid identifier: {arn} is not of this account and Region"))
    })
}

/// What follows the account in an ARN of ECS, by its parts: the kind of a resource, and its names.
pub(super) fn arn_parts(arn: &str) -> Result<Vec<&str>, Refusal> {
    own_resource(arn).map(|resource| resource.split('/').collect())
}

/// The ARN of a resource of a cluster, if it is not given as one.
pub(super) fn arn_of(kind: &str, cluster: &str, id_or_arn: &str) -> String {
    if id_or_arn.starts_with("arn:") {
        return id_or_arn.to_owned();
    }
    arn(&format!("{kind}/{cluster}/{id_or_arn}"))
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(INVALID, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_taken_from_an_arn_of_something_else() {
        assert_eq!(name_of("cluster", "shop"), Ok("shop"));
        assert_eq!(name_of("cluster", &arn("cluster/shop")), Ok("shop"));
        for wrong in [arn("service/shop"), arn("cluster/shop").replace("eu-west-1", "eu-west-2")] {
            assert_eq!(name_of("cluster", &wrong).unwrap_err().code, "InvalidParameterException");
        }
        assert_eq!(arn_of("task", "shop", "a/b"), arn("task/shop/a/b"));
    }

    #[test]
    fn an_arn_of_something_else_is_refused() {
        let id_of = |id_or_arn: &str| id_in("task", "shop", id_or_arn).map(str::to_owned);
        assert_eq!(id_of("t1").unwrap(), "t1");
        assert_eq!(id_of(&arn("task/shop/t1")).unwrap(), "t1");
        assert_eq!(id_of(&arn("task/t1")).unwrap(), "t1");
        for (wrong, message) in [
            (arn("task/till/t1"), "Identifier is for cluster till. Your cluster is shop"),
            (arn("container-instance/shop/t1"), "Unsupported resource type: container-instance"),
            (arn("task/shop/t1").replace("eu-west-1", "eu-west-2"), "not of this account and"),
            (arn("task/shop/t1").replace("1111", "9999"), "not of this account and"),
        ] {
            let refusal = id_of(&wrong).unwrap_err();
            assert_eq!(refusal.code, "InvalidParameterException");
            assert!(refusal.message.contains(message), "{}", refusal.message);
        }
    }
}
