//! Planned faults of API calls: each is for an operation and a number of its calls.

use std::collections::VecDeque;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// AWS answers that there were too many calls. Nothing is done.
    Throttle,
    /// AWS answers with HTTP 500. Nothing is done.
    ServerError,
    /// AWS answers that the caller may not do this. Nothing is done.
    Denied,
    /// Auto Scaling answers that another change of the same group is under way. Nothing is done.
    ResourceContention,
    /// Auto Scaling answers that a scaling activity of the group is in progress. Nothing is done.
    ScalingActivityInProgress,
    /// No answer ever comes. Nothing is done.
    Timeout,
    /// The connection breaks. Nothing is done.
    ConnectionReset,
    /// The call takes effect, then the connection breaks.
    AnswerLost,
    /// A list pays no attention to its filter, as some emulators do.
    FilterIgnored,
    /// A page of a list is empty although more follows. AWS allows itself that.
    EmptyPage,
    /// HTTP 200 with no body, as of a broken endpoint. Nothing is done.
    EmptyAnswer,
    /// HTTP 200 with the body `{}`, whatever the protocol. Nothing is done.
    EmptyObject,
    /// HTTP 200 with an HTML page, as of a proxy. Nothing is done.
    HtmlPage,
    /// The call takes effect, then its answer lacks what it is about: in JSON, lists and objects are
    /// `null`; in XML, the result has nothing in it, or is not there if it never has.
    NullList,
    /// The call takes effect, then its answer ends in the middle.
    TruncatedAnswer,
    /// The call takes effect, then its answer goes on with spaces for ever.
    EndlessAnswer,
}

impl Fault {
    /// Every HTTP 200 that is no answer of AWS. What comes of a call to which there is only one
    /// answer, such as `SetDesiredCapacity`, has nothing that could be `null`.
    pub const BROKEN_ANSWERS: [Self; 6] = [
        Self::EmptyAnswer,
        Self::EmptyObject,
        Self::HtmlPage,
        Self::NullList,
        Self::TruncatedAnswer,
        Self::EndlessAnswer,
    ];

    /// Every fault that a retry mends.
    pub const TRANSIENT: [Self; 11] = [
        Self::Throttle,
        Self::ServerError,
        Self::Timeout,
        Self::ConnectionReset,
        Self::AnswerLost,
        Self::EmptyAnswer,
        Self::EmptyObject,
        Self::HtmlPage,
        Self::NullList,
        Self::TruncatedAnswer,
        Self::EndlessAnswer,
    ];

    /// Whether a call that it befalls takes effect, though its caller is not told so.
    pub fn takes_effect(self) -> bool {
        matches!(
            self,
            Self::AnswerLost | Self::NullList | Self::TruncatedAnswer | Self::EndlessAnswer
        )
    }
}

/// The faults that are still to come.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    planned: VecDeque<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    operation: String,
    fault: Fault,
    calls: u32,
}

impl Faults {
    /// Plans a fault for the next `calls` calls of an operation, such as
    /// `UpdateContainerInstancesState`; calls that an earlier plan hits come first.
    pub fn plan(&mut self, operation: &str, fault: Fault, calls: u32) {
        self.planned.push_back(Planned { operation: operation.to_owned(), fault, calls });
    }

    /// Takes the fault that is planned for this call, if there is one.
    pub fn take(&mut self, operation: &str) -> Option<Fault> {
        // The first plan that fits and is not used up: plans of one operation follow each other.
        let planned = self
            .planned
            .iter_mut()
            .find(|planned| planned.operation == operation && planned.calls > 0)?;
        planned.calls -= 1;
        Some(planned.fault)
    }
}

/// Reads a fault by its name in lower case with hyphens, such as `answer-lost`, for the server's
/// control interface.
pub fn parse(name: &str) -> Option<Fault> {
    match name {
        "throttle" => Some(Fault::Throttle),
        "server-error" => Some(Fault::ServerError),
        "denied" => Some(Fault::Denied),
        "resource-contention" => Some(Fault::ResourceContention),
        "scaling-activity-in-progress" => Some(Fault::ScalingActivityInProgress),
        "timeout" => Some(Fault::Timeout),
        "connection-reset" => Some(Fault::ConnectionReset),
        "answer-lost" => Some(Fault::AnswerLost),
        "filter-ignored" => Some(Fault::FilterIgnored),
        "empty-page" => Some(Fault::EmptyPage),
        "empty-answer" => Some(Fault::EmptyAnswer),
        "empty-object" => Some(Fault::EmptyObject),
        "html-page" => Some(Fault::HtmlPage),
        "null-list" => Some(Fault::NullList),
        "truncated-answer" => Some(Fault::TruncatedAnswer),
        "endless-answer" => Some(Fault::EndlessAnswer),
        _ => None,
    }
}
