//! Measures ours and the Rust peers side by side: one JSON line a peer and size, on stdout.

mod quality;
mod speed;

fn main() {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("speed") => speed::run(),
        Some("quality") => quality::run(std::env::args().nth(2).as_deref().unwrap_or("digits.csv")),
        _ => {
            eprintln!("usage: compare-bandits speed | quality DIGITS.csv");
            std::process::exit(2);
        }
    }
}
