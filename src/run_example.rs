//! The main function of the examples of searches: arguments in, exit code out.

use std::process::ExitCode;

use dht_cli::{exit_code, report};
use dht_search::Preset;

use crate::experiment::{Arguments, RunPlan, run};
use crate::output_dir::message_if_stopped;

/// The exit code of an interrupted program.
const INTERRUPTED: i32 = 130;

/// Runs an example: a preset with these arguments. Ctrl-C ends it with exit code 130 and a line that says how to resume.
pub fn run_example(preset: Preset, arguments: Arguments) -> ExitCode {
    exit_code(RunPlan::of_preset(preset, arguments).and_then(|plan| {
        let out = plan.out_of(preset);
        // Without a handler Ctrl-C still ends the program, only without the line.
        let _ = ctrlc::set_handler(move || {
            report(&format!("\n{}", message_if_stopped(&out)));
            std::process::exit(INTERRUPTED);
        });
        run(preset, &plan).map(|_| ())
    }))
}
