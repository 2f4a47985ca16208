//! That people are not told twice: no two notifications of one cause within an hour.
//!
//! The functions have no store, and a cause may be found by each sweep, by each interruption, or by
//! two deliveries of one event. So what was told is noted where everybody who finds it looks: in an
//! attribute of a container instance, its **holder**. A cause about an instance is noted on that; one
//! about a cluster on any that stays. Whoever finds a cause
//!
//! 1. reads the notes of its holder, and leaves it if it was told within the hour;
//! 2. notes that it is about to be told, under a token of its own;
//! 3. waits, reads again, and tells it unless another token stands there by now;
//! 4. notes that it was told.
//!
//! Whoever dies between the second step and the fourth, or cannot send the notice, leaves a note that
//! keeps the cause quiet for half a minute only: who finds it after that tells it.
//!
//! The third step is for two who have both read before the first of them noted: the last note stays,
//! so that one of the two finds the other's (as in Fischer's timed mutual exclusion). It holds if a
//! note is written and read again faster than the wait takes. Where that is not so, or the
//! notes cannot be kept, [`Cause::without_notes`] says what is told. The calls are left to `ebb-aws`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::ids::ContainerInstanceArn;
use crate::vocabulary::vocabulary;

/// The attribute with the notes about an instance.
pub const INSTANCE_NOTES: &str = "ebb.notified";
/// The attribute with the notes about a cluster, of one of its container instances.
pub const CLUSTER_NOTES: &str = "ebb.cluster-notified";

/// The longest value of an attribute, which eight notes fit into: more than one instance goes through
/// in an hour. Source: ECS API, `Attribute.value`.
const VALUE_CHARS_MAX: usize = 128;

/// A cause that was told is not told again for so long.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
/// A cause that is about to be told is left to whoever has noted it for so long: longer than the note,
/// the notice and the second note may take (25 s), and shorter than Lambda waits before it runs an
/// event again (a minute; Lambda Developer Guide, invocation-async-error-handling).
const TELLING: SignedDuration = SignedDuration::from_secs(30);
/// A plan is not told again for so long.
const QUIET_PLAN: SignedDuration = SignedDuration::from_hours(24);

vocabulary! {
    /// Why people are told, of one instance or one cluster. A letter each, as many notes must fit into
    /// an attribute.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Cause {
        /// A sweep has its group terminate it.
        Terminated = "e",
        /// A sweep has drained it.
        Drained = "d",
        /// A sweep has drained it for ECS to take.
        LeftToEcs = "l",
        /// A sweep could not do what was to be done.
        Failed = "f",
        /// A sweep has set it to ACTIVE again.
        TakenBack = "b",
        /// An earlier sweep has drained it, and sweeps only plan now.
        Stranded = "s",
        /// Its drain has taken half of its time.
        StillDrains = "h",
        /// Its drain is given up.
        GivesUp = "g",
        /// Its hook's own time-out has cut tasks off.
        CutOff = "c",
        /// The cluster's fallback group does not replace what is interrupted.
        NotReplaced = "r",
        /// Instances of the cluster could go.
        Plan = "p",
        /// Nothing goes in the cluster, as many agents are disconnected.
        AgentsDisconnected = "a",
        /// Nothing goes in the cluster, as a deployment fails.
        DeploymentFails = "y",
        /// Nothing goes in the cluster, as a drain is given up.
        DrainFailed = "n",
        /// Nothing goes in the cluster, as traffic is shifted away from a zone.
        ZonalShift = "z",
        /// What a week came to in the cluster.
        Summary = "w",
    }
}

impl Cause {
    fn quiet(self) -> SignedDuration {
        if self == Self::Plan { QUIET_PLAN } else { QUIET }
    }

    /// Whether it is told where no notes can be kept, as a permission is missing or ECS does not
    /// answer. What happens once is. What every sweep finds again is told in the first half of each
    /// hour only: once an hour by a schedule of 30 minutes. A plan is not told, and stands in the log.
    pub fn without_notes(self, now: Timestamp) -> bool {
        match self {
            Self::Failed
            | Self::Stranded
            | Self::AgentsDisconnected
            | Self::DeploymentFails
            | Self::DrainFailed
            | Self::ZonalShift => now.to_zoned(TimeZone::UTC).minute() < 30,
            Self::Plan => false,
            Self::Terminated
            | Self::Drained
            | Self::LeftToEcs
            | Self::TakenBack
            | Self::StillDrains
            | Self::GivesUp
            | Self::CutOff
            | Self::NotReplaced
            | Self::Summary => true,
        }
    }
}

/// A cause, and the container instance that holds its note.
pub type Held = (ContainerInstanceArn, Cause);

/// When a cause was told last or was about to be, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    noted: Timestamp,
    token: u16,
    is_told: bool,
}

impl Note {
    /// Whether it keeps its cause quiet. The clocks of two functions may differ: one that was told in
    /// the near future was told.
    fn is_fresh(self, cause: Cause, now: Timestamp) -> bool {
        let quiet = if self.is_told { cause.quiet() } else { TELLING };
        now.duration_since(self.noted).abs() < quiet
    }
}

/// What was told about the holder of an attribute's value, such as `f@67c68a10:03f1`, or is about to
/// be, such as `F@67c68a10:03f1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Notes(BTreeMap<Cause, Note>);

impl Notes {
    /// Reads a value. What is not a note, as anybody may write the attribute, is left out.
    fn read(value: &str) -> Self {
        Self(value.split(' ').filter_map(read_note).collect())
    }

    /// Adds what is told now, or about to be. The notes that keep nothing quiet any more are left out,
    /// and the oldest ones where there are too many.
    fn add(&mut self, cause: Cause, now: Timestamp, token: u16, is_told: bool) {
        self.0.insert(cause, Note { noted: now, token, is_told });
        self.0.retain(|&cause, note| note.is_fresh(cause, now));
        while self.to_string().len() > VALUE_CHARS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, note)| note.noted).map(|(&cause, _)| cause);
            oldest.and_then(|cause| self.0.remove(&cause));
        }
    }
}

fn read_note(text: &str) -> Option<(Cause, Note)> {
    let (word, note) = text.split_once('@')?;
    let (noted, token) = note.split_once(':')?;
    let noted = Timestamp::from_second(i64::from_str_radix(noted, 16).ok()?).ok()?;
    let token = u16::from_str_radix(token, 16).ok()?;
    let cause = Cause::from_word(&word.to_ascii_lowercase())?;
    Some((cause, Note { noted, token, is_told: word == cause.as_str() }))
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (cause, Note { noted, token, is_told })) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { " " };
            let cause = cause.as_str();
            let word = if *is_told { cause.to_owned() } else { cause.to_ascii_uppercase() };
            write!(f, "{separator}{word}@{:x}:{token:04x}", noted.as_second())?;
        }
        Ok(())
    }
}

/// The causes that one invocation is about to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Those that were not told within the hour.
    pub due: BTreeSet<Held>,
    /// What is to be written, by holder.
    pub values: BTreeMap<ContainerInstanceArn, String>,
    now: Timestamp,
    token: u16,
}

/// The attribute's values, by holder.
pub type Values = HashMap<ContainerInstanceArn, String>;

impl Claim {
    /// Which of the causes are due, by the values that their holders have now.
    pub fn new(found: &BTreeSet<Held>, values: &Values, now: Timestamp, token: u16) -> Self {
        let mut notes = BTreeMap::<_, Notes>::new();
        for (holder, _) in found {
            let value = values.get(holder).map_or("", String::as_str);
            notes.insert(holder.clone(), Notes::read(value));
        }
        let is_due = |(holder, cause): &&Held| {
            let note = notes.get(holder).and_then(|notes| notes.0.get(cause));
            !note.is_some_and(|note| note.is_fresh(*cause, now))
        };
        let due: BTreeSet<_> = found.iter().filter(is_due).cloned().collect();
        for (holder, cause) in &due {
            notes.entry(holder.clone()).or_default().add(*cause, now, token, false);
        }
        notes.retain(|holder, _| due.iter().any(|(due, _)| due == holder));
        let values = notes.into_iter().map(|(holder, notes)| (holder, notes.to_string()));
        Self { values: values.collect(), due, now, token }
    }

    /// Which of them are this invocation's to tell, by the values that stand there after the wait:
    /// those that nobody else has noted since.
    pub fn granted(&self, values: &Values) -> BTreeSet<Held> {
        let is_granted = |(holder, cause): &&Held| {
            let notes = Notes::read(values.get(holder).map_or("", String::as_str));
            // A read may lag: where the own note is not to be seen yet, it is taken to be there.
            notes
                .0
                .get(cause)
                .is_none_or(|note| note.token == self.token || !note.is_fresh(*cause, self.now))
        };
        self.due.iter().filter(is_granted).cloned().collect()
    }
}

/// What is to be written, by holder, once these causes were told: by the values that stand there by
/// then, as others note other causes.
pub fn notes_of_told(
    told: &BTreeSet<Held>,
    values: &Values,
    now: Timestamp,
    token: u16,
) -> BTreeMap<ContainerInstanceArn, String> {
    let mut notes = BTreeMap::<_, Notes>::new();
    for (holder, cause) in told {
        let read = || Notes::read(values.get(holder).map_or("", String::as_str));
        notes.entry(holder.clone()).or_insert_with(read).add(*cause, now, token, true);
    }
    notes.into_iter().map(|(holder, notes)| (holder, notes.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    fn held(holder: &str, cause: Cause) -> Held {
        (ContainerInstanceArn::new(holder), cause)
    }

    /// The attribute of each container instance, as ECS has it.
    type World = Values;

    fn write(world: &mut World, claim: &Claim) {
        world.extend(claim.values.clone());
    }

    fn tell(world: &mut World, claim: &Claim, now: Timestamp) {
        write(world, claim);
        let granted = claim.granted(world);
        let values = notes_of_told(&granted, world, now, 7);
        world.extend(values);
    }

    #[test]
    fn a_cause_is_due_once_an_hour_and_others_are_not_in_its_way() {
        let mut world = World::new();
        let failed = BTreeSet::from([held("1", Cause::Failed)]);
        let both = BTreeSet::from([held("1", Cause::Failed), held("1", Cause::TakenBack)]);
        let elsewhere = BTreeSet::from([held("2", Cause::Failed)]);
        for (seconds, found, due) in [
            (0, &failed, &failed),
            (1_800, &failed, &BTreeSet::new()),
            (1_800, &elsewhere, &elsewhere),
            (3_599, &both, &BTreeSet::from([held("1", Cause::TakenBack)])),
            (3_600, &both, &failed),
        ] {
            let claim = Claim::new(found, &world, after(seconds), 7);
            assert_eq!(&claim.due, due, "{seconds}");
            tell(&mut world, &claim, after(seconds));
        }
    }

    #[test]
    fn a_plan_is_due_once_a_day() {
        let plan = BTreeSet::from([held("1", Cause::Plan)]);
        let mut world = World::new();
        let claim = Claim::new(&plan, &world, NOW, 7);
        tell(&mut world, &claim, NOW);
        for (seconds, is_due) in [(3_600, false), (86_399, false), (86_400, true)] {
            assert_eq!(!Claim::new(&plan, &world, after(seconds), 7).due.is_empty(), is_due);
        }
    }

    #[test]
    fn what_was_about_to_be_told_is_due_again_after_half_a_minute() {
        let failed = BTreeSet::from([held("1", Cause::Failed)]);
        let mut world = World::new();
        let claim = Claim::new(&failed, &world, NOW, 7);
        write(&mut world, &claim);
        for (seconds, is_due) in [(1, false), (29, false), (30, true), (60, true)] {
            let claim = Claim::new(&failed, &world, after(seconds), 8);
            assert_eq!(!claim.due.is_empty(), is_due, "{seconds}");
        }
    }

    #[test]
    fn that_a_cause_was_told_leaves_the_notes_of_others_alone() {
        let (failed, taken_back) = (held("1", Cause::Failed), held("1", Cause::TakenBack));
        let mut world = World::new();
        let claim = Claim::new(&BTreeSet::from([failed.clone()]), &world, NOW, 7);
        write(&mut world, &claim);
        let claim = Claim::new(&BTreeSet::from([taken_back.clone()]), &world, NOW, 8);
        tell(&mut world, &claim, NOW);
        world.extend(notes_of_told(&BTreeSet::from([failed.clone()]), &world, NOW, 7));
        let both = BTreeSet::from([failed, taken_back]);
        assert!(Claim::new(&both, &world, after(60), 9).due.is_empty(), "{world:?}");
    }

    #[test]
    fn what_is_no_note_keeps_nothing_quiet() {
        for value in ["", "f", "f@", "f@0", "f@0:", "f@x:1", "x@0:1", "f@0:12345"] {
            let world = World::from([(ContainerInstanceArn::new("1"), value.to_owned())]);
            let failed = BTreeSet::from([held("1", Cause::Failed)]);
            assert_eq!(Claim::new(&failed, &world, NOW, 7).due, failed, "{value}");
        }
    }

    #[test]
    fn without_notes_what_repeats_is_told_in_one_of_two_sweeps_an_hour() {
        for cause in Cause::ALL {
            let told: Vec<_> =
                (0..4).map(|sweep| cause.without_notes(after(780 + sweep * 1_800))).collect();
            let expected = match cause {
                Cause::Failed
                | Cause::Stranded
                | Cause::AgentsDisconnected
                | Cause::DeploymentFails
                | Cause::DrainFailed
                | Cause::ZonalShift => [true, false, true, false],
                Cause::Plan => [false; 4],
                _ => [true; 4],
            };
            assert_eq!(told, expected, "{cause:?}");
        }
    }

    /// One who finds a cause, step by step.
    struct Teller {
        token: u16,
        steps_done: usize,
        claim: Option<Claim>,
        told: BTreeSet<Held>,
    }

    impl Teller {
        const STEPS: usize = 3;

        fn new(token: u16) -> Self {
            Self { token, steps_done: 0, claim: None, told: BTreeSet::new() }
        }

        fn step(&mut self, found: &BTreeSet<Held>, world: &mut World) {
            match (self.steps_done, &self.claim) {
                (0, _) => self.claim = Some(Claim::new(found, world, NOW, self.token)),
                (1, Some(claim)) => write(world, claim),
                (_, Some(claim)) => self.told = claim.granted(world),
                (_, None) => {}
            }
            self.steps_done += 1;
        }
    }

    /// Whoever waits longer than a read and a write of another take, as [`Claim`] says, cannot read
    /// again between these two.
    fn waits_long_enough(order: u32) -> bool {
        let steps: Vec<_> = (0..6).map(|step| order & (1 << step) != 0).collect();
        let place = |teller, nth| {
            steps.iter().enumerate().filter(|(_, who)| **who == teller).nth(nth).unwrap().0
        };
        [false, true].iter().all(|&teller| {
            let again = place(teller, 2);
            !(place(!teller, 0) < place(teller, 1) && again < place(!teller, 1))
        })
    }

    #[test]
    fn of_two_who_find_it_at_once_exactly_one_tells_it_however_they_interleave() {
        let found = BTreeSet::from([held("1", Cause::Failed), held("2", Cause::TakenBack)]);
        let mut interleavings = 0;
        for order in 0_u32..1 << 6 {
            if order.count_ones() != 3 || !waits_long_enough(order) {
                continue;
            }
            let mut world = World::new();
            let mut tellers = [Teller::new(1), Teller::new(2)];
            for step in 0..2 * Teller::STEPS {
                tellers[usize::from(order & (1 << step) != 0)].step(&found, &mut world);
            }
            let [first, second] = &tellers;
            assert!(first.told.is_disjoint(&second.told), "order {order:b}: told twice");
            let told: BTreeSet<_> = first.told.union(&second.told).cloned().collect();
            assert_eq!(told, found, "order {order:b}");
            interleavings += 1;
        }
        assert_eq!(interleavings, 16);
    }

    #[test]
    fn a_read_that_lags_hides_no_news() {
        let failed = BTreeSet::from([held("1", Cause::Failed)]);
        let old = World::from([(ContainerInstanceArn::new("1"), "f@-1c20:0001".to_owned())]);
        let claim = Claim::new(&failed, &old, NOW, 7);
        assert_eq!(claim.due, failed);
        assert_eq!(claim.granted(&old), failed, "the own note is not to be seen yet");
        assert_eq!(claim.granted(&World::new()), failed);
    }

    proptest! {
        /// Sweeps, hops and interruptions, one after the other, which find whatever they find.
        #[test]
        fn no_cause_is_told_twice_within_an_hour(
            finds in prop::collection::vec(
                (0..2_400_i64, prop::collection::vec((0..3_usize, 0..8_usize), 0..4)),
                1..40,
            ),
        ) {
            let mut world = World::new();
            let mut last_told = BTreeMap::<Held, Timestamp>::new();
            let mut now = NOW;
            for (token, (pause, found)) in (0..).zip(finds) {
                now += SignedDuration::from_secs(pause);
                let found = found.into_iter().map(|(holder, cause)| {
                    held(&holder.to_string(), Cause::ALL[cause])
                });
                let found: BTreeSet<_> = found.collect();
                let claim = Claim::new(&found, &world, now, token);
                write(&mut world, &claim);
                for value in claim.values.values() {
                    let is_allowed =
                        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/\\: ".contains(&byte);
                    prop_assert!((1..=128).contains(&value.len()) && value.bytes().all(is_allowed));
                }
                for told in claim.granted(&world) {
                    let earlier = last_told.insert(told.clone(), now);
                    let is_quiet = earlier.is_none_or(|at| now.duration_since(at) >= QUIET);
                    prop_assert!(is_quiet, "{told:?} again after {:?}", earlier);
                }
                tell(&mut world, &claim, now);
            }
        }
    }
}
