//! The query protocol, as Auto Scaling, SNS and STS speak it: a form comes in, XML goes out.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::StatusCode;

use super::answer::{Answer, Refusal};
use super::members::{Misfit, form_misfit};
use crate::world::autoscaling::Refused;

const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

const ELASTIC_LOAD_BALANCING: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

const SNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The operation of a form; `None` if the body is not a form with an `Action`.
pub(super) fn operation(body: &[u8]) -> Option<String> {
    form_urlencoded::parse(body)
        .find(|(key, _)| key == "Action")
        .map(|(_, value)| value.into_owned())
}

/// A form without its token, and whether it has one.
pub(super) fn question(body: &[u8]) -> (String, bool) {
    let mut fields: BTreeMap<_, _> = form_urlencoded::parse(body).collect();
    let token = fields.remove("NextToken");
    (format!("{fields:?}"), token.is_some())
}

/// Whether an operation is one of EC2's: a form does not name its service.
pub(super) fn is_of_ec2(operation: &str) -> bool {
    matches!(
        operation,
        "DescribeInstanceAttribute"
            | "DescribeInstanceTypes"
            | "DescribeInstances"
            | "DescribeSpotPriceHistory"
            | "DescribeInstanceStatus"
            | "DescribeLaunchTemplates"
            | "DescribeSubnets"
    )
}

pub(super) fn answer(
    request_id: String,
    operation: &str,
    result: Result<String, Refusal>,
) -> Answer {
    let content_type = "text/xml";
    let id = element("RequestId", &request_id);
    // A form does not name its service; these are the operations that are not Auto Scaling's.
    let namespace = match operation {
        "Publish" | "CreateTopic" => SNS,
        "DescribeTargetGroups" => ELASTIC_LOAD_BALANCING,
        "GetCallerIdentity" => STS,
        _ => AUTO_SCALING,
    };
    match result {
        // EC2's own form of the protocol. Source: EC2 API Reference, Query-Requests and
        // errors-overview.
        Ok(result) if is_of_ec2(operation) => {
            let id = element("requestId", &request_id);
            let body =
                format!("<{operation}Response xmlns=\"{EC2}\">{id}{result}</{operation}Response>");
            Answer { status: StatusCode::OK, content_type, request_id, error_type: None, body }
        }
        Err(Refusal { status, code, message }) if is_of_ec2(operation) => {
            let error = [element("Code", &code), element("Message", &message)].concat();
            let id = element("RequestID", &request_id);
            let body = format!("<Response><Errors><Error>{error}</Error></Errors>{id}</Response>");
            Answer { status, content_type, request_id, error_type: None, body }
        }
        Ok(result) => {
            let metadata = format!("<ResponseMetadata>{id}</ResponseMetadata>");
            let body = format!(
                "<{operation}Response xmlns=\"{namespace}\">{result}{metadata}\
                 </{operation}Response>"
            );
            Answer { status: StatusCode::OK, content_type, request_id, error_type: None, body }
        }
        Err(Refusal { status, code, message }) => {
            let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
            let error =
                [element("Type", kind), element("Code", &code), element("Message", &message)]
                    .concat();
            let body = format!(
                "<ErrorResponse xmlns=\"{namespace}\"><Error>{error}</Error>{id}</ErrorResponse>"
            );
            Answer { status, content_type, request_id, error_type: None, body }
        }
    }
}

/// A form of the query protocol.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// Refuses a form with a member that is not simulated, in the words of its service.
    ///
    /// Sources: EC2 API Reference, errors-overview (`UnknownParameter`); SNS API, `Publish`
    /// (`InvalidParameter`).
    pub(super) fn check(&self, operation: &str) -> Result<(), Refusal> {
        let fields = self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        match form_misfit(operation, fields) {
            None => match self.0.keys().find(|key| self.follows_a_gap(key)) {
                None => Ok(()),
                Some(key) => {
                    Err(Refusal::new("MalformedInput", format!("{key} follows a gap in its list")))
                }
            },
            Some(Misfit::OfAnotherType(path)) => {
                Err(Refusal::new("MalformedInput", format!("{path} is of another type")))
            }
            Some(Misfit::Unknown(path)) => {
                let code = match operation {
                    "CreateTopic" | "Publish" => "InvalidParameter",
                    operation if is_of_ec2(operation) => "UnknownParameter",
                    _ => "ValidationError",
                };
                Err(Refusal::new(code, format!("The simulated Region knows no {path} here")))
            }
        }
    }

    /// Whether a number in a key is neither 1 nor follows another: whoever reads the list up to its
    /// end would not come to it.
    fn follows_a_gap(&self, key: &str) -> bool {
        let has_item = |item: &str| {
            let next = self.0.range(item.to_owned()..).next();
            next.and_then(|(key, _)| key.strip_prefix(item))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let parts: Vec<_> = key.split('.').collect();
        (1..parts.len()).any(|at| match parts[at].parse::<u32>() {
            Ok(1) => parts[at] != "1",
            Ok(number) => {
                let list = parts[..at].join(".");
                number == 0 || !has_item(&format!("{list}.{}", number - 1))
            }
            Err(_) => false,
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, Refusal> {
        self.text(key)
            .ok_or_else(|| invalid(format!("1 validation error detected: {key} is required")))
    }

    pub(super) fn required_bool(&self, key: &str) -> Result<bool, Refusal> {
        self.required(key)?;
        Ok(self.bool(key)?.unwrap_or_default())
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, Refusal> {
        let parsed = self.text(key).map(str::parse).transpose();
        parsed.map_err(|_| invalid(format!("{key} must be true or false")))
    }

    /// A number, within the bounds of the service model.
    pub(super) fn number(&self, key: &str, min: i32, max: i32) -> Result<Option<i32>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(format!("{key} must be from {min} to {max}"))),
        }
    }

    /// The items `KEY.member.1`, `KEY.member.2`, …
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        // A gap in the numbers ends the list.
        (1..)
            .map_while(|number| self.0.get(&format!("{key}.member.{number}")))
            .map(String::as_str)
            .collect()
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { code, message }: Refused) -> Self {
        let refusal = Self::new(code, message);
        match code {
            // An HTTP 500, although the model calls it the sender's fault (Auto Scaling API model,
            // `IdempotentCallInProgressFault`).
            "IdempotentCallInProgress" => {
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..refusal }
            }
            _ => refusal,
        }
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message)
}

pub(super) fn member(xml: &str) -> String {
    format!("<member>{xml}</member>")
}

pub(super) fn element(name: &str, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Not allowed in XML 1.0 as they are.
            control if control.is_control() => {
                let _ = write!(escaped, "&#x{:x};", u32::from(control));
            }
            _ => escaped.push(character),
        }
    }
    format!("<{name}>{escaped}</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_gap_in_a_list_is_refused_and_not_left_out() {
        let check = |fields: &str| {
            let form = format!("Action=DescribeInstances&{fields}");
            Form::read(form.as_bytes()).check("DescribeInstances").map_err(|refusal| refusal.code)
        };
        let two = "Filter.1.Name=a&Filter.1.Value.1=b&Filter.1.Value.2=c&Filter.2.Name=d";
        assert_eq!(check(two), Ok(()));
        for gap in [
            "Filter.2.Name=a",
            "Filter.0.Name=a",
            "Filter.01.Name=a",
            "Filter.1.Name=a&Filter.1.Value.2=b",
            "Filter.10.Name=a&Filter.2.Name=a&Filter.1.Name=a",
        ] {
            assert_eq!(check(gap), Err("MalformedInput".to_owned()), "{gap}");
        }
    }
}
