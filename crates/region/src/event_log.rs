//! What happens in the served Region, line by line: for the terminal and for the page.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::Region;
use crate::demonstration::story::Story;
use crate::scenario;
use crate::world::delivery::Ended;
use crate::world::{Call, World};

/// How much of a function's error is shown; the rest is in its own log.
const ERROR_CHARS_MAX: usize = 200;

/// What has happened since the log began: the story, with each plan of the reaper, and with what
/// went wrong with invocations and AWS calls. Clones are of the same log.
#[derive(Debug, Clone)]
pub struct EventLog(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    start: Timestamp,
    story: Story,
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
            story: Story::with_full_ids(&world),
            ended: world.delivery.ended.len(),
            calls: world.calls.len(),
            lines: Vec::new(),
        })))
    }

    /// The lines after the first `number`, up to what has happened by now, and how many there are
    /// in all. The log grows with the history of the world, and no line is ever taken away.
    pub fn lines_after(&self, number: usize, region: &Region) -> (Vec<String>, usize) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.catch_up(&region.world());
        (log.lines.get(number..).unwrap_or_default().to_vec(), log.lines.len())
    }
}

impl Lines {
    fn catch_up(&mut self, world: &World) {
        for line in self.story.lines(world) {
            let (clock, actor) = (self.clock(line.time), line.actor.word());
            self.lines.push(format!("{clock}  {actor:3}  {}", line.text));
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::world::delivery::Function;

    /// The lines of a log in which each function that is named here has ended like this.
    fn lines(results: &[(&str, Result<Value, String>)]) -> Vec<String> {
        let world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        let region = Region::start(world, 1.0);
        let log = EventLog::begin(&region);
        for (function, result) in results {
            let mut world = region.world();
            let added = Function::new(Duration::from_secs(30));
            world.delivery.functions.insert((*function).to_owned(), added);
            world.invoke(function, json!({}));
            let (invocation, _) = world.take_ready().remove(0);
            world.end(invocation, result.clone());
        }
        log.lines_after(0, &region).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_is_told_by_its_plans_and_an_invocation_that_went_well_not_at_all() {
        let answer = json!({"clusters": [{"text": "2 of 12 go:\n  i-1"}, {"text": "none goes"}]});
        let told = lines(&[
            (scenario::SPOT_DRAINER, Ok(json!({"outcome": "drained"}))),
            (scenario::SCALE_IN_REAPER, Ok(answer)),
        ]);
        assert_eq!(told, ["00:00  2 of 12 go:", "00:00    i-1", "00:00  none goes"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_function_is_named_with_the_beginning_of_its_error_in_one_line() {
        let error = format!("no\nroom{}", "x".repeat(900));
        let told = lines(&[(scenario::SPOT_DRAINER, Err(error))]);
        let words = "00:00  function spot-drainer failed: noroomxxx";
        assert!(told.len() == 1 && told[0].starts_with(words), "{told:?}");
        assert_eq!(told[0].len(), "00:00  function spot-drainer failed: ".len() + ERROR_CHARS_MAX);
    }
}
