//! Local test server that imitates the hub.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;
use sha2::{Digest, Sha256};

/// First commit of the branch `main` of every repository.
pub const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
/// Token that a private repository requires.
pub const TOKEN: &str = "hf_secret";

/// Fault of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Every request is answered with this status.
    Status(u16),
    /// Every request without [`TOKEN`] is answered with this status.
    Private(u16),
    /// Large files end in the middle, although their full length is stated.
    CutOff,
    /// Large files end in the middle, and the shorter length is stated.
    EndsEarly,
    /// Large files have one wrong byte.
    OtherByte,
    /// Large files are one byte shorter, and the shorter length is stated.
    Shorter,
    /// Large files are sent whole although a range is requested.
    NoRanges,
    /// Another range of a large file is sent than requested.
    OtherRange,
    /// The file list has no checksums.
    NoSums,
    /// The file list has neither checksums nor sizes.
    NamesAlone,
    /// The file list is not JSON.
    NoJson,
    /// The file list has a path that points outside of the cache.
    PathOutside,
    /// After each file list, the branch gets a commit with other files.
    Moves,
    /// The file list names a commit whose files no longer exist.
    Gone,
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Repository {
    /// Commit of each branch and tag.
    references: BTreeMap<String, String>,
    commits: BTreeMap<String, Files>,
    tags: Vec<String>,
}

impl Repository {
    /// Files and commit of a branch, a tag, or the beginning of a commit.
    fn find(&self, revision: &str) -> Option<(&str, &Files)> {
        let commit = self.references.get(revision).map_or(revision, String::as_str);
        let mut matches = self.commits.iter().filter(|(full, _)| full.starts_with(commit) && commit.len() >= 7);
        matches.next().map(|(full, files)| (full.as_str(), files))
    }

    /// Adds a commit with files to a branch, and returns its name.
    fn commit(&mut self, branch: &str, files: Files) -> String {
        let last = self.references.get(branch);
        let first = || if branch == "main" { COMMIT.to_owned() } else { sum(branch.as_bytes())[..40].to_owned() };
        let commit = last.map_or_else(first, |last| sum(last.as_bytes())[..40].to_owned());
        self.references.insert(branch.into(), commit.clone());
        self.commits.insert(commit.clone(), files);
        commit
    }
}

#[derive(Default)]
struct State {
    /// Repositories by `datasets/OWNER/NAME` or `models/OWNER/NAME`.
    repositories: BTreeMap<String, Repository>,
    asked: Vec<String>,
    fault: Fault,
}

/// Request of a client.
#[derive(Default)]
struct Question {
    path: String,
    range: Option<(usize, Option<usize>)>,
    has_token: bool,
}

/// Running test server, which answers until the process ends.
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
                // A client that closes the connection is not an error of the server.
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
        let repository = state.repositories.entry(repository.into()).or_default();
        if !repository.references.contains_key(branch) {
            repository.commit(branch, Files::new());
        }
        let commit = &repository.references[branch];
        repository.commits.entry(commit.clone()).or_default().insert(path.into(), bytes);
    }

    /// Adds a commit with the same files to a branch.
    pub fn commit(&self, repository: &str, branch: &str) -> String {
        let mut state = self.state();
        let repository = state.repositories.get_mut(repository).expect("a repository");
        let files = repository.find(branch).expect("a branch").1.clone();
        repository.commit(branch, files)
    }

    /// Tags the current commit of a branch.
    pub fn tag(&self, repository: &str, branch: &str, tag: &str) {
        let mut state = self.state();
        let repository = state.repositories.get_mut(repository).expect("a repository");
        let commit = repository.references[branch].clone();
        repository.references.insert(tag.into(), commit);
        repository.tags.push(tag.into());
    }

    pub fn break_with(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut question = Question::default();
        for (number, line) in BufReader::new(stream.try_clone()?).lines().enumerate() {
            let line = line?;
            if number == 0 {
                question.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(bytes) = line.to_lowercase().strip_prefix("range: bytes=") {
                question.range = bytes.split_once('-').map(|(a, b)| (a.parse().unwrap_or(0), b.parse().ok()));
            }
            question.has_token |= line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}"));
            if line.is_empty() {
                break;
            }
        }
        let (head, body, fault) = {
            let mut state = self.state();
            state.asked.push(question.path.clone());
            let (head, body) = self.response(&mut state, &question);
            (head, body, if question.path.starts_with("/cdn/") { state.fault } else { Fault::None })
        };
        let half = &body[..body.len() / 2];
        match fault {
            Fault::EndsEarly => {
                write!(stream, "HTTP/1.1 {head}connection: close\r\n\r\n")?;
                stream.write_all(half)
            }
            _ => {
                write!(stream, "HTTP/1.1 {head}content-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
                stream.write_all(if fault == Fault::CutOff { half } else { &body })
            }
        }
    }

    fn response(&self, state: &mut State, question: &Question) -> (String, Vec<u8>) {
        let missing = || ("404 Not Found\r\n".to_owned(), Vec::new());
        let Question { path, range, has_token } = question;
        match state.fault {
            Fault::Status(status) => return (format!("{status} Refused\r\n"), Vec::new()),
            Fault::Private(status) if !has_token => return (format!("{status} Refused\r\n"), Vec::new()),
            _ => {}
        }
        // Paths of a mirror, and of a renamed repository, are redirected.
        if let Some(rest) = path.strip_prefix("/mirror") {
            return (format!("308 Permanent Redirect\r\nlocation: {}{rest}\r\n", self.address), Vec::new());
        }
        if path.contains("/old/") {
            return (
                format!("307 Temporary Redirect\r\nlocation: {}\r\n", path.replace("/old/", "/tiny/")),
                Vec::new(),
            );
        }
        if let Some(rest) = path.strip_prefix("/api/") {
            let rest = rest.split('?').next().unwrap_or_default();
            if let Some(name) = rest.strip_suffix("/refs") {
                return state
                    .repositories
                    .get(name)
                    .map_or_else(missing, |repository| ("200 OK\r\n".into(), references(repository)));
            }
            let Some((name, revision)) = rest.split_once("/revision/") else { return missing() };
            let fault = state.fault;
            let Some(repository) = state.repositories.get_mut(name) else { return missing() };
            let revision = decoded(revision);
            let Some((commit, files)) = repository.find(&revision) else { return missing() };
            let commit = if fault == Fault::Gone { "0".repeat(40) } else { commit.to_owned() };
            let answer = ("200 OK\r\n".into(), list(fault, &commit, files));
            if fault == Fault::Moves {
                let files = files.keys().map(|path| (path.clone(), b"moved".to_vec())).collect();
                repository.commit(&revision, files);
            }
            return answer;
        }
        if let Some(file) = path.strip_prefix("/cdn/") {
            let Some((_, bytes)) = find(state, file) else { return missing() };
            let range = match (state.fault, range) {
                (Fault::NoRanges, _) => &None,
                (Fault::OtherRange, Some((first, last))) if *first > 0 => &Some((first / 2, *last)),
                _ => range,
            };
            return part(&damaged(state.fault, bytes), *range, "");
        }
        let Some((commit, bytes)) = find(state, path.trim_start_matches('/')) else { return missing() };
        let head = format!("x-repo-commit: {commit}\r\netag: \"{}\"\r\n", sum(bytes));
        // Small files are sent directly; large files are redirected to another address.
        if !is_large(path) {
            return part(bytes, *range, &head);
        }
        let head = format!("{head}x-linked-etag: \"{}\"\r\nlocation: {}/cdn{path}\r\n", sum(bytes), self.address);
        (format!("302 Found\r\n{head}"), Vec::new())
    }
}

fn is_large(path: &str) -> bool {
    [".parquet", ".safetensors", ".bin", ".onnx", ".h5"].iter().any(|end| path.ends_with(end))
}

/// Commit and content of `datasets/OWNER/NAME/resolve/REVISION/PATH`, or without `datasets/` of a model. The revision
/// is one segment of the path, as in a request to the hub.
fn find<'a>(state: &'a State, path: &str) -> Option<(String, &'a Vec<u8>)> {
    let (repository, file) = path.split_once("/resolve/")?;
    let repository =
        if repository.starts_with("datasets/") { repository.to_owned() } else { format!("models/{repository}") };
    let (revision, file) = file.split_once('/')?;
    let (commit, files) = state.repositories.get(&repository)?.find(&decoded(revision))?;
    Some((commit.to_owned(), files.get(&decoded(file))?))
}

/// Decodes a percent-encoded segment of an address.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn references(repository: &Repository) -> Vec<u8> {
    let is_tag = |name: &String| repository.tags.contains(name);
    let of = |tags: bool| {
        let names = repository.references.iter().filter(|(name, _)| is_tag(name) == tags);
        names.map(|(name, commit)| json!({ "name": name, "targetCommit": commit })).collect::<Vec<_>>()
    };
    json!({ "branches": of(false), "tags": of(true), "converts": [] }).to_string().into_bytes()
}

fn list(fault: Fault, commit: &str, files: &Files) -> Vec<u8> {
    let file = |(path, bytes): (&String, &Vec<u8>)| {
        let path = if fault == Fault::PathOutside { format!("../../../{path}") } else { path.clone() };
        let large = json!({ "sha256": sum(bytes), "size": bytes.len(), "pointerSize": 130 });
        let blob = &sum(&[b"blob", &bytes[..]].concat())[..40];
        match (fault, is_large(&path)) {
            (Fault::NamesAlone, _) => json!({ "rfilename": path }),
            (Fault::NoSums, _) | (_, false) => json!({ "rfilename": path, "size": bytes.len(), "blobId": blob }),
            (_, true) => json!({ "rfilename": path, "size": bytes.len(), "blobId": blob, "lfs": large }),
        }
    };
    let answer =
        json!({ "id": "a", "sha": commit, "siblings": files.iter().map(file).collect::<Vec<_>>() }).to_string();
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

/// SHA-256 of bytes in hexadecimal.
pub fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
