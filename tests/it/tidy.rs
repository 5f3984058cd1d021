//! The house keeps itself: arrows between modules, sizes of functions and files, and where a dependency may be named.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

/// Which siblings a top-level module may name. Anything else is an upward or sideways arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("nn", &[]),
    ("series", &[]),
    ("experts", &["series", "nn"]),
    ("engine", &["experts", "series", "nn"]),
    ("training", &["engine", "series", "nn"]),
    ("codec", &["engine", "series"]),
    ("worker", &["engine", "codec", "series"]),
    ("kafka", &["worker", "engine", "codec", "series"]),
    ("store", &["worker", "engine", "codec", "series"]),
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
    ("std::thread", &["daemon", "cli", "store", "kafka"]),
    ("std::time::Instant", &["daemon", "cli", "store", "kafka"]),
    ("std::time::SystemTime", &["daemon", "cli"]),
    ("std::fs", &["config", "daemon", "cli", "store"]),
];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_CODE_LINES_MAX: usize = 400;

/// Maths kernels: one loop nest reads better whole. By file and function.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

struct Source {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
    tree: syn::File,
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> String {
        let first = self
            .path
            .components()
            .nth(1)
            .expect("a file below src/")
            .as_os_str()
            .to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        rust_files(&root().join(folder), &mut paths);
    }
    assert!(!paths.is_empty(), "no Rust file below {folders:?}");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Source {
                path: path.strip_prefix(root()).unwrap().to_owned(),
                text,
                tree,
            }
        })
        .collect()
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test")))
    })
}

/// Every path that the code outside tests names, `use` groups spelled out, with its line.
#[derive(Default)]
struct Paths {
    found: Vec<(String, usize)>,
}

impl Paths {
    fn of(tree: &syn::File) -> Vec<(String, usize)> {
        let mut paths = Self::default();
        paths.visit_file(tree);
        paths.found
    }

    fn add_use(&mut self, prefix: &str, tree: &syn::UseTree) {
        let joined = |name: &syn::Ident| {
            if prefix.is_empty() {
                name.to_string()
            } else {
                format!("{prefix}::{name}")
            }
        };
        match tree {
            syn::UseTree::Path(path) => self.add_use(&joined(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.found.push((joined(&name.ident), name.span().start().line)),
            syn::UseTree::Rename(name) => self.found.push((joined(&name.ident), name.span().start().line)),
            syn::UseTree::Glob(glob) => self.found.push((prefix.to_owned(), glob.span().start().line)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_use(prefix, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if names.len() > 1 {
            self.found.push((names.join("::"), path.span().start().line));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }
}

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
            let mut names = path.split("::");
            if !matches!(names.next(), Some("crate" | "tidecast")) {
                continue;
            }
            let target = names.next().unwrap_or_default();
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

/// Name and length of every function body.
#[derive(Default)]
struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn add(&mut self, name: &syn::Ident, whole: proc_macro2::Span) {
        let (first, last) = (whole.start().line, whole.end().line);
        self.found.push((name.to_string(), first, last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident, item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident, item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }
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

fn of_text(path: &str, text: &str) -> Vec<Source> {
    vec![Source {
        path: PathBuf::from(path),
        text: text.to_owned(),
        tree: syn::parse_file(text).unwrap(),
    }]
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
