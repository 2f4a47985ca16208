//! What a proxy or a broken endpoint makes of an answer: an HTTP 200 all the same.

use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::fault::Fault;

/// What is received in place of an answer. A refusal is received as it is: it is no HTTP 200.
pub(super) fn broken(answer: Answer, operation: &str, fault: Option<Fault>) -> Answer {
    match fault {
        Some(Fault::EmptyAnswer) => Answer { body: String::new(), ..ok(answer) },
        Some(Fault::EmptyObject) => Answer { body: "{}".to_owned(), ..ok(answer) },
        Some(Fault::HtmlPage) => Answer {
            content_type: "text/html",
            body: "<html><head><title>Sign in</title></head><body></body></html>".to_owned(),
            ..ok(answer)
        },
        Some(Fault::NullList) if answer.status == StatusCode::OK => {
            Answer { body: with_nothing_in_it(&answer.body, operation), ..answer }
        }
        Some(Fault::TruncatedAnswer) if answer.status == StatusCode::OK => {
            let half: String = answer.body.chars().take(answer.body.chars().count() / 2).collect();
            Answer { body: half, ..answer }
        }
        _ => answer,
    }
}

fn ok(answer: Answer) -> Answer {
    Answer { status: StatusCode::OK, ..answer }
}

fn with_nothing_in_it(body: &str, operation: &str) -> String {
    match serde_json::from_str::<Map<String, Value>>(body) {
        Ok(members) => {
            let nulls = members.into_iter().map(|(key, value)| match value {
                Value::Array(_) | Value::Object(_) => (key, Value::Null),
                _ => (key, value),
            });
            Value::Object(nulls.collect()).to_string()
        }
        Err(_) => with_empty_result(body, operation).unwrap_or_else(|| body.to_owned()),
    }
}

/// `None` for an answer without a result. EC2's answers have none, but their lists in the document.
fn with_empty_result(body: &str, operation: &str) -> Option<String> {
    for list in ["instanceTypeSet", "reservationSet", "spotPriceHistorySet", "subnetSet"] {
        if let Some((before, rest)) = body.split_once(&format!("<{list}>")) {
            let (_, after) = rest.split_once(&format!("</{list}>"))?;
            return Some([before, after].concat());
        }
    }
    let (before, rest) = body.split_once(&format!("<{operation}Result>"))?;
    let (result, after) = rest.split_once(&format!("</{operation}Result>"))?;
    let empty = if result.is_empty() { String::new() } else { format!("<{operation}Result/>") };
    Some([before, &empty, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(body: &str, operation: &str, fault: Fault) -> String {
        let answer = Answer {
            status: StatusCode::OK,
            content_type: "text/xml",
            request_id: String::new(),
            error_type: None,
            body: body.to_owned(),
        };
        let received = broken(answer, operation, Some(fault));
        assert_eq!(received.status, StatusCode::OK);
        received.body
    }

    #[test]
    fn an_answer_is_received_without_what_it_is_about() {
        let tasks = "{\"nextToken\":\"1\",\"taskArns\":[\"arn-1\"]}";
        assert_eq!(
            received(tasks, "ListTasks", Fault::NullList),
            "{\"nextToken\":\"1\",\"taskArns\":null}"
        );
        assert_eq!(received(tasks, "ListTasks", Fault::TruncatedAnswer), tasks[..19]);

        let groups = "<AResponse><AResult><B></B></AResult><C></C></AResponse>";
        let without = "<AResponse><AResult/><C></C></AResponse>";
        assert_eq!(received(groups, "A", Fault::NullList), without);
        let completed = "<AResponse><AResult></AResult><C></C></AResponse>";
        assert_eq!(
            received(completed, "A", Fault::NullList),
            "<AResponse><C></C></AResponse>",
            "an empty result is an answer"
        );
    }

    #[test]
    fn what_stands_between_answers_with_success_whatever_aws_would_have_answered() {
        let refusal = Answer {
            status: StatusCode::BAD_REQUEST,
            content_type: "text/xml",
            request_id: String::new(),
            error_type: None,
            body: "<ErrorResponse/>".to_owned(),
        };
        let page = broken(refusal.clone(), "Publish", Some(Fault::HtmlPage));
        assert_eq!((page.status, page.content_type), (StatusCode::OK, "text/html"));
        assert_eq!(broken(refusal.clone(), "Publish", Some(Fault::TruncatedAnswer)), refusal);
    }
}
