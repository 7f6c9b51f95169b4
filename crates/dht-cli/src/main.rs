//! Command `dht`.

fn main() -> std::process::ExitCode {
    dht_cli::main()
}
