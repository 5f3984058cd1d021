//! Secrets: where they come from, and that they stay there.

use super::{Given, good};

const SECRET: &str = "[kafka]\nclient = { \"sasl.password\" = { file = \"password\" }, \"ssl.key.password\" = \"plain-hush\", \"sasl.username\" = \"me\" }\n";

fn password(given: &Given) -> String {
    given.load().unwrap().config.kafka.client["sasl.password"].clone()
}

#[test]
fn secrets_are_read_beside_the_file_without_its_line_feed() {
    let given = good().file("secret.toml", SECRET).file("password", "hush\n");
    assert_eq!(password(&given), "hush");
}

#[test]
fn secrets_are_read_from_credentials_where_systemd_gives_them() {
    let credentials = Given::default().file("password", "from systemd");
    let given = good()
        .file("secret.toml", SECRET)
        .file("password", "beside")
        .env("CREDENTIALS_DIRECTORY", &credentials.folder());
    assert_eq!(password(&given), "from systemd");
}

#[test]
fn secrets_are_read_from_the_environment() {
    let given = good()
        .env("PASSWORD", "hush")
        .set("kafka.client.sasl.password={ env = \"PASSWORD\" }");
    assert_eq!(password(&given), "hush");
    let direct = good().env("TIDECAST__KAFKA__CLIENT__SASL_PASSWORD", "hush");
    assert_eq!(password(&direct), "hush");
}

#[test]
fn secrets_that_cannot_be_read_are_named_with_the_full_path() {
    let given = good().set("kafka.client.sasl.password={ file = \"gone\" }");
    let errors = given.load().unwrap_err().to_string();
    let full = std::env::current_dir().unwrap().join("gone");
    assert!(
        errors.contains(&format!("the file `{}` cannot be read", full.display())),
        "{errors}"
    );
}

#[test]
fn secrets_that_are_empty_are_refused() {
    let given = good().file("secret.toml", SECRET).file("password", "\n");
    let errors = given.load().unwrap_err().to_string();
    assert!(
        errors.contains("kafka.client.sasl.password: the file") && errors.contains("is empty"),
        "{errors}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let given = good()
        .file("secret.toml", SECRET)
        .file("password", "file-hush")
        .set("kafka.client.sasl.oauthbearer.client.secret=set-hush");
    let resolved = given.load().unwrap();
    let text = resolved.to_string();
    for shown in [
        text.clone(),
        format!("{resolved:?}"),
        format!("{:?}", resolved.config),
    ] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    assert!(
        text.contains("\"sasl.password\" = { file = \"password\" }"),
        "{text}"
    );
    assert!(text.contains("\"ssl.key.password\" = \"(hidden)\""), "{text}");
    assert!(text.contains("\"sasl.username\" = \"me\""), "{text}");
}
