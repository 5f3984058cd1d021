//! Rust files as the rules read them: the paths that they name, the functions that they define.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

pub(super) struct Source {
    /// Relative to the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) tree: syn::File,
}

impl Source {
    /// The top-level module that it belongs to.
    pub(super) fn module(&self) -> String {
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

impl Source {
    /// How many `super` lead from it to the crate's root: its module's depth.
    pub(super) fn depth(&self) -> usize {
        self.path
            .with_extension("")
            .components()
            .skip(1)
            .filter(|part| part.as_os_str() != "mod")
            .count()
    }

    /// The top-level module that a path of this file names, whichever way it is spelled.
    pub(super) fn sibling<'a>(&self, path: &'a str) -> Option<&'a str> {
        let names: Vec<_> = path.split("::").collect();
        let supers = names.iter().take_while(|&&name| name == "super").count();
        if matches!(names[0], "crate" | "tidecast") {
            names.get(1).copied()
        } else if supers > 0 && supers == self.depth() {
            names.get(supers).copied()
        } else {
            None
        }
    }
}

pub(super) fn root() -> &'static Path {
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

pub(super) fn sources(folders: &[&str]) -> Vec<Source> {
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

pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
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
pub(super) struct Paths {
    pub(super) found: Vec<(String, usize)>,
}

impl Paths {
    pub(super) fn of(tree: &syn::File) -> Vec<(String, usize)> {
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

/// Name and length of every function body.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) found: Vec<(String, usize, usize)>,
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

pub(super) fn of_text(path: &str, text: &str) -> Vec<Source> {
    vec![Source {
        path: PathBuf::from(path),
        text: text.to_owned(),
        tree: syn::parse_file(text).unwrap(),
    }]
}
