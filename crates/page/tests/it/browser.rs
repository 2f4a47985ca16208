//! The pages in a browser: Chromium, as Debian packages it, opens each at the width of a phone and
//! of a desktop. Where there is none, the test says so and leaves it at that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use ebb_page::run_page;
use serde_json::Value;

use crate::run::run;
use crate::samples::{inventory, page_of};

/// In pixels.
const WIDTHS: [u32; 2] = [360, 1440];

/// The names that distributions give to Chromium; `CHROMIUM` names another.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Notes what goes wrong in a page, from before it begins: errors, and whatever its own policy keeps
/// it from loading.
const WATCH: &str = r#"
    window.problems = [];
    addEventListener("error", (event) => problems.push(String(event.message)));
    addEventListener("securitypolicyviolation", (event) => problems.push(event.blockedURI));
"#;

fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Opens a page at both widths, and returns what `probe.js` finds in each.
fn open(name: &str, page: &str) -> Option<Vec<Value>> {
    let Some(chromium) = chromium() else {
        // Past the harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: page {name} was not opened: there is no Chromium here \
             (`apt install chromium` on Debian)"
        );
        return None;
    };
    let page = page.replacen("<head>", &format!("<head><script>{WATCH}</script>"), 1);
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    // A window of Chromium is never as narrow as a phone, a frame can be.
    let frames: String = WIDTHS
        .iter()
        .map(|width| {
            format!("<iframe width=\"{width}\" height=\"900\" style=\"border:0\" srcdoc=\"{page}\"></iframe>")
        })
        .collect();
    let probe = include_str!("probe.js");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("frames.html");
    std::fs::write(&file, format!("<!doctype html><body>{frames}<script>{probe}</script>"))
        .unwrap();

    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    let found =
        text.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let found: Vec<Value> = serde_json::from_str(found).unwrap();
    assert_eq!(found.len(), WIDTHS.len());
    Some(found)
}

fn assert_sound(found: &Value) {
    let width = &found["width"];
    assert_eq!(found["errors"], Value::Array(Vec::new()), "at {width}");
    assert_eq!(found["overflows"], Value::Array(Vec::new()), "at {width}");
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_plan_loads_shows_every_instance_and_task_and_no_text_overflows() {
    let inventory = inventory();
    let mut tasks = BTreeMap::new();
    for instance in &inventory.instances {
        *tasks.entry(instance.instance_id.as_str()).or_insert(0) +=
            instance.tasks.iter().flatten().count();
    }
    for found in open("plan", &page_of(&inventory)).into_iter().flatten() {
        assert_sound(&found);
        assert_eq!(texts(&found["ids"]), tasks.keys().copied().collect(), "at {}", found["width"]);
        for (id, tasks) in &tasks {
            assert_eq!(found["tasks_of"][*id], *tasks, "{id}");
        }
        assert_eq!(found["shown_by_filter"], found["goes"], "at {}", found["width"]);
        assert!(found["lands"].as_u64() > Some(1), "focus shows where a task may land: {found}");
    }
}

#[test]
fn the_run_loads_shows_every_instance_and_task_and_no_text_overflows() {
    // One below the other.
    let runs = [run("web-"), run("web-")];
    for found in open("run", &run_page(&runs)).into_iter().flatten() {
        assert_sound(&found);
        assert_eq!(texts(&found["ids"]), BTreeSet::from(["i-08", "i-09"]));
        assert_eq!(texts(&found["tasks"]), BTreeSet::from(["web-1", "web-2", "web-3"]));
        assert_eq!(found["cursor"], "60%", "a line of the story shows its moment");
        assert_eq!(found["cursors"], 2, "among the instances and the calls of its own run");
    }
}
