//! What happens in the served Region, line by line: for the terminal and for the page.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::Region;
use crate::demonstration::timeline::Timeline;
use crate::scenario;
use crate::world::delivery::Ended;
use crate::world::{Call, World};

/// How much of a function's error is shown; the rest is in its own log.
const ERROR_CHARS_MAX: usize = 200;

/// What has happened since the log began: the timeline, with each plan of the reaper, and with what
/// went wrong with invocations and AWS calls. Clones are of the same log.
#[derive(Debug, Clone)]
pub struct EventLog(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    start: Timestamp,
    timeline: Timeline,
    /// How many ended invocations, and how many calls, have been read.
    ended: usize,
    calls: usize,
    lines: Vec<String>,
}

impl EventLog {
    /// Begins now: what has happened before is not in the log.
    pub fn begin(region: &Region) -> Self {
        let world = region.world();
        Self(Arc::new(Mutex::new(Lines {
            start: world.now(),
            timeline: Timeline::begin(&world),
            ended: world.delivery.ended.len(),
            calls: world.calls.len(),
            lines: Vec::new(),
        })))
    }

    /// The lines after the first `number`, up to what has happened by now. The log grows with the
    /// history of the world, and no line is ever taken away.
    pub fn lines_after(&self, number: usize, region: &Region) -> Vec<String> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.catch_up(&region.world());
        log.lines.get(number..).unwrap_or_default().to_vec()
    }
}

impl Lines {
    fn catch_up(&mut self, world: &World) {
        let happened = self.timeline.lines(world);
        self.lines.extend(happened);
        let refused = world.calls[self.calls..].iter().filter_map(|call| self.refused(call));
        let ended = world.delivery.ended[self.ended..].iter().flat_map(|ended| self.ended(ended));
        let lines: Vec<_> = refused.chain(ended).collect();
        self.lines.extend(lines);
        (self.calls, self.ended) = (world.calls.len(), world.delivery.ended.len());
    }

    fn refused(&self, call: &Call) -> Option<String> {
        let error = call.error.as_ref()?;
        Some(format!("{}  {} is refused: {error}", self.clock(call.time), call.operation))
    }

    /// The plans of a sweep, or that a function failed.
    fn ended(&self, ended: &Ended) -> Vec<String> {
        let (function, time) = (&ended.invocation.function, self.clock(ended.time));
        match &ended.result {
            Ok(answer) if function == scenario::SCALE_IN_REAPER => {
                let clusters = answer["clusters"].as_array().into_iter().flatten();
                let texts = clusters.filter_map(|cluster| cluster["text"].as_str());
                texts.flat_map(str::lines).map(|line| format!("{time}  {line}")).collect()
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                let error: String =
                    error.chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect();
                vec![format!("{time}  function {function} failed: {error}")]
            }
        }
    }

    /// Minutes and seconds of the world's time since the log began.
    fn clock(&self, time: Timestamp) -> String {
        let seconds = time.duration_since(self.start).as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}
