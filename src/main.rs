//! Command line of tidecast; everything lives in the library.

fn main() -> std::process::ExitCode {
    tidecast::cli::main()
}
