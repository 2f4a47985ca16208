//! What came of a chapter: its run for the page, its result in sentences, and what is wrong with it.

use ebb_page::Run;
use ebb_region::demonstration::recording::cut_off_sentence;
use ebb_region::world::World;

/// A chapter that was played.
pub(crate) struct Chapter(Run);

impl Chapter {
    pub(crate) fn of(run: Run) -> Self {
        Self(run)
    }

    pub(crate) fn is_bad(&self) -> bool {
        self.0.is_bad
    }

    /// What came of it, with what is wrong.
    pub(crate) fn result(&self) -> &str {
        &self.0.result
    }

    pub(crate) fn into_run(self) -> Run {
        self.0
    }
}

/// What must hold at the end of every chapter: each that does not, in a sentence.
pub(crate) fn common_problems(world: &World) -> Vec<String> {
    let failures = world.delivery.ended.iter().filter_map(|ended| ended.result.as_ref().err());
    let mut problems: Vec<String> =
        failures.map(|failure| format!("An invocation failed: {failure}")).collect();
    for (service, missing) in world.missing_tasks() {
        problems.push(format!("Service {service} is {missing} tasks short at the end."));
    }
    let cut_off = world.tasks_cut_off().len();
    if cut_off > 0 {
        problems.push(cut_off_sentence(cut_off));
    }
    problems
}

/// A problem, unless what must hold does.
pub(crate) fn unless(holds: bool, problem: impl FnOnce() -> String) -> Option<String> {
    (!holds).then(problem)
}
