//! `pyzy preload`, with real files: what it changes, what it refuses, and calls at the same time.

mod scratch;

use scratch::{Done, Scratch};
use std::process::Stdio;

#[test]
fn a_list_grows_and_shrinks() {
    let s = Scratch::new();
    assert!(s.run(&["preload", "list"]).bad(1).contains("there is no pyproject.toml"));
    s.put("pyproject.toml", "# ours\n[project]\nname = \"x\"\n", 0o640);
    assert_eq!(s.run(&["preload", "list"]).good(), "");
    s.run(&["preload", "add", "stdlib", "json"]).good();
    assert_eq!(s.run(&["preload", "list"]).good(), "stdlib\njson\n");
    s.run(&["preload", "remove", "stdlib"]).good();
    assert_eq!(s.run(&["preload", "list"]).good(), "json\n");
    let text = std::fs::read_to_string(s.path("pyproject.toml")).unwrap();
    assert!(text.starts_with("# ours\n[project]\nname = \"x\"\n"), "{text}");
}

#[test]
fn calls_at_the_same_time_lose_nothing() {
    const CALLS: usize = 12;
    let s = Scratch::new();
    s.put("pyproject.toml", "", 0o644);
    let names: Vec<String> = (0..CALLS).map(|at| format!("m{at}")).collect();
    let calls: Vec<_> =
        names.iter().map(|name| s.pyzy(&["preload", "add", name]).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut call in calls {
        assert!(call.wait().unwrap().success());
    }
    let listed = s.run(&["preload", "list"]).good();
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_by_key(|name| name[1..].parse::<usize>().unwrap());
    assert_eq!(listed, names);
}

#[test]
fn what_no_run_would_read_is_refused() {
    let s = Scratch::new();
    let refused = |part: &str| {
        for line in [&["preload", "list"][..], &["preload", "add", "json"]] {
            let done: Done = s.run(line);
            assert!(done.bad(1).contains(part), "{part}");
        }
    };
    let path = s.path("pyproject.toml");
    s.put("pyproject.toml", "#".repeat((1 << 20) + 1), 0o644);
    refused("is larger than 1024 KiB");
    // One that a new name would make too large stays as it is.
    let full = "#".repeat((1 << 20) - 4);
    s.put("pyproject.toml", &full, 0o644);
    assert_eq!(s.run(&["preload", "list"]).good(), "");
    assert!(s.run(&["preload", "add", "json"]).bad(1).contains("is larger than 1024 KiB"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), full);
    std::fs::remove_file(&path).unwrap();
    // A fifo that nobody writes to must not keep it waiting.
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    refused("is not a regular file");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("is not a regular file");
}
