//! Tests of `dht serve` as a process: flags in the environment and in a file.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `dht serve` with a file of flags until it ends. The port in the file is in use, so that it always ends.
fn serve(file: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dht.toml");
    std::fs::write(&path, file).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dht"));
    command.arg("serve").args(arguments).env_remove("DHT_TOKEN").envs(environment.iter().copied());
    if !file.is_empty() {
        command.arg("--config").arg(&path);
    }
    let output = command.output().expect("a process");
    let said = String::from_utf8_lossy(&output.stderr).replace(&path.display().to_string(), "FILE");
    (output, said)
}

#[test]
fn a_file_with_a_fault_is_refused_by_key() {
    for (file, reason) in [
        ("prot = 9000", "FILE: unknown key `prot`, expected one of model, port"),
        ("port = 1\nport = 2", "duplicate key"),
        ("port = \"many\"", "FILE: port: invalid value 'many': invalid digit"),
        ("port = 70000", "FILE: port: invalid value '70000'"),
        ("port = [1, 2]", "FILE: port: expected one value, not a list"),
        ("host = \"somewhere\"", "expected an IP address or localhost"),
        ("quiet = \"maybe\"", "FILE: quiet: invalid value 'maybe'"),
        ("[serve]\nport = 1", "FILE: unknown key `serve`"),
        ("config = \"other.toml\"", "unknown key `config`"),
        ("help = true", "unknown key `help`"),
        ("port = ", "FILE: TOML parse error at line 1"),
        ("deadline-ms = 0", "--deadline-ms is 0, expected at least 1"),
        ("speed = 0.3\nbudget = 0.5", "only one of them"),
    ] {
        let (output, said) = serve(file, &["nowhere"], &[]);
        assert_eq!(output.status.code(), Some(2), "{file}: {said}");
        assert!(said.contains(reason), "{file}: {said}");
    }
    let (output, said) = serve("", &["nowhere", "--config", "no.toml"], &[]);
    assert!(!output.status.success() && said.contains("no.toml: "), "{said}");
}

#[test]
fn the_command_line_precedes_the_environment_and_it_the_file() {
    // The error about the missing path shows which value was used.
    let file = "model = \"of-file\"\nallow-host = [\"a\", \"b\"]\nquiet = true\n";
    let taken = |arguments: &[&str], environment: &[(&str, &str)]| serve(file, arguments, environment).1;
    let of_file = taken(&[], &[]);
    assert!(of_file.contains("of-file"), "{of_file}");
    let of_environment = taken(&[], &[("DHT_SERVE_MODEL", "of-environment")]);
    assert!(of_environment.contains("of-environment"), "{of_environment}");
    let of_line = taken(&["of-line"], &[("DHT_SERVE_MODEL", "of-environment")]);
    assert!(of_line.contains("of-line"), "{of_line}");
    let empty = taken(&[], &[("DHT_SERVE_MODEL", "")]);
    assert!(empty.contains("of-file"), "an empty variable is not set: {empty}");
}

#[test]
fn a_variable_with_a_fault_is_refused() {
    // Kubernetes sets this variable for a service named dht-serve.
    let (output, said) = serve("", &["nowhere"], &[("DHT_SERVE_PORT", "tcp://10.0.0.1:80")]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("tcp://10.0.0.1:80") && said.contains("--port"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_token_that_all_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let said = |mode: u32, path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        serve("", &["nowhere", "--token-file", path.to_str().unwrap()], &[]).1
    };
    assert!(said(0o644, &token).contains("warning: all users can read the token"));
    assert!(!said(0o640, &token).contains("warning"));
}
