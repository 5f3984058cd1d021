//! What the configuration promises.

mod bad;
mod documented;
mod layers;
mod secrets;
mod units;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{ClientRule, Errors, Resolved, Sources, load, load_with};

/// The least that is valid.
pub(super) const GOOD: &str = r#"
[pipeline.plant]
input = { topics = ["sensors"], values = ["v"] }
output = { topic = "forecasts" }
dead_letter = { topic = "dead" }
"#;

/// Files in a folder of their own, an environment and settings.
#[derive(Default)]
pub(super) struct Given {
    folder: Option<tempfile::TempDir>,
    files: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
    set: Vec<String>,
}

impl Given {
    pub(super) fn file(mut self, name: &str, text: &str) -> Self {
        let folder = self.folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        if name.ends_with(".toml") {
            self.files.push(path);
        }
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn set(mut self, setting: &str) -> Self {
        self.set.push(setting.to_owned());
        self
    }

    pub(super) fn folder(&self) -> String {
        self.folder
            .as_ref()
            .map(|folder| folder.path().display().to_string())
            .unwrap_or_default()
    }

    pub(super) fn load(&self) -> Result<Resolved, Errors> {
        load(&self.sources())
    }

    pub(super) fn load_with(&self, rule: ClientRule) -> Result<Resolved, Errors> {
        load_with(&self.sources(), rule)
    }

    fn sources(&self) -> Sources {
        Sources {
            files: self.files.clone(),
            environment: self.environment.clone(),
            set: self.set.clone(),
            host_name: "Plant_7.example".to_owned(),
            beneath: "",
        }
    }
}

pub(super) fn good() -> Given {
    Given::default().file("good.toml", GOOD)
}
