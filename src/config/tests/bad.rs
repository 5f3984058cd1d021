//! Bad configurations: each is answered with key, reason and way out.

use super::{GOOD, Given, good};

/// Cases: what lies over the good file, and the line that answers it.
const BAD: &str = include_str!("bad.txt");

fn given(over: &str) -> Given {
    if over.starts_with('[') {
        good().file("over.toml", over)
    } else {
        good().set(over)
    }
}

#[test]
fn bad_configs_are_answered_with_key_reason_and_way_out() {
    let lines = BAD
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<Vec<String>> = lines
        .map(|line| line.split(" ¦ ").map(|part| part.replace('⏎', "\n")).collect())
        .collect();
    assert!(cases.len() >= 40);
    for case in &cases {
        let [over, key, reason, way_out] = case.as_slice() else {
            panic!("four columns: {case:?}")
        };
        let errors = given(over).load().expect_err(over).to_string();
        let line = errors.lines().find(|line| line.starts_with(&format!("{key}: ")));
        let line = line.unwrap_or_else(|| panic!("{over}: no line for `{key}` in\n{errors}"));
        assert!(line.contains(reason), "{over}: no `{reason}` in\n{line}");
        assert!(line.contains(way_out), "{over}: no `{way_out}` in\n{line}");
        if !over.contains("Plant_2") {
            assert_eq!(
                errors.lines().count(),
                1,
                "{over}: one fault, one line:\n{errors}"
            );
        }
    }
}

#[test]
fn bad_values_are_named_with_their_place() {
    let given = good()
        .file("over.toml", "\n[service]\nlog = 3\n")
        .set("pipeline.plant.workers=0")
        .env("TIDECAST__STORE__KEEP", "2");
    let errors = given.load().unwrap_err().to_string();
    let folder = given.folder();
    assert!(errors.contains(&format!("({folder}/over.toml:3)")), "{errors}");
    assert!(errors.contains("(--set)"), "{errors}");
    assert!(errors.contains("(environment TIDECAST__STORE__KEEP)"), "{errors}");
    assert_eq!(errors.lines().count(), 3, "all at once");
}

/// Each of these is one that the crate `config` would not carry by itself: `config::tree` says why.
#[test]
fn bad_keys_keep_their_place_through_the_merge() {
    let over = "\
[kafak]
[service]
colour = { a = 1 }
[kafka]
commit_interval_ms = 99999999999999999999
[pipeline]
\"*\" = 1
[Service]
Log = \"a\"
";
    let given = good()
        .file("environment over.toml", over)
        .file("dots.toml", "\"service.log\" = \"a\"\n\"store\" = 7\n")
        .set("kafak.group=a")
        .set("service.colour.b=2");
    let errors = given.load().unwrap_err().to_string();
    let place = |line: usize| format!("({}/environment over.toml:{line})", given.folder());
    let dots = |line: usize| format!("({}/dots.toml:{line})", given.folder());
    for (key, reason, origin) in [
        ("kafak", "is no key", "(--set)".to_owned()),
        ("service.colour", "is no key", "(--set)".to_owned()),
        ("kafka.commit_interval_ms", "`\"99999999999999999999\"`", place(5)),
        ("pipeline.*", "write [pipeline.\"*\"]", place(7)),
        ("Service", "did you mean `service`?", place(8)),
        ("service.log", "is no key", dots(1)),
        ("store", "a table is needed", dots(2)),
    ] {
        let line = errors.lines().find(|line| line.starts_with(&format!("{key}: ")));
        let line = line.unwrap_or_else(|| panic!("no line for `{key}` in\n{errors}"));
        assert!(
            line.contains(reason) && line.ends_with(&origin),
            "{reason}, {origin}:\n{line}"
        );
    }
    let empty = good()
        .file("empty.toml", "\n[kafak]\n")
        .load()
        .unwrap_err()
        .to_string();
    assert!(empty.ends_with("empty.toml:2)"), "{empty}");
}

#[test]
fn bad_without_a_pipeline_says_what_to_add() {
    let errors = Given::default().load().unwrap_err().to_string();
    assert!(
        errors.starts_with("pipeline: there is none, no --config FILE was given"),
        "{errors}"
    );
    assert!(errors.contains("a table [pipeline.NAME]"), "{errors}");
    let empty = Given::default().file("a.toml", "");
    let errors = empty.load().unwrap_err().to_string();
    assert!(!errors.contains("--config"), "{errors}");
    assert!(errors.contains("add a table [pipeline.NAME]"), "{errors}");
}

#[test]
fn bad_files_are_no_reason_to_miss_their_pipelines() {
    let broken = Given::default().file("broken.toml", "[pipeline.plant\n");
    let mut gone = Given::default();
    gone.files.push("/nowhere/gone.toml".into());
    for given in [broken, gone] {
        let errors = given.load().unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(".toml"), "{errors}");
    }
}

#[test]
fn bad_pipeline_without_anything_misses_every_key_that_has_no_default() {
    let errors = Given::default()
        .file("a.toml", "[pipeline.p]\n")
        .load()
        .unwrap_err()
        .to_string();
    for (key, way_out) in [
        ("pipeline.p.input.topics", "write `topics = [\"sensors\"]`"),
        ("pipeline.p.input.values", "write `values = [\"temperature\"]`"),
        ("pipeline.p.output.topic", "write `topic = \"forecasts\"`"),
        (
            "pipeline.p.dead_letter.topic",
            "write `topic = \"forecasts.dead\"`",
        ),
    ] {
        let line = errors
            .lines()
            .find(|line| line.starts_with(&format!("{key}: is missing")))
            .expect(key);
        assert!(line.contains(way_out), "{line}");
    }
    assert_eq!(errors.lines().count(), 4);
}

#[test]
fn bad_files_are_named() {
    let broken = Given::default().file("broken.toml", "[service]\nlog = \"info\"\nlog = \"debug\"\n");
    let errors = broken.load().unwrap_err().to_string();
    assert!(errors.contains("broken.toml:3: is no TOML"), "{errors}");
    let mut gone = good();
    gone.files.push("/nowhere/gone.toml".into());
    let errors = gone.load().unwrap_err().to_string();
    assert!(
        errors.starts_with("/nowhere/gone.toml: cannot be read"),
        "{errors}"
    );
}

#[test]
fn bad_circles_of_pipelines_are_refused_and_chains_are_not() {
    let second = |output: &str| {
        format!(
            "[pipeline.second]\ninput = {{ topics = [\"forecasts\"], values = [\"observed\"] }}\n\
             output = {{ topic = \"{output}\" }}\ndead_letter = {{ topic = \"dead\" }}\n"
        )
    };
    assert!(good().file("b.toml", &second("more")).load().is_ok());
    let errors = good()
        .file("b.toml", &second("sensors"))
        .load()
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("pipeline.plant.output.topic: comes back as input"),
        "{errors}"
    );
    let twin = GOOD.replace("plant", "twin");
    assert!(
        good().file("b.toml", &twin).load().is_ok(),
        "two pipelines may write one topic"
    );
}

#[test]
fn bad_secrets_do_not_show_in_messages() {
    let errors = good()
        .file("b.toml", "[kafka]\nclient = { \"sasl.password\" = [\"hush\"] }")
        .load()
        .unwrap_err();
    assert!(!errors.to_string().contains("hush"), "{errors}");
}

#[test]
fn bad_properties_of_the_client_are_told_with_everything_else() {
    let given = good()
        .file(
            "b.toml",
            "[service]\nlog = 3\n[kafka]\nclient = { \"sasl.passwrd\" = { env = \"X\" }, \"session.timeout.ms\" = \"soon\", \"acks\" = \"1\" }\n",
        )
        .env("X", "hunter2secret");
    let errors = given.load_with(crate::kafka::refused).unwrap_err().to_string();
    for key in ["sasl.passwrd", "session.timeout.ms", "acks"] {
        let line = format!("kafka.client.{key}: is refused, ");
        assert_eq!(errors.matches(&line).count(), 1, "{key}:\n{errors}");
    }
    assert!(errors.contains("No such configuration property"), "{errors}");
    assert!(errors.contains("b.toml:4)"), "{errors}");
    assert_eq!(errors.lines().count(), 4, "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn bad_properties_that_do_not_go_together_are_told_once() {
    let given = good()
        .set("kafka.client.session.timeout.ms=30000")
        .set("kafka.client.max.poll.interval.ms=20000");
    let errors = given.load_with(crate::kafka::refused).unwrap_err().to_string();
    assert!(errors.starts_with("kafka.client: is refused, "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(good().load_with(crate::kafka::refused).is_ok());
}
