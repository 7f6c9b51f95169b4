//! `dht serve`.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use dht_dynamic::serving::{Engine, ServiceSettings, TextModel};
use dht_dynamic::transformer::Precision;
use sha2::{Digest, Sha256};

use super::predict::{check_speed, speed_within};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::server::{Limits, LoadedModel, Server, ServerSettings};
use crate::training::saved_directory;

/// The variable with the token, where no file is named.
const TOKEN: &str = "DHT_TOKEN";

const EXAMPLES: &str = "Examples:
  dht serve models/reviews
  dht serve models/reviews --port 9000 --token-file token.txt --cors https://example.org
  curl localhost:8080/predict -H 'Content-Type: application/json' -d '{\"inputs\": \"The food was fine.\"}'

The page at http://localhost:8080/ answers what is typed. SIGTERM and Ctrl-C stop when what was taken is answered;
SIGHUP loads the model anew.";

/// The arguments of `dht serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArguments {
    /// Directory of the model, or hf:NAME of one on the hub
    #[arg(value_name = "DIR|hf:NAME")]
    pub model: PathBuf,
    /// The port; 0 for any that is free, which is printed
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The address to listen at, or localhost; 0.0.0.0 for all of this machine
    #[arg(long, default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,
    /// Speed of requests that name none; the model's own if not set
    #[arg(long, allow_negative_numbers = true)]
    pub speed: Option<f64>,
    /// Cost at most this share of the full model's FLOPs, by what the model knows of its speeds
    #[arg(long, value_name = "SHARE", conflicts_with = "speed")]
    pub budget: Option<f64>,
    /// Device of the tensors: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Numbers that layers are computed in: f32; int8 (CPU; faster with AVX-512 VNNI); bf16 (CUDA, Metal) or tf32 (CUDA); answers change a little
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub precision: Precision,
    /// File with the token that requests have to bring; else the variable DHT_TOKEN, else nobody has to
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Origin whose pages may read answers, such as https://example.org; may be given several times; * allows all
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Truncate long texts in /predict where the request does not say
    #[arg(long)]
    pub auto_truncate: bool,
    /// Tokens of a batch
    #[arg(long, default_value_t = ServiceSettings::default().batch_tokens)]
    pub batch_tokens: usize,
    /// Milliseconds that a text waits for others, at most
    #[arg(long, default_value_t = 1)]
    pub batch_wait_ms: u64,
    /// Texts that wait, at most; beyond them requests are refused with 429
    #[arg(long, default_value_t = ServiceSettings::default().queue_texts)]
    pub queue_texts: usize,
    /// Texts of a request, at most; no more than --queue-texts
    #[arg(long, default_value_t = Limits::default().texts)]
    pub max_texts: usize,
    /// Bytes of a request's body, at most
    #[arg(long, default_value_t = Limits::default().body_bytes)]
    pub max_body_bytes: usize,
    /// Requests that are worked on at once, at most
    #[arg(long, default_value_t = Limits::default().requests)]
    pub max_requests: usize,
    /// Connections at once, at most; beyond them the one that waits longest for its client is closed
    #[arg(long, default_value_t = Limits::default().connections)]
    pub max_connections: usize,
    /// Milliseconds until a request is answered with 504
    #[arg(long, default_value_t = 10_000)]
    pub deadline_ms: u64,
    /// Milliseconds for the head of a request, and for its body
    #[arg(long, default_value_t = 10_000)]
    pub read_timeout_ms: u64,
    /// Milliseconds that a response waits for a client that does not read, or reads less than 1 KiB a second
    #[arg(long, default_value_t = 10_000)]
    pub write_timeout_ms: u64,
    /// Milliseconds that a connection stays open without a request
    #[arg(long, default_value_t = 60_000)]
    pub idle_timeout_ms: u64,
    /// Write no log but failures of the server, such as a failed reload
    #[arg(long, short)]
    pub quiet: bool,
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| "expected an IP address or localhost".to_owned()),
    }
}

/// Serves until a signal ends it.
pub fn serve(arguments: &ServeArguments) -> Result<()> {
    check_speed(arguments.speed)?;
    let (path, speed, budget) = (saved_directory(&arguments.model)?, arguments.speed, arguments.budget);
    let (precision, device) = (arguments.precision, arguments.device.open_in(arguments.precision)?);
    let load = move || {
        let sha256 = description_sha256(&path)?;
        let model = TextModel::load(&path, &device)?;
        if description_sha256(&path)? != sha256 {
            let changed = std::io::Error::other("it was replaced while it was being loaded: load it again");
            return Err(Error::Io { path: path.clone(), source: changed });
        }
        let speed = budget.map_or(Ok(speed), |budget| speed_within(&model, budget).map(Some))?;
        let engine = Engine::of(model).with_precision(precision);
        let engine = match speed {
            Some(speed) => engine.with_speed(speed)?,
            None => engine,
        };
        Ok::<_, Error>(LoadedModel { engine, sha256 })
    };
    let mut server = Server::start_with(load, arguments.settings()?, true)?;
    report(&format!("http://{} answers", server.address()));
    server.wait();
    Ok(())
}

/// SHA-256 of a model's description, which has the checksums of its other files. `None` where there is none: loading says what is missing.
fn description_sha256(model: &Path) -> Result<Option<String>> {
    let path = model.join("dht.json");
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
    }
}

impl ServeArguments {
    fn settings(&self) -> Result<ServerSettings> {
        let limits = Limits {
            body_bytes: self.max_body_bytes,
            // More than the queue holds are never taken.
            texts: self.max_texts.min(self.queue_texts.max(1)),
            requests: self.max_requests,
            connections: self.max_connections,
            deadline: Duration::from_millis(self.deadline_ms),
            reading: Duration::from_millis(self.read_timeout_ms),
            writing: Duration::from_millis(self.write_timeout_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
            ..Limits::default()
        };
        let service = ServiceSettings {
            batch_tokens: self.batch_tokens,
            max_wait: Duration::from_millis(self.batch_wait_ms),
            queue_texts: self.queue_texts,
            ..ServiceSettings::default()
        };
        let name = self.model.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        Ok(ServerSettings {
            address: SocketAddr::new(self.host, self.port),
            name,
            token: self.token()?,
            cors: self.cors.clone(),
            auto_truncate: self.auto_truncate,
            log: !self.quiet,
            limits,
            service,
        })
    }

    fn token(&self) -> Result<Option<String>> {
        let (token, from) = match &self.token_file {
            Some(path) => {
                let token = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
                (token, path.display().to_string())
            }
            None => match std::env::var(TOKEN) {
                Ok(token) => (token, TOKEN.to_owned()),
                Err(_) => return Ok(None),
            },
        };
        let token = token.trim().to_owned();
        if token.is_empty() {
            let expected = format!("a token in {from}");
            return Err(Error::Argument { flag: "token-file", expected, got: "nothing".into() });
        }
        Ok(Some(token))
    }
}
