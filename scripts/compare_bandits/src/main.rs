//! Measures ours and the Rust peers side by side: one JSON line a peer and size, on stdout.

mod datasets;
mod quality;
mod speed;

fn main() {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("speed") => speed::run(),
        Some("datasets") => {
            let arguments: Vec<String> = std::env::args().skip(2).collect();
            let (directory, names) = arguments.split_first().expect("datasets DIRECTORY SET …");
            datasets::run(directory, names);
        }
        Some("quality") => quality::run(std::env::args().nth(2).as_deref().unwrap_or("digits.csv")),
        _ => {
            eprintln!("usage: compare-bandits speed | quality DIGITS.csv | datasets DIRECTORY SET …");
            std::process::exit(2);
        }
    }
}
