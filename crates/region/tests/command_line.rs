//! The command line of `ebb-region`, as whoever types it sees it.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

fn ebb_region(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb-region")).args(arguments).output().unwrap()
}

/// What it says to stderr when it ends with this code.
fn refusal(arguments: &[&str], code: i32) -> String {
    let output = ebb_region(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn help_explains_every_command_and_option() {
    for option in ["--help", "-h"] {
        let output = ebb_region(&[option]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stderr, b"");
        let help = String::from_utf8(output.stdout).unwrap();
        for word in [
            "serve",
            "demo",
            "--port",
            "--lambda",
            "--speed",
            "--seed",
            "--without-hooks",
            "--without-ebb",
            "--page",
            "--idle",
        ] {
            assert!(help.contains(&format!("  {word} ")), "{word} is not explained:\n{help}");
        }
    }
}

#[test]
fn help_is_for_a_command_as_well() {
    assert_eq!(ebb_region(&["demo", "--help"]).stdout, ebb_region(&["--help"]).stdout);
}

#[test]
fn a_wrong_command_line_is_named_and_changes_nothing() {
    for (arguments, problem) in [
        (&[][..], "a command is missing: serve or demo"),
        (&["watch"], "there is no command \"watch\": serve and demo are the two"),
        (&["serve", "demo"], "unexpected argument \"demo\""),
        (&["serve", "--prot", "1"], "invalid option '--prot'"),
        (&["serve", "--port"], "missing argument for option '--port'"),
        (&["serve", "--port", "many"], "--port takes a port, from 0 to 65535, not \"many\""),
        (&["serve", "--seed", "-1"], "--seed takes a whole number from 0, not \"-1\""),
        (&["serve", "--speed", "0"], "--speed takes a number above 0, not 0"),
        (&["serve", "--speed", "inf"], "--speed takes a number above 0, not inf"),
        (&["serve", "--without-ebb"], "--without-ebb and --page are for demo only"),
        (&["demo", "--idle"], "--idle is for serve only: demo plays on the ordinary cluster"),
    ] {
        let expected = format!("ebb-region: {problem}\nTry `ebb-region --help`.\n");
        assert_eq!(refusal(arguments, 2), expected, "{arguments:?}");
    }
}

#[test]
fn a_busy_port_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        refusal(&["serve", "--port", &port.to_string()], 1),
        format!(
            "ebb-region: cannot listen on port {port} of 127.0.0.1: another program uses it. \
             Choose another with --port, or any free one with --port 0.\n"
        )
    );
}

#[test]
fn the_demonstration_without_ebb_tells_four_acts_within_80_columns_and_leaves_a_page() {
    for seed in ["1", "7"] {
        let page = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{seed}.html"));
        let output = ebb_region(&[
            "demo",
            "--without-ebb",
            "--port",
            "0",
            "--speed",
            "2000",
            "--seed",
            seed,
            "--page",
            page.to_str().unwrap(),
        ]);

        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        for text in
            ["\n 1  EC2 takes", "\n 2  Auto Scaling takes", "\n 3  Nobody", "\n 4  Cluster auto"]
        {
            assert!(told.contains(text), "{text:?}:\n{told}");
        }
        let cut_off = told.matches(" CUT OFF\n").count();
        assert!(told.contains(&format!(" Result  {cut_off} tasks were cut off.\n")), "{told}");
        assert!(
            told.contains("Cluster office: 6 instances before, 6 after: cluster auto"),
            "{told}"
        );
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        assert!(!told.contains('\x1b'), "no colour where nobody watches");
        let page = std::fs::read_to_string(&page).unwrap();
        for cluster in ["shop", "office"] {
            assert!(page.contains(&format!("<h1>Cluster {cluster} without Ebb</h1>")), "{page}");
        }
        assert!(page.contains("none that holds a task. 0 tasks were cut off."));
    }
}
/// Is stopped at the end of a test, also of one that fails.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_served_region_says_what_to_paste_and_then_what_happens_as_it_happens() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebb-region"));
    command.args(["serve", "--port", "0", "--lambda", "1"]).stdout(Stdio::piped());
    let mut served = Served(command.spawn().unwrap());
    let mut lines = BufReader::new(served.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let greeting: Vec<_> =
        lines.by_ref().take_while(|line| !line.starts_with("What happens")).collect();
    let address = greeting[0].strip_prefix("The simulated Region listens on http://").unwrap();
    let greeting = greeting.join("\n");
    for pasted in [
        &format!("export AWS_ENDPOINT_URL=http://{address} AWS_REGION=eu-west-1\n"),
        "export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=example\n",
    ] {
        assert!(greeting.contains(pasted), "{greeting}");
    }

    let body = r#"{"instance_id": "i-0a1b2c3d4e5f60009"}"#;
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST /_ebb/interrupt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\ndone\n"), "{answer}");
    let notice = lines.next().unwrap();
    assert!(notice.contains("0009  interruption notice"), "{notice}");
}
