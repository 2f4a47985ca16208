//! The loop's envelope: what one hop of a drain leaves in the message for the next.
//!
//! The message is published again as it came, unknown fields untouched, with the state under one
//! key. The state comes back over a topic and is checked like any other input. What a hop does with
//! it is left to the `lifecycle-drainer`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::event::{ParseError, describe};
use crate::ids::{Cluster, ContainerInstanceArn};
use crate::lifecycle::deadline::drain_deadline;
use crate::lifecycle::settings::DRAIN_TIMEOUT_MAX;

/// The key of the state in the message.
pub const KEY: &str = "ebb";

/// The version of the state: what this release writes, and all that it reads. Around a deployment
/// or a roll-back a message may reach another release than the one that wrote it, and state whose
/// fields mean something else must not be half understood. State without a version is of this one:
/// the first releases wrote none.
const VERSION: u64 = 1;

/// More hops than the longest drain can take: 48 hours of the shortest hops, 10 seconds each, are
/// 17,280. A greater number was not counted by Ebb.
const HOPS_MAX: u64 = 20_000;

/// More container instances than an EC2 instance ever has: as many as one call describes. A longer
/// list was not written by Ebb.
pub const CONTAINER_INSTANCES_MAX: usize = 100;

/// What a hop leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffState {
    /// The number of the hop that published the message; the first is 1.
    pub hop: u64,
    /// When the first hop began.
    pub first_seen: Timestamp,
    /// When the drain gives up.
    pub deadline: Timestamp,
    /// When its container instances were first seen to be DRAINING, all of them.
    pub draining_since: Option<Timestamp>,
    /// The container instances on the EC2 instance, with their clusters, once they are found.
    pub container_instances: Vec<(Cluster, ContainerInstanceArn)>,
    /// Whether a cluster could not be searched for container instances.
    pub search_incomplete: bool,
    /// When the action was completed of an instance that only gets a new root volume: it comes back,
    /// and is to be ACTIVE again then. `None` until then, and for all others.
    pub returning_since: Option<Timestamp>,
    /// When the action ends unless another heartbeat comes, once one has proven it.
    pub action_expires: Option<Timestamp>,
    /// Whether people have been told what holds the drain.
    pub stuck_reported: bool,
}

impl HandoffState {
    /// Reads the state from a message; `None` if it carries none.
    ///
    /// # Errors
    /// If the state is not such as [`HandoffState::write`] writes.
    pub fn read(message: &Value) -> Result<Option<Self>, ParseError> {
        let Some(state) = message.get(KEY) else { return Ok(None) };
        let fields = Fields(state);
        if !state.is_object() {
            return Err(fields.error("ebb", "an object"));
        }
        // The version comes before any field: of another version, the fields may mean something
        // else.
        fields.check_version()?;
        let first_seen = fields.time("ebb.first_seen")?;
        let deadline = fields.time("ebb.deadline")?;
        // It lies before `first_seen` if the message was on its way for longer than the drain may
        // last.
        if deadline.duration_since(first_seen).abs() > DRAIN_TIMEOUT_MAX {
            return Err(fields.error("ebb.deadline", "a time within 48 hours of ebb.first_seen"));
        }
        Ok(Some(Self {
            hop: fields.hop()?,
            first_seen,
            deadline,
            draining_since: fields.optional_time("ebb.draining_since")?,
            container_instances: fields.container_instances()?,
            search_incomplete: fields.flag("ebb.search_incomplete")?.unwrap_or(false),
            returning_since: fields.optional_time("ebb.returning_since")?,
            action_expires: fields.optional_time("ebb.action_expires")?,
            stuck_reported: fields.stuck_reported()?,
        }))
    }

    /// The state as it may be in a hop that begins `now`, of a message sent at `message_time`. It has
    /// come over a topic and may be forged: times that lie ahead, or further back than an action
    /// lasts, are not believed, and the deadline follows from the others.
    pub fn bounded(
        self,
        message_time: Option<Timestamp>,
        drain_timeout: SignedDuration,
        now: Timestamp,
    ) -> Self {
        let age = now.duration_since(self.first_seen);
        let is_possible = (SignedDuration::ZERO..=DRAIN_TIMEOUT_MAX).contains(&age);
        let first_seen = if is_possible { self.first_seen } else { now };
        let draining_since = self.draining_since.map(|since| since.clamp(first_seen, now));
        Self {
            first_seen,
            deadline: drain_deadline(message_time, first_seen, draining_since, drain_timeout),
            draining_since,
            returning_since: self.returning_since.map(|since| since.min(now)),
            ..self
        }
    }

    /// The message with this state in it, in place of any other. Every other field stays as it was
    /// written, to the byte.
    ///
    /// # Errors
    /// If the message is no JSON object. None that was read as a lifecycle action is that.
    pub fn write(&self, message: &str) -> Result<String, serde_json::Error> {
        let mut state = json!({
            "version": VERSION,
            "hop": self.hop,
            "first_seen": self.first_seen,
            "deadline": self.deadline,
            "stuck_reported": self.stuck_reported,
        });
        if let Some((cluster, arn)) = self.container_instances.first() {
            // What the release before reads. It drained one container instance.
            state["cluster"] = json!(cluster);
            state["container_instance_arn"] = json!(arn);
            let listed = self.container_instances.iter();
            state["container_instances"] =
                listed.map(|(cluster, arn)| json!({"cluster": cluster, "arn": arn})).collect();
        }
        if let Some(since) = self.draining_since {
            state["draining_since"] = json!(since);
        }
        if self.search_incomplete {
            state["search_incomplete"] = json!(true);
        }
        if let Some(since) = self.returning_since {
            state["returning_since"] = json!(since);
        }
        if let Some(expires) = self.action_expires {
            state["action_expires"] = json!(expires);
        }
        // Raw values keep every other field's text as it came. Parsed and written again, numbers
        // and escapes might change.
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(message)?;
        fields.insert(KEY.to_owned(), serde_json::value::to_raw_value(&state)?);
        serde_json::to_string(&fields)
    }
}

/// The state in a message, field by field. Fields are named as dotted paths, `ebb.NAME`.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn check_version(&self) -> Result<(), ParseError> {
        match self.get("ebb.version") {
            None => Ok(()),
            Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
            Some(_) => Err(self.error("ebb.version", "version 1, which this release reads")),
        }
    }

    fn hop(&self) -> Result<u64, ParseError> {
        self.get("ebb.hop")
            .and_then(Value::as_u64)
            .filter(|hop| (1..=HOPS_MAX).contains(hop))
            .ok_or_else(|| self.error("ebb.hop", "a number of hops from 1 to 20000"))
    }

    /// The release before wrote one container instance in two fields of its own: messages are
    /// under way while this one is deployed.
    fn container_instances(&self) -> Result<Vec<(Cluster, ContainerInstanceArn)>, ParseError> {
        let field = "ebb.container_instances";
        let expected = "a list of up to 100 objects with the texts `cluster` and `arn`";
        let Some(listed) = self.get(field) else {
            return Ok(self.single_container_instance()?.into_iter().collect());
        };
        let listed = listed.as_array().filter(|list| list.len() <= CONTAINER_INSTANCES_MAX);
        let read = listed.and_then(|list| list.iter().map(container_instance).collect());
        read.ok_or_else(|| self.error(field, expected))
    }

    /// A cluster without a container instance, or the other way round, says nothing.
    fn single_container_instance(
        &self,
    ) -> Result<Option<(Cluster, ContainerInstanceArn)>, ParseError> {
        let (cluster, arn) = ("ebb.cluster", "ebb.container_instance_arn");
        match (self.text(cluster)?, self.text(arn)?) {
            (Some(cluster), Some(arn)) => {
                Ok(Some((Cluster::new(cluster), ContainerInstanceArn::new(arn))))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.error(arn, "a text beside ebb.cluster")),
            (None, Some(_)) => Err(self.error(cluster, "a text beside ebb.container_instance_arn")),
        }
    }

    /// `told` is what the release before wrote: messages are under way while this one is deployed.
    fn stuck_reported(&self) -> Result<bool, ParseError> {
        match self.flag("ebb.stuck_reported")? {
            Some(reported) => Ok(reported),
            None => Ok(self.flag("ebb.told")?.unwrap_or(false)),
        }
    }

    fn get(&self, field: &'static str) -> Option<&'a Value> {
        self.0.get(field.strip_prefix("ebb.")?).filter(|value| !value.is_null())
    }

    fn text(&self, field: &'static str) -> Result<Option<&'a str>, ParseError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.error(field, "a text that is not empty")),
        }
    }

    fn flag(&self, field: &'static str) -> Result<Option<bool>, ParseError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => {
                value.as_bool().map(Some).ok_or_else(|| self.error(field, "true or false"))
            }
        }
    }

    fn time(&self, field: &'static str) -> Result<Timestamp, ParseError> {
        let time = self.get(field).and_then(Value::as_str).and_then(|text| text.parse().ok());
        time.ok_or_else(|| self.error(field, "a time such as 2025-01-02T03:04:05Z"))
    }

    fn optional_time(&self, field: &'static str) -> Result<Option<Timestamp>, ParseError> {
        self.get(field).map(|_| self.time(field)).transpose()
    }

    fn error(&self, field: &'static str, expected: &'static str) -> ParseError {
        let actual = if field == "ebb" { Some(self.0) } else { self.get(field) };
        ParseError {
            event: "state that Ebb carries in a lifecycle message".to_owned(),
            field,
            expected,
            actual: describe(actual),
        }
    }
}

/// `None` if it is no object with both texts.
fn container_instance(listed: &Value) -> Option<(Cluster, ContainerInstanceArn)> {
    let cluster = listed["cluster"].as_str().filter(|cluster| !cluster.is_empty())?;
    let arn = listed["arn"].as_str().filter(|arn| !arn.is_empty())?;
    Some((Cluster::new(cluster), ContainerInstanceArn::new(arn)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_cluster(cluster: &str, arn: &str) -> (Cluster, ContainerInstanceArn) {
        (Cluster::new(cluster), ContainerInstanceArn::new(arn))
    }

    fn carried() -> HandoffState {
        HandoffState {
            hop: 3,
            first_seen: "2025-03-04T05:06:07Z".parse().unwrap(),
            deadline: "2025-03-04T05:21:07Z".parse().unwrap(),
            draining_since: Some("2025-03-04T05:06:09Z".parse().unwrap()),
            container_instances: vec![
                on_cluster("shop", "arn:aws:ecs:…:container-instance/shop/1"),
                on_cluster("old", "arn:aws:ecs:…:container-instance/old/2"),
            ],
            search_incomplete: false,
            returning_since: None,
            action_expires: Some("2025-03-04T05:30:00Z".parse().unwrap()),
            stuck_reported: true,
        }
    }

    fn read(message: &str) -> Result<Option<HandoffState>, ParseError> {
        HandoffState::read(&serde_json::from_str(message).unwrap())
    }

    #[test]
    fn what_a_hop_writes_the_next_one_reads() {
        let bare = HandoffState {
            draining_since: None,
            container_instances: Vec::new(),
            search_incomplete: true,
            returning_since: Some("2025-03-04T05:20:00Z".parse().unwrap()),
            action_expires: None,
            stuck_reported: false,
            ..carried()
        };
        for carried in [carried(), bare] {
            let message = carried.write("{\"EC2InstanceId\": \"i-1a2b3c4d\"}").unwrap();
            assert_eq!(read(&message), Ok(Some(carried.clone())));
            let next = HandoffState { hop: 4, ..carried }.write(&message).unwrap();
            assert_eq!(read(&next).unwrap().unwrap().hop, 4, "in place of the state before");
        }
        assert_eq!(read("{}"), Ok(None));
    }

    /// A message of the release before, without a version.
    fn message_with_told(value: &str) -> String {
        format!(
            r#"{{"ebb": {{
                "hop": 3,
                "first_seen": "2025-03-04T05:06:07Z",
                "deadline": "2025-03-04T05:21:07Z",
                "cluster": "shop",
                "container_instance_arn": "arn:aws:ecs:…:container-instance/shop/1",
                "heartbeat_timeout_seconds": 3600,
                "told": {value}
            }}}}"#
        )
    }

    #[test]
    fn state_of_the_release_before_is_read_under_its_old_name() {
        let written_before = HandoffState {
            draining_since: None,
            action_expires: None,
            container_instances: vec![on_cluster(
                "shop",
                "arn:aws:ecs:…:container-instance/shop/1",
            )],
            ..carried()
        };
        assert_eq!(read(&message_with_told("true")), Ok(Some(written_before.clone())));
        let not_reported = HandoffState { stuck_reported: false, ..written_before };
        assert_eq!(read(&message_with_told("false")), Ok(Some(not_reported)));
        assert_eq!(read(&message_with_told("7")).unwrap_err().field, "ebb.told");
    }

    #[test]
    fn state_of_another_version_is_refused_with_the_version_that_is_read() {
        let message = r#"{"ebb": {"version": 2, "hop": 3}}"#;
        assert_eq!(
            read(message).unwrap_err().to_string(),
            "read `ebb.version` of the state that Ebb carries in a lifecycle message: expected \
             version 1, which this release reads, found the number 2"
        );
    }

    #[test]
    fn what_is_written_names_its_version() {
        let message: Value = serde_json::from_str(&carried().write("{}").unwrap()).unwrap();
        assert_eq!(
            message,
            json!({"ebb": {
                "version": 1,
                "hop": 3,
                "first_seen": "2025-03-04T05:06:07Z",
                "deadline": "2025-03-04T05:21:07Z",
                "draining_since": "2025-03-04T05:06:09Z",
                "cluster": "shop",
                "container_instance_arn": "arn:aws:ecs:…:container-instance/shop/1",
                "container_instances": [
                    {"cluster": "shop", "arn": "arn:aws:ecs:…:container-instance/shop/1"},
                    {"cluster": "old", "arn": "arn:aws:ecs:…:container-instance/old/2"},
                ],
                "action_expires": "2025-03-04T05:30:00Z",
                "stuck_reported": true,
            }})
        );
    }

    #[test]
    fn unknown_fields_survive_to_the_byte() {
        let message = concat!(
            r#"{"Price":1.50,"Number":123456789012345678901234567890,"#,
            r#""Nested":{"b":1,"a":[1e400,"é"]}}"#
        );
        let written = carried().write(message).unwrap();

        for field in [
            r#""Price":1.50"#,
            r#""Number":123456789012345678901234567890"#,
            r#""Nested":{"b":1,"a":[1e400,"é"]}"#,
        ] {
            assert!(written.contains(field), "{field} is not in {written}");
        }
    }

    /// Reads the state with another value in one field. Returns the field that an error names.
    fn read_with(field: &str, value: Value) -> Result<Option<HandoffState>, &'static str> {
        let mut message: Value = serde_json::from_str(&carried().write("{}").unwrap()).unwrap();
        message[KEY][field] = value;
        HandoffState::read(&message).map_err(|error| error.field)
    }

    #[test]
    fn state_that_ebb_never_wrote_is_refused_by_its_field() {
        for (field, value, named) in [
            ("hop", json!(-1), "ebb.hop"),
            ("hop", json!(0), "ebb.hop"),
            ("hop", json!(20_001), "ebb.hop"),
            ("hop", json!("3"), "ebb.hop"),
            ("first_seen", json!(null), "ebb.first_seen"),
            ("deadline", json!("tomorrow"), "ebb.deadline"),
            ("deadline", json!("2035-01-01T00:00:00Z"), "ebb.deadline"),
            ("draining_since", json!("soon"), "ebb.draining_since"),
            ("container_instances", json!("shop"), "ebb.container_instances"),
            ("container_instances", json!([{"cluster": "shop"}]), "ebb.container_instances"),
            (
                "container_instances",
                json!([{"cluster": "", "arn": "a"}]),
                "ebb.container_instances",
            ),
            ("search_incomplete", json!(1), "ebb.search_incomplete"),
            ("returning_since", json!(1), "ebb.returning_since"),
            ("action_expires", json!(1), "ebb.action_expires"),
            ("stuck_reported", json!("yes"), "ebb.stuck_reported"),
            ("version", json!(0), "ebb.version"),
            ("version", json!(2), "ebb.version"),
            ("version", json!("1"), "ebb.version"),
        ] {
            assert_eq!(read_with(field, value.clone()), Err(named), "{field}: {value}");
        }
        assert_eq!(read("{\"ebb\": \"hop 3\"}").unwrap_err().field, "ebb");
        let message = message_with_told("true").replace("\"shop\",", "7,");
        assert_eq!(read(&message).unwrap_err().field, "ebb.cluster");
    }

    const TIMEOUT: SignedDuration = SignedDuration::from_secs(900);

    #[test]
    fn state_that_ebb_wrote_is_within_its_bounds() {
        let sent = "2025-03-04T05:06:07Z".parse().unwrap();
        let now = "2025-03-04T05:20:00Z".parse().unwrap();
        assert_eq!(carried().bounded(Some(sent), TIMEOUT, now), carried());
    }

    #[test]
    fn forged_times_neither_hold_an_instance_longer_nor_end_its_drain_at_once() {
        let sent: Timestamp = "2025-03-04T05:06:00Z".parse().unwrap();
        let now = sent + SignedDuration::from_secs(60);
        for time in [Timestamp::MIN, sent, now, Timestamp::MAX] {
            let forged = HandoffState {
                first_seen: time,
                deadline: time,
                draining_since: Some(time),
                returning_since: Some(time),
                ..carried()
            };
            let bounded = forged.bounded(Some(sent), TIMEOUT, now);
            assert!((sent..=now).contains(&bounded.first_seen), "{time}: {bounded:?}");
            assert!(bounded.returning_since <= Some(now), "{time}: {bounded:?}");
            assert_eq!(bounded.deadline, sent + TIMEOUT, "{time}");
        }
    }

    #[test]
    fn a_message_that_is_dated_ahead_is_bounded_in_each_hop_as_in_the_first() {
        let first_seen = carried().first_seen;
        let ahead = Some(first_seen + SignedDuration::from_hours(1));
        for minutes in [1, 59, 61] {
            let now = first_seen + SignedDuration::from_mins(minutes);
            assert_eq!(carried().bounded(ahead, TIMEOUT, now), carried(), "{minutes} minutes");
        }
    }

    /// Milliseconds; not all of them are moments.
    const MOMENTS: std::ops::Range<i64> = -400_000_000_000_000..400_000_000_000_000;

    proptest! {
        #[test]
        fn no_times_are_out_of_bounds(
            sent in proptest::option::of(MOMENTS), first_seen in MOMENTS,
            draining in proptest::option::of(MOMENTS), now in MOMENTS,
        ) {
            let moment = |milliseconds| {
                Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
            };
            let state = HandoffState {
                first_seen: moment(first_seen),
                draining_since: draining.map(moment),
                ..carried()
            };
            let now = moment(now);
            let bounded = state.bounded(sent.map(moment), TIMEOUT, now);
            prop_assert!(bounded.deadline.duration_since(now) <= TIMEOUT);
            let again = bounded.clone().bounded(sent.map(moment), TIMEOUT, now);
            prop_assert_eq!(again, bounded);
        }

        #[test]
        fn no_state_panics_the_reader(hop in any::<i64>(), deadline in ".*", first_seen in ".*") {
            let state = json!({"hop": hop, "deadline": deadline, "first_seen": first_seen});
            let _ = HandoffState::read(&json!({KEY: state}));
        }
    }
}
