//! The page of a run: instances as rows in their states over time, their tasks in them, and the API
//! calls below.
//!
//! Shapes are drawn in one SVG that stretches with the page: across in thousandths of the run,
//! downwards in pixels. Texts and marks stand above it in HTML, which does not stretch.

use std::collections::BTreeMap;

use askama::Template;
use jiff::{SignedDuration, Timestamp};

use crate::lanes::lanes;
use crate::numbers::clock;
use crate::run::{InstanceState, Run, Task, TaskState};
use crate::short_ids::ShortIds;

/// How high a label is, and how far apart lanes and rows are, in pixels.
const LABEL: usize = 20;
const LANE: usize = 7;
const TASK: usize = 5;
const HOLD: usize = 5;
const ROW_GAP: usize = 10;
const CALL: usize = 30;
/// How many parts of a run are marked on its axis at most.
const TICKS_MAX: i64 = 7;
/// The steps between marks on the axis that people count in, in seconds.
const TICK_STEPS: [i64; 12] = [5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400];
/// From here on a mark of the axis would reach beyond the page, in thousandths.
const TICK_LAST: f64 = 930.0;

/// Writes the page of a run, or of several one below the other, each by its own time: one HTML file
/// that needs nothing else.
///
/// A task takes about 400 bytes of the page, a call 60.
pub fn run_page(runs: &[Run]) -> String {
    let title = runs.first().map_or("", |run| run.title.as_str());
    RunPage { title, charts: runs.iter().map(chart).collect() }.to_string()
}

fn chart(run: &Run) -> Chart<'_> {
    let scale = Scale::new(run);
    let short = ShortIds::new(run.instances.iter().map(|instance| instance.id.as_str()));
    let (rows, height) = rows(run, scale, &short);
    let moves = moves(run, &rows);
    let (calls, calls_height) = call_rows(run, scale);
    Chart {
        run,
        length: clock(run.end.duration_since(run.start)),
        ticks: ticks(run, scale),
        acts: run
            .acts
            .iter()
            .map(|act| (scale.at(act.time), act.title.as_str(), scale.clock(act.time)))
            .collect(),
        story: run
            .story
            .iter()
            .map(|line| (scale.at(line.time), scale.clock(line.time), line))
            .collect(),
        texts: run.texts.iter().map(|text| (scale.clock(text.time), text)).collect(),
        height,
        rows,
        moves,
        calls,
        calls_height,
        throttles: run.calls.iter().filter(|call| is_throttle(call.error.as_deref())).count(),
        seconds: scale.seconds,
    }
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    title: &'a str,
    charts: Vec<Chart<'a>>,
}

/// A run as it is drawn.
struct Chart<'a> {
    run: &'a Run,
    length: String,
    ticks: Vec<(f64, String)>,
    acts: Vec<(f64, &'a str, String)>,
    story: Vec<(f64, String, &'a crate::run::Line)>,
    texts: Vec<(String, &'a crate::run::Text)>,
    height: usize,
    rows: Vec<Row>,
    moves: Vec<Curve>,
    calls: Vec<CallRow>,
    calls_height: usize,
    throttles: usize,
    seconds: f64,
}

/// From moments to thousandths of a run.
#[derive(Clone, Copy)]
struct Scale {
    start: Timestamp,
    seconds: f64,
}

impl Scale {
    fn new(run: &Run) -> Self {
        // Never zero: a run without length is drawn as one of a second.
        Self { start: run.start, seconds: run.end.duration_since(run.start).as_secs_f64().max(1.0) }
    }

    fn at(self, time: Timestamp) -> f64 {
        let seconds = time.duration_since(self.start).as_secs_f64();
        (seconds * 1000.0 / self.seconds).clamp(0.0, 1000.0)
    }

    fn clock(self, time: Timestamp) -> String {
        clock(time.duration_since(self.start))
    }
}

/// An instance.
struct Row {
    top: usize,
    height: usize,
    short: String,
    id: String,
    about: String,
    stages: Vec<Span>,
    holds: Vec<Span>,
    notices: Vec<(f64, String)>,
    tasks: Vec<TaskSpans>,
}

/// A part of a row: from where to where, how far down, and what it is.
struct Span {
    from: f64,
    width: f64,
    top: usize,
    class: &'static str,
    about: String,
}

/// A task with the parts of its life.
struct TaskSpans {
    /// Its position in the run.
    index: usize,
    name: String,
    id: String,
    spans: Vec<Span>,
    /// Where it was cut off, and how far down, if it was.
    cut_off: Option<(f64, usize)>,
    from: f64,
    until: f64,
    middle: usize,
}

/// From a task to the one that took its place.
struct Curve {
    is_lost: bool,
    from: (f64, usize),
    to: (f64, usize),
}

/// The calls of one operation.
struct CallRow {
    top: usize,
    operation: String,
    count: usize,
    /// Where, whether AWS refused, and what happened.
    calls: Vec<(f64, bool)>,
    refused: String,
}

fn rows(run: &Run, scale: Scale, short: &ShortIds) -> (Vec<Row>, usize) {
    let mut top = 0;
    let mut rows = Vec::new();
    for instance in &run.instances {
        let tasks =
            run.tasks.iter().enumerate().filter(|(_, task)| task.instance_id == instance.id);
        let mut tasks: Vec<_> = tasks.collect();
        // Stable: in the order of the run otherwise. Daemon tasks come last, as they move nowhere.
        tasks.sort_by_key(|(_, task)| task.is_daemon);
        let extents: Vec<_> = tasks.iter().map(|(_, task)| extent(task, scale)).collect();
        let (lane_of, lane_count) = lanes(&extents);
        let band = LABEL + HOLD + lane_count.max(1) * LANE + 4;
        let stages = with_ends(&instance.stages, run.end).filter_map(|(from, until, state)| {
            let (class, words) = match state {
                InstanceState::Active => ("active", "ACTIVE"),
                InstanceState::Draining => ("draining", "DRAINING"),
                InstanceState::Gone => return None,
            };
            let about = format!("{} is {words}", short.of(&instance.id));
            Some(span(scale, (from, until), top + LABEL, class, about))
        });
        let holds = run.holds.iter().filter(|hold| hold.instance_id == instance.id);
        rows.push(Row {
            top,
            height: band,
            short: short.of(&instance.id),
            id: instance.id.clone(),
            about: instance.about.clone(),
            stages: stages.collect(),
            holds: holds
                .map(|hold| {
                    span(scale, (hold.from, hold.until), top + LABEL, "hold", hold.about.clone())
                })
                .collect(),
            notices: instance
                .notices
                .iter()
                .map(|&time| {
                    (scale.at(time), format!("{}: interruption notice", scale.clock(time)))
                })
                .collect(),
            tasks: tasks
                .into_iter()
                .zip(lane_of)
                .map(|((index, task), lane)| {
                    task_spans(index, task, top + LABEL + HOLD + 2 + lane * LANE, run, scale)
                })
                .collect(),
        });
        top += band + ROW_GAP;
    }
    (rows, top)
}

/// From where to where a task is drawn.
fn extent(task: &Task, scale: Scale) -> (f64, f64) {
    let from = task.stages.first().map_or(0.0, |(time, _)| scale.at(*time));
    let ended = task.stages.iter().find(|(_, state)| has_ended(*state));
    (from, ended.map_or(1000.0, |(time, _)| scale.at(*time)))
}

fn has_ended(state: TaskState) -> bool {
    matches!(state, TaskState::Stopped | TaskState::CutOff)
}

fn task_spans(index: usize, task: &Task, top: usize, run: &Run, scale: Scale) -> TaskSpans {
    let mut spans = Vec::new();
    let mut cut_off = None;
    for (from, until, state) in with_ends(&task.stages, run.end) {
        let (class, words) = match state {
            TaskState::Starting => ("starting", "starts"),
            TaskState::Running if task.is_daemon => ("daemon", "runs"),
            TaskState::Running => ("running", "runs"),
            TaskState::Stopping => ("stopping", "stops"),
            TaskState::Stopped => continue,
            TaskState::CutOff => {
                cut_off = Some((scale.at(from), top));
                continue;
            }
        };
        let about =
            format!("{} {words}, {} to {}", task.name, scale.clock(from), scale.clock(until));
        spans.push(span(scale, (from, until), top, class, about));
    }
    let (from, until) = extent(task, scale);
    TaskSpans {
        index,
        name: task.name.clone(),
        id: task.instance_id.clone(),
        spans,
        cut_off: cut_off.filter(|_| !task.is_daemon),
        from,
        until,
        middle: top + TASK / 2,
    }
}

/// Each stage with its end: the next one's beginning, or that of the run's end.
fn with_ends<S: Copy>(
    stages: &[(Timestamp, S)],
    end: Timestamp,
) -> impl Iterator<Item = (Timestamp, Timestamp, S)> + '_ {
    let ends = stages.iter().skip(1).map(|(time, _)| *time).chain([end]);
    stages.iter().zip(ends).map(|(&(from, state), until)| (from, until, state))
}

fn span(
    scale: Scale,
    (from, until): (Timestamp, Timestamp),
    top: usize,
    class: &'static str,
    about: String,
) -> Span {
    let (from, until) = (scale.at(from), scale.at(until));
    Span { from, width: until - from, top, class, about }
}

fn moves(run: &Run, rows: &[Row]) -> Vec<Curve> {
    let drawn: BTreeMap<usize, &TaskSpans> =
        rows.iter().flat_map(|row| &row.tasks).map(|task| (task.index, task)).collect();
    let curves = run.moves.iter().filter_map(|(old, new)| {
        let (old, new) = (drawn.get(old)?, drawn.get(new)?);
        // From where the old task was by then, or had ended.
        Some(Curve {
            is_lost: old.cut_off.is_some(),
            from: (old.until.min(new.from), old.middle),
            to: (new.from, new.middle),
        })
    });
    curves.collect()
}

/// The operations, the most frequent first.
fn call_rows(run: &Run, scale: Scale) -> (Vec<CallRow>, usize) {
    let mut by_operation = BTreeMap::<&str, Vec<&crate::run::Call>>::new();
    for call in &run.calls {
        by_operation.entry(&call.operation).or_default().push(call);
    }
    let mut operations: Vec<_> = by_operation.into_iter().collect();
    operations.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.len()));
    let height = operations.len() * CALL;
    let rows = operations.into_iter().enumerate().map(|(position, (operation, calls))| CallRow {
        top: position * CALL,
        operation: operation.to_owned(),
        count: calls.len(),
        refused: refusals(&calls),
        calls: calls.iter().map(|call| (scale.at(call.time), call.error.is_some())).collect(),
    });
    (rows.collect(), height)
}

/// `, 2 ThrottlingException` for two that were.
fn refusals(calls: &[&crate::run::Call]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for error in calls.iter().filter_map(|call| call.error.as_deref()) {
        *counts.entry(error).or_default() += 1;
    }
    counts.into_iter().map(|(error, count)| format!(", {count} {error}")).collect()
}

/// Whether AWS refused a call because there were too many. Source: the SDKs' list of throttling
/// errors, as far as ECS, Auto Scaling and SNS use it.
fn is_throttle(error: Option<&str>) -> bool {
    error.is_some_and(|error| error.contains("Throttl") || error == "RequestLimitExceeded")
}

fn ticks(run: &Run, scale: Scale) -> Vec<(f64, String)> {
    let seconds = run.end.duration_since(run.start).as_secs().max(1);
    let step = TICK_STEPS.into_iter().find(|step| seconds / step <= TICKS_MAX);
    let step = step.unwrap_or(seconds);
    (0..=seconds / step)
        .map(|number| run.start + SignedDuration::from_secs(number * step))
        .map(|time| (scale.at(time), scale.clock(time)))
        .filter(|(at, _)| *at <= TICK_LAST)
        .collect()
}
