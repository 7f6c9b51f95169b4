//! A server that plays the hub on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;
use sha2::{Digest, Sha256};

/// Commit of every branch.
pub const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// Fault of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Every question is answered with this status.
    Status(u16),
    /// Files end in their middle.
    CutOff,
    /// Files have another byte.
    OtherByte,
    /// Files are one byte shorter, and said to be.
    Shorter,
    /// The list has no sums.
    NoSums,
    /// The list is not JSON.
    NoJson,
    /// The list has a path that leads out of the cache.
    PathOutside,
}

#[derive(Default)]
struct State {
    /// By `datasets/OWNER/NAME` or `models/OWNER/NAME`, then branch, then path.
    repositories: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    asked: Vec<String>,
    fault: Fault,
}

/// The server; it answers as long as the process lives.
#[derive(Clone)]
pub struct Hub {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let hub = Self { address, state: Arc::default() };
        let answering = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is its own affair.
                let _ = answering.answer(stream);
            }
        });
        hub
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }

    /// Adds a file to a branch of `datasets/OWNER/NAME` or `models/OWNER/NAME`.
    pub fn put(&self, repository: &str, branch: &str, path: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let branches = state.repositories.entry(repository.into()).or_default();
        branches.entry(branch.into()).or_default().insert(path.into(), bytes);
    }

    pub fn break_with(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let (mut path, mut range) = (String::new(), None);
        for (number, line) in BufReader::new(stream.try_clone()?).lines().enumerate() {
            let line = line?;
            if number == 0 {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(bytes) = line.to_lowercase().strip_prefix("range: bytes=") {
                range = bytes.split_once('-').map(|(a, b)| (a.parse().unwrap_or(0), b.parse::<usize>().ok()));
            }
            if line.is_empty() {
                break;
            }
        }
        let (head, body, cut) = {
            let mut state = self.state();
            state.asked.push(path.clone());
            let (head, body) = self.response(&state, &path, range);
            (head, body, state.fault == Fault::CutOff && path.starts_with("/cdn/"))
        };
        write!(stream, "HTTP/1.1 {head}content-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
        stream.write_all(if cut && body.len() > 1 { &body[..body.len() / 2] } else { &body })
    }

    fn response(&self, state: &State, path: &str, range: Option<(usize, Option<usize>)>) -> (String, Vec<u8>) {
        let missing = || ("404 Not Found\r\n".to_owned(), Vec::new());
        if let Fault::Status(status) = state.fault {
            return (format!("{status} Refused\r\n"), Vec::new());
        }
        let path = path.replace("%2F", "/");
        if let Some(rest) = path.strip_prefix("/api/") {
            let Some((repository, branch)) = rest.split_once('?').unwrap_or((rest, "")).0.split_once("/revision/")
            else {
                return missing();
            };
            let files = state.repositories.get(repository).and_then(|branches| branches.get(branch));
            return files.map_or_else(missing, |files| ("200 OK\r\n".into(), list(state.fault, files)));
        }
        if let Some(file) = path.strip_prefix("/cdn/") {
            let Some(bytes) = find(state, file) else { return missing() };
            return part(&damaged(state.fault, bytes), range, "");
        }
        let Some(bytes) = find(state, path.trim_start_matches('/')) else { return missing() };
        let head = format!("x-repo-commit: {COMMIT}\r\netag: \"{}\"\r\n", sum(bytes));
        // Small files come at once, large ones from another place.
        if !path.ends_with(".parquet") {
            return part(bytes, range, &head);
        }
        let head = format!("{head}x-linked-etag: \"{}\"\r\nlocation: {}/cdn{path}\r\n", sum(bytes), self.address);
        (format!("302 Found\r\n{head}"), Vec::new())
    }
}

/// The file of `datasets/OWNER/NAME/resolve/REVISION/PATH`, or without `datasets/` of a model.
fn find<'a>(state: &'a State, path: &str) -> Option<&'a Vec<u8>> {
    let (repository, file) = path.split_once("/resolve/")?;
    let repository =
        if repository.starts_with("datasets/") { repository.to_owned() } else { format!("models/{repository}") };
    let (revision, file) = file.split_once('/')?;
    let branches = state.repositories.get(&repository)?;
    let branch = branches.get(revision).and_then(|files| files.get(file));
    branch.or_else(|| branches.values().filter(|_| revision == COMMIT).find_map(|files| files.get(file)))
}

fn list(fault: Fault, files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let file = |(path, bytes): (&String, &Vec<u8>)| {
        let path = if fault == Fault::PathOutside { format!("../../../{path}") } else { path.clone() };
        let large = json!({ "sha256": sum(bytes), "size": bytes.len(), "pointerSize": 130 });
        match path.ends_with(".parquet") && fault != Fault::NoSums {
            true => json!({ "rfilename": path, "size": bytes.len(), "blobId": "1", "lfs": large }),
            false => json!({ "rfilename": path, "size": bytes.len(), "blobId": "1" }),
        }
    };
    let answer =
        json!({ "id": "a", "sha": COMMIT, "siblings": files.iter().map(file).collect::<Vec<_>>() }).to_string();
    if fault == Fault::NoJson { answer.into_bytes()[1..].to_vec() } else { answer.into_bytes() }
}

fn damaged(fault: Fault, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match fault {
        Fault::OtherByte => bytes[4] ^= 1,
        Fault::Shorter => bytes.truncate(bytes.len() - 1),
        _ => {}
    }
    bytes
}

fn part(all: &[u8], range: Option<(usize, Option<usize>)>, head: &str) -> (String, Vec<u8>) {
    match range {
        None => (format!("200 OK\r\n{head}"), all.to_vec()),
        Some((first, _)) if first >= all.len() => ("416 Range Not Satisfiable\r\n".into(), Vec::new()),
        Some((first, last)) => {
            let last = last.unwrap_or(all.len() - 1).min(all.len() - 1);
            let place = format!("content-range: bytes {first}-{last}/{}\r\n", all.len());
            (format!("206 Partial Content\r\n{head}{place}"), all[first..=last].to_vec())
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
