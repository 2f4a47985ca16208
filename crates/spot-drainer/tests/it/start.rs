//! The binary itself: how it starts, and what it prints.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spot-drainer"));
    command.env_clear();
    command
}

#[test]
fn wrong_settings_end_the_start_and_are_all_named() {
    let output = binary()
        .env("DRY_RUN", "maybe")
        .env("ECS_CLUSTERS", "shop,,back")
        .env("FALLBACK_ASG", "")
        .output()
        .expect("the binary starts");

    assert!(!output.status.success());
    let output_text =
        String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for expected in [
        "ECS_CLUSTERS is \"shop,,back\"",
        "DRY_RUN is \"maybe\", expected `true` or `false`",
        "FALLBACK_ASG is \"\"",
    ] {
        assert!(output_text.contains(expected), "{expected} is not in: {output_text}");
    }
}

/// Lambda then gives the error to whoever invokes the function, and to its alarms.
#[test]
fn lambda_is_told_which_settings_are_wrong() {
    let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = runtime_api.local_addr().unwrap().to_string();
    let told = thread::spawn(move || {
        let (mut connection, _) = runtime_api.accept().unwrap();
        let request = read_request(&mut connection);
        connection.write_all(ACCEPTED).unwrap();
        request
    });
    let output = binary()
        .env("AWS_LAMBDA_RUNTIME_API", &address)
        .env("DRY_RUN", "maybe")
        .output()
        .expect("the binary starts");
    // If it has sent nothing, nobody waits for it for ever.
    drop(TcpStream::connect(address));

    assert!(!output.status.success());
    let Request { head, body } = told.join().unwrap().expect("a request");
    assert!(head.starts_with("POST /2018-06-01/runtime/init/error "), "{head}");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["errorType"], "InvalidSettings");
    let text = error["errorMessage"].as_str().unwrap();
    assert!(text.contains("DRY_RUN is \"maybe\", expected `true` or `false`"), "{text}");
}

#[test]
fn it_prints_a_line_at_its_start_and_for_an_invocation_its_answer_and_its_metrics() {
    let printed = lines_of_one_invocation("INFO", 3);
    let named = |name: &str| {
        let line = printed.iter().find(|line| line["fields"]["event.name"] == name);
        &line.unwrap_or_else(|| panic!("no {name} in {printed:?}"))["fields"]
    };

    let start = named("start");
    assert_eq!(start["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(start["settings"], json!({"ECS_CLUSTERS": "shop"}), "what is set, and no more");
    let metrics =
        printed.iter().find(|line| line.get("_aws").is_some()).expect("a line of metrics");
    assert_eq!((&metrics["Ignored"], &metrics["function"]), (&1.0.into(), &"spot-drainer".into()));
    let answer = named("answer");
    assert_eq!(answer["message"], "1 ignored");
    assert_eq!(answer["answer"]["outcomes"][0]["outcome"], "ignored", "an object");
    assert!(answer["failed"].is_u64() && answer["duration_ms"].is_u64(), "numbers: {answer}");
}

/// Lambda drops what is below the level, and takes a line without level and time for INFO.
#[test]
fn metrics_pass_at_every_log_level_and_each_line_has_its_level_and_its_time() {
    for (level, count) in [("INFO", 3), ("WARN", 1), ("ERROR", 1), ("FATAL", 1)] {
        let printed = lines_of_one_invocation(level, count);
        for line in &printed {
            let time = line["timestamp"].as_str().expect("a time");
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
            assert!(line["level"].is_string(), "{line}");
        }
        let metrics = printed.iter().find(|line| line.get("_aws").is_some());
        assert_eq!(metrics.expect("a line of metrics")["level"], level);
    }
}

/// The first lines of a function with that log level which handles one event.
fn lines_of_one_invocation(level: &str, count: usize) -> Vec<Value> {
    let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = runtime_api.local_addr().unwrap().to_string();
    thread::spawn(move || hand_out_one_event(&runtime_api));
    let mut function = binary()
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("ECS_CLUSTERS", "shop")
        .env("AWS_LAMBDA_FUNCTION_NAME", "ebb-spot-drainer")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_LEVEL", level)
        .env("AWS_REGION", "eu-west-1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");

    let lines = BufReader::new(function.stdout.take().unwrap()).lines().map(Result::unwrap);
    let printed = lines.take(count).map(|line| serde_json::from_str(&line).unwrap()).collect();
    function.kill().unwrap();
    function.wait().unwrap();
    printed
}

/// Plays Lambda's Runtime API: hands out one event, and then keeps whoever asks for the next one
/// waiting.
fn hand_out_one_event(runtime_api: &TcpListener) {
    let mut handed_out = false;
    for connection in runtime_api.incoming() {
        let mut connection = connection.unwrap();
        while let Some(request) = read_request(&mut connection) {
            let answer: &[u8] = match (request.head.starts_with("GET"), handed_out) {
                (true, false) => {
                    b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: 1\r\n\
                      lambda-runtime-invoked-function-arn: arn\r\ncontent-length: 35\r\n\r\n{\"source\":\"test\",\"detail-type\":\"t\"}"
                }
                (true, true) => continue,
                (false, _) => ACCEPTED,
            };
            handed_out = true;
            connection.write_all(answer).unwrap();
        }
    }
}

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

struct Request {
    head: String,
    body: String,
}

/// Reads a request. `None` when the connection is closed.
fn read_request(connection: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_ascii_lowercase().split("content-length: ").nth(1).map(|rest| {
        rest.split("\r\n")
            .next()
            .and_then(|length| length.parse().ok())
            .expect("a length is a number")
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}
