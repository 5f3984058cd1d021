//! The command line's own promises.

use clap::CommandFactory as _;

use super::Line;

#[test]
fn cli_is_consistent() {
    Line::command().debug_assert();
}

#[test]
fn cli_every_command_has_a_help_with_an_example() {
    let mut command = Line::command();
    let help = command.render_long_help().to_string();
    assert!(help.contains("Examples:"), "{help}");
    for sub in command.get_subcommands_mut() {
        let help = sub.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{help}");
    }
}
