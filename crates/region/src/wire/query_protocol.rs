//! The query protocol, as Auto Scaling, SNS and STS speak it: a form comes in, XML goes out.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::StatusCode;

use super::answer::{Answer, Refusal};
use crate::world::autoscaling::Refused;

const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

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

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, Refusal> {
        self.text(key)
            .ok_or_else(|| invalid(format!("1 validation error detected: {key} is required")))
    }

    pub(super) fn required_bool(&self, key: &str) -> Result<bool, Refusal> {
        self.required(key)?.parse().map_err(|_| invalid(format!("{key} must be true or false")))
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
