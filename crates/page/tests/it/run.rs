//! The page of a run.

use ebb_page::run::{Call, Hold, Instance, InstanceState, Line, Task, TaskState, Text};
use ebb_page::{Run, run_page};
use jiff::{SignedDuration, Timestamp};

use crate::samples::now;

fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Two instances; one is taken away after two minutes, with a task that was cut off and one that
/// moved.
pub(crate) fn run(name: &str) -> Run {
    let instance = |id: &str, stages| Instance {
        id: id.to_owned(),
        about: name.to_owned(),
        stages,
        notices: vec![at(0)],
    };
    let task = |number: usize, instance_id: &str, stages| Task {
        name: format!("{name}{number}"),
        instance_id: instance_id.to_owned(),
        is_daemon: false,
        stages,
    };
    use TaskState::{CutOff, Running, Starting, Stopped, Stopping};
    Run {
        title: name.to_owned(),
        result: name.to_owned(),
        is_bad: true,
        start: at(0),
        end: at(200),
        acts: Vec::new(),
        instances: vec![
            instance("i-08", vec![(at(0), InstanceState::Active)]),
            instance(
                "i-09",
                vec![
                    (at(0), InstanceState::Active),
                    (at(2), InstanceState::Draining),
                    (at(120), InstanceState::Gone),
                ],
            ),
        ],
        tasks: vec![
            task(1, "i-09", vec![(at(0), Running), (at(120), CutOff)]),
            task(2, "i-09", vec![(at(0), Running), (at(40), Stopping), (at(70), Stopped)]),
            task(3, "i-08", vec![(at(10), Starting), (at(30), Running)]),
            task(4, "i-unknown", vec![(at(10), Starting)]),
        ],
        moves: vec![(1, 2), (1, 3), (1, 9)],
        holds: vec![Hold {
            instance_id: "i-09".to_owned(),
            from: at(50),
            until: at(90),
            about: name.to_owned(),
        }],
        calls: [None, Some("ThrottlingException")]
            .map(|error| Call {
                time: at(3),
                operation: name.to_owned(),
                error: error.map(str::to_owned),
            })
            .to_vec(),
        story: vec![Line {
            time: at(120),
            actor: name.to_owned(),
            text: name.to_owned(),
            is_bad: true,
        }],
        texts: vec![Text { time: at(130), title: name.to_owned(), body: name.to_owned() }],
    }
}

#[test]
fn every_instance_task_and_call_is_drawn_in_its_states() {
    let page = run_page(&[run("web-")]);

    // The instance ends at 600 of 1,000, drained from 10 on.
    for shape in [
        "<rect class=\"draining\" x=\"10.00\" y=\"66\" width=\"590.00\"",
        "data-about=\"web-2 runs, 00:00 to 00:40\"",
        "data-about=\"web-2 stops, 00:40 to 01:10\"",
        "data-about=\"web-3 starts, 00:10 to 00:30\"",
        "data-about=\"web-1 was cut off\"",
        "<line class=\"call refused\"",
        "1 of them throttled",
        "1 ThrottlingException",
        "<rect class=\"hold\" x=\"250.00\"",
        ">02:00</span><b>web-</b>",
    ] {
        assert!(page.contains(shape), "{shape}\n{page}");
    }
    assert_eq!(page.matches("class=\"move\"").count(), 1, "of a task that is not drawn, none");
    assert!(!page.contains("web-4"));
}

#[test]
fn no_name_breaks_out_of_the_page() {
    let page = run_page(&[run("</script><script>alert(1)</script>\" onload=\"'&<!--")]);
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<!--") && !page.contains("\" onload"));
}

#[test]
fn a_run_in_which_nothing_happens_has_a_page() {
    let run = Run { instances: vec![], tasks: vec![], calls: vec![], end: at(0), ..run("none") };
    let page = run_page(&[Run { story: vec![], ..run }]);
    assert!(page.contains("<h1>none</h1>") && !page.contains("What happened"));
}

#[test]
fn several_runs_stand_one_below_the_other_each_by_its_own_time() {
    let long = Run { start: at(-600), ..run("worker-") };
    let page = run_page(&[run("web-"), long]);

    let (first, second) = (page.find("<h1>web-</h1>"), page.find("<h1>worker-</h1>"));
    assert!(first.is_some() && first < second, "{page}");
    assert_eq!(page.matches("class=\"legend").count(), 1, "what the shapes mean is said once");
    // The first ends after 200 s, the second after 800.
    assert!(page.contains("03:20 (minutes and seconds), 2 container instances"));
    assert!(page.contains("13:20 (minutes and seconds), 2 container instances"));
    assert!(page.contains("data-about=\"web-2 runs, 00:00 to 00:40\""));
    assert!(page.contains("data-about=\"worker-2 runs, 10:00 to 10:40\""));
}
