//! What happened in a run, as a page draws it: plain data, put together by whoever saw it happen.

use jiff::Timestamp;

/// A run from its start to its end. Instances are named by their ids; what names one that is not in
/// the run is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it is, such as the name of the cluster.
    pub title: String,
    /// What came of it, in a sentence.
    pub result: String,
    /// Whether that is bad.
    pub is_bad: bool,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its parts, in order.
    pub acts: Vec<Act>,
    /// The instances, in the order in which they are drawn.
    pub instances: Vec<Instance>,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Tasks that took another's place: both by their index in [`Run::tasks`].
    pub moves: Vec<(usize, usize)>,
    /// The instances that a termination hook held.
    pub holds: Vec<Hold>,
    /// The API calls.
    pub calls: Vec<Call>,
    /// What happened, in words and in order.
    pub story: Vec<Line>,
    /// Longer texts, such as plans and notices to people.
    pub texts: Vec<Text>,
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When it begins.
    pub time: Timestamp,
    /// What it is about.
    pub title: String,
}

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The EC2 instance.
    pub id: String,
    /// More about it: its group and its zone.
    pub about: String,
    /// Since when it is in which state, in order.
    pub stages: Vec<(Timestamp, InstanceState)>,
    /// When EC2 gave notice to take it away.
    pub notices: Vec<Timestamp>,
}

/// Where a container instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// It takes tasks.
    Active,
    /// It takes none, and those on it move.
    Draining,
    /// It is not there.
    Gone,
}

/// A task on an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name for people.
    pub name: String,
    /// The EC2 instance that it is on.
    pub instance_id: String,
    /// Whether it is of a daemon service, and leaves with its instance.
    pub is_daemon: bool,
    /// Since when it is in which state, in order.
    pub stages: Vec<(Timestamp, TaskState)>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It is on its way.
    Starting,
    /// It runs.
    Running,
    /// It deregisters or stops.
    Stopping,
    /// It has stopped.
    Stopped,
    /// It still ran when its instance went away.
    CutOff,
}

/// A termination hook that held an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The EC2 instance.
    pub instance_id: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How it ended, in words.
    pub about: String,
}

/// An API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it took effect.
    pub time: Timestamp,
    /// The operation.
    pub operation: String,
    /// The error code, if AWS refused.
    pub error: Option<String>,
}

/// A line of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub time: Timestamp,
    /// Who did it: AWS or Ebb; empty for what tasks do.
    pub actor: String,
    /// What happened.
    pub text: String,
    /// Whether a task was lost by it.
    pub is_bad: bool,
}

/// A longer text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// When it was written.
    pub time: Timestamp,
    /// What it is.
    pub title: String,
    /// The text, with its line breaks.
    pub body: String,
}
