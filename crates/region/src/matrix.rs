//! The crash and fault matrix, for tests: a story is played as it is, and then once for each of its
//! await points and each mishap that may befall the function there. What there is in the end must be
//! what there was without it.
//!
//! An await point is a call that is on its way, a call whose answer is on its way, or a pause. A
//! function that dies loses what it had in memory, and is run again by the rules of whatever invoked
//! it ([`crate::world::delivery`]). Which stories there are is left to the tests of the functions;
//! what harm is, to [`harm`].

mod await_point;
pub mod harm;
mod table;
mod taken_away;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

pub use self::await_point::{AwaitPoint, Mishap, Service, Stage};
use self::harm::Harm;
use self::table::Table;
use crate::fault::{Fault, Faults};
use crate::in_process::InProcess;
use crate::lambda::Invoked;
use crate::region::Region;
use crate::world::World;
use crate::world::lag::Lag;

/// Half of the time that a request, or its answer, is on its way.
const ON_THE_WAY: SignedDuration = SignedDuration::from_millis(10);

/// Calls further apart than this have a pause between them, as neither is on its way meanwhile.
const CALL_TIME: SignedDuration = SignedDuration::from_millis(100);

/// Which cases a test plays unless `WHOLE` is set: the same each time.
const SAMPLE_SEED: u64 = 7;

/// A story that is played again and again.
pub struct Story {
    /// The function that is disturbed.
    pub function: &'static str,
    /// What happens, in a few words.
    pub name: &'static str,
    /// Plays it under tokio's paused clock, and returns how the world was before and is at the end.
    pub play: Box<dyn Fn(Trial) -> (World, World) + Sync>,
    /// For how long it is disturbed: what comes later is the same again.
    pub disturbed_for: Duration,
    /// What may befall it.
    pub mishaps: Vec<Mishap>,
    /// How many cases a test plays of it, unless `WHOLE` is set.
    pub sample: usize,
    /// The topic that people are told over, in the form of JSON.
    pub people: &'static str,
    /// Why a harm has to be borne, if it has: where it is documented.
    pub documented: fn(&AwaitPoint, Mishap, &Harm) -> bool,
}

/// One playing of a story, with a mishap or without.
#[derive(Clone, Default)]
pub struct Trial {
    mishap: Option<(Timestamp, String, Mishap)>,
    invocations: Arc<Mutex<Vec<Disturbed>>>,
}

/// An invocation of the function that is disturbed.
struct Disturbed {
    function: String,
    payload: Value,
    began: Timestamp,
    ended: Option<Timestamp>,
}

impl Trial {
    /// The function that is disturbed: its process is made when there is none, and keeps what it has
    /// in memory until it dies.
    pub fn function<T, F, A, E>(
        &self,
        region: &Region,
        name: &str,
        make: impl Fn() -> T + Send + Sync + 'static,
        handle: impl Fn(Arc<T>, Value, Timestamp, Timestamp) -> F + Send + Sync + 'static,
    ) -> InProcess
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize + Send,
        E: fmt::Display + Send,
    {
        let (trial, region, function) = (self.clone(), region.clone(), name.to_owned());
        let warm: Arc<Mutex<Option<Arc<T>>>> = Arc::default();
        let invoke = move |payload: Value, deadline| -> Invoked {
            let process = lock(&warm).clone().unwrap_or_else(|| Arc::new(make()));
            let began = region.now();
            let handled = handle(Arc::clone(&process), payload.clone(), began, deadline);
            let number = trial.begin(&function, payload, began);
            let (trial, region, warm) = (trial.clone(), region.clone(), Arc::clone(&warm));
            Box::pin(async move {
                let lives = trial.killed_at().filter(|killed_at| *killed_at > began);
                let lives = lives.map_or(Duration::MAX, |killed_at| until(began, killed_at));
                let result = timeout(lives, handled).await;
                trial.end(number, region.now());
                *lock(&warm) = result.is_ok().then_some(process);
                let answer = result.map_err(|_| "killed".to_owned())?;
                let answer = answer.map_err(|error| error.to_string())?;
                serde_json::to_value(answer).map_err(|error| error.to_string())
            })
        };
        InProcess::default().with(name, invoke)
    }

    /// Lets the Region run for a while, in which the mishap happens.
    pub async fn run(&self, region: &Region, lambda: &InProcess, limit: Duration) {
        let end = region.now() + limit;
        let run = async {
            region.run(lambda, limit).await;
            // It comes back as soon as nothing more is to happen.
            sleep(until(region.now(), end)).await;
        };
        tokio::join!(run, self.disturb(region));
    }

    async fn disturb(&self, region: &Region) {
        let Some((moment, operation, mishap)) = &self.mishap else { return };
        if matches!(mishap, Mishap::Killed) {
            return;
        }
        sleep(until(region.now(), *moment)).await;
        if let Mishap::Throttled(service, time) = mishap {
            for operation in service.operations() {
                region.world().faults.plan(operation, Fault::Throttle, u32::MAX);
            }
            sleep(*time).await;
            region.world().faults = Faults::default();
            return;
        }
        let mut world = region.world();
        match mishap {
            Mishap::Killed | Mishap::Throttled(..) => {}
            Mishap::Fault(fault, calls) => world.faults.plan(operation, *fault, *calls),
            Mishap::Lag(most) => world.lag = Lag::up_to(*most, 1),
            Mishap::IdleConnections(limit) => world.idle_connections_last = Some(*limit),
            Mishap::Changed(_, change) | Mishap::Gone(_, change) => change(&mut world),
            Mishap::Doubled | Mishap::OutOfOrder => {
                let invocations = lock(&self.invocations);
                let delivered = match mishap {
                    Mishap::Doubled => invocations.last(),
                    _ => invocations.first(),
                };
                if let Some(Disturbed { function, payload, .. }) = delivered {
                    world.invoke(function, payload.clone());
                }
            }
        }
        drop(world);
        region.notify();
    }

    fn killed_at(&self) -> Option<Timestamp> {
        let (moment, _, mishap) = self.mishap.as_ref()?;
        matches!(mishap, Mishap::Killed).then_some(*moment)
    }

    fn begin(&self, function: &str, payload: Value, began: Timestamp) -> usize {
        let mut invocations = lock(&self.invocations);
        invocations.push(Disturbed { function: function.to_owned(), payload, began, ended: None });
        invocations.len() - 1
    }

    fn end(&self, number: usize, ended: Timestamp) {
        lock(&self.invocations)[number].ended = Some(ended);
    }

    /// Where the function has waited, in the order of time.
    fn await_points(&self, world: &World) -> Vec<AwaitPoint> {
        let mut points = BTreeSet::new();
        for Disturbed { began, ended, .. } in lock(&self.invocations).iter() {
            let ended = ended.unwrap_or(*began);
            let made = world.calls.iter().filter(|call| *began < call.time && call.time < ended);
            let succeeded = made.clone().filter(|call| call.error.is_none());
            let mut made = made.peekable();
            while let Some(call) = made.next() {
                let operation = &call.operation;
                let earlier = succeeded.clone().filter(|earlier| earlier.time < call.time);
                let earlier: BTreeSet<_> =
                    earlier.map(|earlier| earlier.operation.clone()).collect();
                let mut add = |moment, stage| {
                    let (operation, earlier) = (operation.clone(), earlier.clone());
                    points.insert(AwaitPoint { moment, operation, stage, earlier });
                };
                add(call.time - ON_THE_WAY, Stage::Sent);
                add(call.time + ON_THE_WAY, Stage::Answered);
                let next = made.peek().map_or(ended, |next| next.time);
                let pause = next.duration_since(call.time);
                if pause > CALL_TIME {
                    add(call.time + pause / 2, Stage::Pause);
                }
            }
        }
        points.into_iter().collect()
    }
}

/// No holder of the lock can leave half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn until(now: Timestamp, moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default()
}

/// Plays the stories, or those whose name contains what `STORY` says in the environment: each with
/// every mishap at every await point if `WHOLE` is set, with a sample otherwise; at the calls alone whose
/// name contains what `CALL` says. Prints what came of it if `REPORT` is set.
///
/// # Panics
/// If a mishap does a harm that is not documented.
#[expect(clippy::print_stdout, reason = "a test's way to speak")]
pub fn run(stories: &[Story]) {
    let (whole, report) = (is_set("WHOLE"), is_set("REPORT"));
    let mut harms = Vec::new();
    let chosen = std::env::var("STORY").unwrap_or_default();
    for story in stories.iter().filter(|story| story.name.contains(&chosen)) {
        let table = play_all(story, whole);
        if report {
            print!("{table}");
        }
        harms.extend(table.undocumented());
    }
    assert!(harms.is_empty(), "{} harms:\n{}", harms.len(), harms.join("\n"));
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Plays a story with the mishaps on all cores.
fn play_all(story: &Story, whole: bool) -> Table<'_> {
    let trial = Trial::default();
    let (before, undisturbed) = (story.play)(trial.clone());
    let mut points = trial.await_points(&undisturbed);
    points.retain(|point| point.moment < before.now() + story.disturbed_for);
    let cases = points.iter().flat_map(|point| story.mishaps.iter().map(move |it| (point, *it)));
    let cases = cases.filter(|(point, mishap)| mishap.may_befall(point));
    let call = std::env::var("CALL").unwrap_or_default();
    let cases = cases.filter(|(point, _)| point.operation.contains(&call));
    let cases: Vec<_> = if whole {
        cases.collect()
    } else {
        fastrand::Rng::with_seed(SAMPLE_SEED).choose_multiple(cases, story.sample)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share_of = |first: usize| {
        let share = cases.iter().skip(first).step_by(threads);
        let play_case = |(point, mishap): &(&AwaitPoint, Mishap)| {
            let befalls = (point.moment, point.operation.clone(), *mishap);
            let (_, after) = (story.play)(Trial { mishap: Some(befalls), ..Trial::default() });
            let seen = harm::Seen { before: &before, undisturbed: &undisturbed, after: &after };
            match mishap {
                Mishap::Gone(..) => seen.left_half_done(story.people, point.moment),
                _ => seen.done(story.people),
            }
        };
        share.map(|case| ((case.0.clone(), case.1), play_case(case))).collect::<Vec<_>>()
    };
    let results = thread::scope(|scope| {
        let started: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || share_of(first))).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .flat_map(|share| share.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let Story { function, name, mishaps, documented, .. } = story;
    Table { function, name, mishaps, documented: *documented, results }
}
