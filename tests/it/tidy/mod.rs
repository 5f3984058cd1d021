//! The house keeps itself: arrows between modules, sizes of functions and files, and where a dependency may be named.

mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::Visit as _;

use source::{Functions, Paths, Source, is_test, of_text, sources};

/// Which siblings a top-level module may name. Anything else is an upward or sideways arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("faults", &[]),
    ("nn", &[]),
    ("series", &[]),
    ("experts", &["series", "nn"]),
    ("engine", &["experts", "series", "nn", "faults"]),
    ("training", &["engine", "series", "nn"]),
    ("codec", &["engine", "series"]),
    ("worker", &["engine", "codec", "series", "faults"]),
    ("kafka", &["worker", "engine", "codec", "series", "faults"]),
    ("store", &["worker", "engine", "codec", "series", "faults"]),
    (
        "config",
        &[
            "kafka", "store", "worker", "training", "codec", "engine", "series", "nn",
        ],
    ),
    (
        "daemon",
        &[
            "config",
            "kafka",
            "store",
            "worker",
            "training",
            "codec",
            "engine",
            "series",
            "nn",
            "telemetry",
        ],
    ),
    ("telemetry", &["config"]),
    (
        "cli",
        &[
            "faults",
            "daemon",
            "config",
            "kafka",
            "store",
            "worker",
            "training",
            "codec",
            "engine",
            "series",
            "nn",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// A path prefix, and the only top-level modules that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["kafka"]),
    ("object_store", &["store"]),
    ("tokio", &["daemon", "cli", "store"]),
    ("axum", &["daemon"]),
    ("ratatui", &["cli"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli", "main"]),
    ("std::thread", &["daemon", "cli", "store", "kafka", "faults"]),
    ("std::time::Instant", &["daemon", "cli", "store", "kafka"]),
    ("std::time::SystemTime", &[]),
    ("tracing", &["daemon", "cli", "telemetry", "kafka"]),
    ("std::env", &["cli", "config", "daemon", "telemetry"]),
    ("std::net", &["cli", "config", "daemon"]),
    ("std::fs", &["config", "daemon", "cli", "store", "faults"]),
];

/// Files that may hold `unsafe`.
const UNSAFE_FILES: &[&str] = &[
    "src/nn/blas.rs",
    "src/nn/kernel/isa.rs",
    "src/nn/kernel/x86.rs",
    "src/nn/kernel/neon.rs",
    "src/nn/kernel/prefetch.rs",
    "src/kafka/membership.rs",
];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_CODE_LINES_MAX: usize = 400;

/// Maths kernels: one loop nest reads better whole. By file and function.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

fn wrong_arrows(sources: &[Source]) -> String {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = String::new();
    for source in sources {
        let module = source.module();
        if module == "lib" || is_test_file(&source.path) {
            continue;
        }
        let Some(targets) = allowed.get(module.as_str()) else {
            let _ = writeln!(
                wrong,
                "{}: module `{module}` has no row in ARROWS",
                source.path.display()
            );
            continue;
        };
        for (path, line) in Paths::of(&source.tree) {
            let Some(target) = source.sibling(&path) else {
                continue;
            };
            if target != module && allowed.contains_key(target) && !targets.contains(&target) {
                let place = source.path.display();
                let _ = writeln!(
                    wrong,
                    "{place}:{line}: `{module}` names `{target}`; it may name {targets:?}"
                );
            }
        }
    }
    wrong
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn strays(sources: &[Source]) -> String {
    let mut wrong = String::new();
    for source in sources {
        let module = source.module();
        if module == "lib" || is_test_file(&source.path) {
            continue;
        }
        for (path, line) in Paths::of(&source.tree) {
            for (prefix, homes) in HOMES {
                let named = path == *prefix
                    || path
                        .strip_prefix(prefix)
                        .is_some_and(|rest| rest.starts_with("::"));
                if named && !homes.contains(&module.as_str()) {
                    let place = source.path.display();
                    let _ = writeln!(wrong, "{place}:{line}: `{prefix}` may be named in {homes:?} only");
                }
            }
        }
    }
    wrong
}

fn long_functions(sources: &[Source]) -> String {
    let mut wrong = String::new();
    for source in sources {
        let mut functions = Functions::default();
        functions.visit_file(&source.tree);
        for (name, line, length) in functions.found {
            let place = source.path.display().to_string();
            let exempt = LONG_FUNCTIONS.contains(&(place.as_str(), name.as_str()));
            if length > FUNCTION_LINES_MAX && !exempt {
                let _ = writeln!(
                    wrong,
                    "{place}:{line}: `{name}` has {length} lines; {FUNCTION_LINES_MAX} at most"
                );
            }
        }
    }
    wrong
}

/// Lines that are neither blank nor a comment, without a trailing `#[cfg(test)] mod`.
fn code_lines(source: &Source) -> usize {
    let tests = source.tree.items.iter().find_map(|item| match item {
        syn::Item::Mod(module) if is_test(&module.attrs) => Some(module.span().start().line),
        _ => None,
    });
    source
        .text
        .lines()
        .take(tests.map_or(usize::MAX, |line| line - 1))
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
        .count()
}

fn long_files(sources: &[Source]) -> String {
    let mut wrong = String::new();
    for source in sources {
        let lines = code_lines(source);
        if lines > FILE_CODE_LINES_MAX {
            let place = source.path.display();
            let _ = writeln!(
                wrong,
                "{place}: {lines} lines of code; {FILE_CODE_LINES_MAX} at most"
            );
        }
    }
    wrong
}

fn unsafe_strays(sources: &[Source]) -> String {
    let mut wrong = String::new();
    for source in sources
        .iter()
        .filter(|source| !UNSAFE_FILES.iter().any(|file| source.path.ends_with(file)))
    {
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if code.split_whitespace().any(|word| word == "unsafe") {
                let place = source.path.display();
                let _ = writeln!(
                    wrong,
                    "{place}:{number}: `unsafe` may stand in {UNSAFE_FILES:?} only"
                );
            }
        }
    }
    wrong
}

#[test]
fn tidy_arrows_point_one_way() {
    let wrong = wrong_arrows(&sources(&["src"]));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn tidy_dependencies_stay_at_home() {
    let wrong = strays(&sources(&["src"]));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn tidy_unsafe_code_stays_at_home() {
    let wrong = unsafe_strays(&sources(&["src"]));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn tidy_functions_are_short() {
    let wrong = long_functions(&sources(&["src", "tests", "benches"]));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn tidy_files_are_short() {
    let wrong = long_files(&sources(&["src", "tests", "benches"]));
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The checks can fail: each finds the fault that it is there for.
#[test]
fn tidy_finds_each_fault() {
    let upward = of_text(
        "src/nn/x.rs",
        "use crate::engine::Engine;\nfn f() { crate::series::g(); }",
    );
    assert_eq!(wrong_arrows(&upward).lines().count(), 2);
    let grouped = of_text(
        "src/codec/x.rs",
        "use crate::{engine::Forecast, worker::{self, Config}};",
    );
    assert!(wrong_arrows(&grouped).contains("`codec` names `worker`"));
    let allowed = of_text(
        "src/engine/x.rs",
        "use crate::nn::Network;\n#[cfg(test)]\nmod tests { use crate::cli::x; }",
    );
    assert_eq!(wrong_arrows(&allowed), "");
    let climbing = of_text(
        "src/nn/cells/x.rs",
        "use super::super::super::engine::Model;\nuse super::super::Shape;",
    );
    assert_eq!(wrong_arrows(&climbing).lines().count(), 1);
    let bare = of_text(
        "src/engine/x.rs",
        "fn f() { unsafe { g() } }\n// unsafe in a comment\n",
    );
    assert_eq!(unsafe_strays(&bare).lines().count(), 1);
    let logging = of_text(
        "src/engine/x.rs",
        "fn f() { tracing::info!(\"x\"); let _ = std::env::args(); }",
    );
    assert_eq!(strays(&logging).lines().count(), 2);
    let stray = of_text(
        "src/worker/x.rs",
        "fn f() { let _ = std::thread::spawn(g); rdkafka::g(); }",
    );
    assert_eq!(strays(&stray).lines().count(), 2);
    let long = format!("fn long() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES_MAX));
    assert!(long_functions(&of_text("src/nn/x.rs", &long)).contains("`long`"));
    let short = format!(
        "fn short() {{\n{}}}\n",
        "    g();\n".repeat(FUNCTION_LINES_MAX - 2)
    );
    assert_eq!(long_functions(&of_text("src/nn/x.rs", &short)), "");
    let heavy = "fn f() {}\n".repeat(FILE_CODE_LINES_MAX + 1);
    assert!(long_files(&of_text("src/nn/x.rs", &heavy)).contains("401 lines"));
    let commented = format!(
        "{}{}",
        "// why\n\n".repeat(300),
        "fn f() {}\n".repeat(FILE_CODE_LINES_MAX)
    );
    assert_eq!(long_files(&of_text("src/nn/x.rs", &commented)), "");
}
