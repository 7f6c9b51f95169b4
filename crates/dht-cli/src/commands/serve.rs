//! Command `dht serve`: classifies texts over HTTP.

mod configuration;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Device;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Command};
use dht_dynamic::transformer::Precision;
use dht_dynamic::{Engine, serving::ServiceSettings};

use self::configuration::{with_environment, with_file};
use super::loaded::{Loaded, load};
use super::predict::{abstaining, check_speed, speed_within};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::server::{Limits, LoadedModel, Server, ServerSettings};
use crate::training::{Interruption, saved_directory};

/// Name of the subcommand.
const SERVE: &str = "serve";

/// Environment variable for the bearer token that requests require. It is read if no flag names a token file.
const TOKEN: &str = "DHT_TOKEN";

const EXAMPLES: &str = "Examples:
  dht serve models/reviews
  dht serve models/reviews --port 9000 --token-file token.txt --cors https://example.org
  curl localhost:8080/predict -H 'Content-Type: application/json' -d '{\"inputs\": \"The food was fine.\"}'

Each flag can also be set by an environment variable, such as DHT_SERVE_MAX_TEXTS for --max-texts and DHT_SERVE_MODEL for
the model, or by a line of the file of --config, such as max-texts = 64. The command line takes precedence over the
environment, and the environment over the file.

The page at http://localhost:8080/ classifies typed texts. On SIGTERM and Ctrl-C the server answers the accepted
requests and stops; behind a load balancer, set --drain-seconds. On SIGHUP it reloads the model.";

/// Arguments of `dht serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArguments {
    /// Model: a directory that dht saved, a Hugging Face classifier's directory, hf:NAME or hf:NAME@REVISION on the
    /// hub, or s3://BUCKET/KEY/
    #[arg(value_name = "DIR|hf:NAME|s3:URL")]
    pub model: PathBuf,
    /// Read flags from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this port; 0 selects a free port, which is printed
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Listen on this IP address or on `localhost`; 0.0.0.0 listens on all addresses of this machine
    #[arg(long, default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,
    /// Also answer /metrics, /livez and /readyz on this port, without a token and even while the model is loaded
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Name of the model in /info, /v1/models and the requests of vLLM's clients [default: the name of its directory]
    #[arg(long, value_name = "NAME")]
    pub served_model_name: Option<String>,
    /// Number of threads for matrix products and tokenising [default: all cores that the process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Speed of requests that do not set a speed [default: the model's speed]
    #[arg(long, allow_negative_numbers = true)]
    pub speed: Option<f64>,
    /// Limit the expected cost to this share of the full model's FLOPs.
    ///
    /// The speed is selected by its cost on held-out texts.
    #[arg(long, value_name = "SHARE", conflicts_with = "speed")]
    pub budget: Option<f64>,
    /// Answer with a null label if the likeliest class has a probability below P, from 0 to 1
    ///
    /// This applies to /v1/classify (also line by line) and /classify; /predict has the scores of all classes.
    #[arg(long, value_name = "P")]
    pub min_probability: Option<f32>,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Compute layers in f32, int8, bf16 or tf32.
    ///
    /// int8 requires a CPU and is faster with AVX-512 VNNI. bf16 requires CUDA or Metal, and tf32 requires CUDA.
    /// Answers change slightly.
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub precision: Precision,
    /// Require the bearer token in this file [default: the variable DHT_TOKEN; without either, no token is required]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Also answer requests to this host name (may be repeated; * for any); without a token, only IP addresses and
    /// localhost are answered
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Allow pages of this origin to read answers, such as https://example.org (may be repeated; * allows all origins)
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub cors: Vec<String>,
    /// Truncate long texts if a request in the form of text-embeddings-inference or vLLM does not set this itself;
    /// `false` refuses them
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set,
    )]
    pub auto_truncate: bool,
    /// Accept a reloaded model with other labels; otherwise the present model stays
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub allow_other_labels: bool,
    /// Maximum number of tokens in a batch
    #[arg(long, default_value_t = ServiceSettings::default().batch_tokens)]
    pub batch_tokens: usize,
    /// Maximum time in milliseconds that a text waits for others to fill a batch
    #[arg(long, default_value_t = 1)]
    pub batch_wait_ms: u64,
    /// Maximum number of waiting texts; further requests are refused with status 429
    #[arg(long, default_value_t = ServiceSettings::default().queue_texts)]
    pub queue_texts: usize,
    /// Maximum number of texts in a request, at most --queue-texts
    #[arg(long, default_value_t = Limits::default().texts)]
    pub max_texts: usize,
    /// Maximum number of bytes in a request's body
    #[arg(long, default_value_t = Limits::default().body_bytes)]
    pub max_body_bytes: usize,
    /// Maximum number of requests in progress
    #[arg(long, default_value_t = Limits::default().requests)]
    pub max_requests: usize,
    /// Maximum number of connections; beyond it, the connection that has waited longest for its client is closed
    #[arg(long, default_value_t = Limits::default().connections)]
    pub max_connections: usize,
    /// Answer a request with status 504 after this number of milliseconds
    #[arg(long, default_value_t = 10_000)]
    pub deadline_ms: u64,
    /// Maximum time in milliseconds to receive the head of a request, and again to receive its body
    #[arg(long, default_value_t = 10_000)]
    pub read_timeout_ms: u64,
    /// Maximum time in milliseconds that a response waits for a client that reads less than 1 KiB per second
    #[arg(long, default_value_t = 10_000)]
    pub write_timeout_ms: u64,
    /// Close a connection after this number of milliseconds without a request
    #[arg(long, default_value_t = 75_000)]
    pub idle_timeout_ms: u64,
    /// Keep the present model if a reload takes longer than this number of seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub reload_timeout_seconds: u64,
    /// Continue answering for this number of seconds after SIGTERM, while /readyz and /health answer with status 503; a
    /// second signal ends this time
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub drain_seconds: u64,
    /// Log only failures of the server, such as a failed reload
    #[arg(long, short, value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

/// Adds environment variables, and the file of `--config` if there is one, as defaults of the arguments of `dht serve`.
///
/// # Errors
/// Errors of [`configuration::with_file`].
pub(super) fn configured(command: Command) -> Result<Command> {
    let command = command.mut_subcommand(SERVE, with_environment);
    // Errors are ignored here: the file may have arguments that the command line lacks.
    let matches = command.clone().ignore_errors(true).try_get_matches();
    let matches = matches.ok().and_then(|matches| matches.subcommand_matches(SERVE).cloned());
    let file = matches.and_then(|matches| matches.try_get_one::<PathBuf>(configuration::FILE).ok()?.cloned());
    let Some(file) = file else { return Ok(command) };
    let mut result = Ok(());
    let command = command.mut_subcommand(SERVE, |serve| match with_file(serve.clone(), &file) {
        Ok(serve) => serve,
        Err(error) => {
            result = Err(error);
            serve
        }
    });
    result.map(|()| command)
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| "expected an IP address or localhost".to_owned()),
    }
}

/// Warns if all users of the machine can read the token file.
fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let is_open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
        if is_open {
            report(&format!("warning: all users can read the token in {0}: chmod o-r {0}", path.display()));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Runs `dht serve`: serves a model until a signal stops the server.
pub fn serve(arguments: &ServeArguments) -> Result<()> {
    #[cfg(unix)]
    Interruption::outlive_hangup();
    check_speed(arguments.speed)?;
    if arguments.speed.is_some() && arguments.budget.is_some() {
        let got = "set together with --speed".into();
        return Err(Error::Argument {
            flag: "budget",
            expected: "only one of them, also in the file of --config".into(),
            got,
        });
    }
    if let Some(threads) = arguments.threads {
        let failed = |error| Error::argument("threads", "threads that start", error);
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global().map_err(failed)?;
    }
    let (path, speed, budget) = (saved_directory(&arguments.model)?, arguments.speed, arguments.budget);
    let least = arguments.min_probability;
    let (precision, device) = (arguments.precision, arguments.device.open_in(arguments.precision)?);
    let settings = arguments.settings(&device)?;
    let load_model = move || {
        let Loaded { model, sha256 } = load(&path, &device)?;
        let speed = budget.map_or(Ok(speed), |budget| speed_within(&model, budget).map(Some))?;
        let engine = Engine::from_model(model).with_precision(precision);
        let engine = match speed {
            Some(speed) => engine.with_speed(speed)?,
            None => engine,
        };
        let engine = match least {
            Some(least) => abstaining(engine, least)?,
            None => engine,
        };
        engine.free_unpacked_weights()?;
        Ok::<_, Error>(LoadedModel { engine, sha256 })
    };
    let mut server = Server::start_with(load_model, settings, true)?;
    report(&format!("http://{} answers", server.address()));
    if let Some(address) = server.metrics_address() {
        report(&format!("http://{address}/metrics answers"));
    }
    server.wait();
    Ok(())
}

impl ServeArguments {
    fn settings(&self, device: &Device) -> Result<ServerSettings> {
        let limits = Limits {
            body_bytes: self.max_body_bytes,
            // Requests with more texts than the queue holds are never accepted.
            texts: self.max_texts.min(self.queue_texts.max(1)),
            requests: self.max_requests,
            connections: self.max_connections,
            deadline: Duration::from_millis(self.deadline_ms),
            reading: Duration::from_millis(self.read_timeout_ms),
            writing: Duration::from_millis(self.write_timeout_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
            reload: Duration::from_secs(self.reload_timeout_seconds),
            drain: Duration::from_secs(self.drain_seconds),
            ..Limits::default()
        };
        let service = ServiceSettings {
            batch_tokens: self.batch_tokens,
            max_wait: Duration::from_millis(self.batch_wait_ms),
            queue_texts: self.queue_texts,
            ..ServiceSettings::default()
        };
        let of_directory =
            || self.model.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        let dtype = match self.precision {
            Precision::F32 => "float32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bfloat16",
            Precision::Int8 => "int8",
        };
        Ok(ServerSettings {
            address: SocketAddr::new(self.host, self.port),
            metrics_port: self.metrics_port,
            threads: self.threads.map(usize::from),
            name: self.served_model_name.clone().unwrap_or_else(of_directory),
            device: if device.is_cuda() {
                "cuda"
            } else if device.is_metal() {
                "metal"
            } else {
                "cpu"
            }
            .into(),
            dtype: dtype.into(),
            token: self.token()?,
            hosts: self.allow_host.clone(),
            cors: self.cors.clone(),
            auto_truncate: self.auto_truncate,
            allow_other_labels: self.allow_other_labels,
            log: !self.quiet,
            limits,
            service,
        })
    }

    fn token(&self) -> Result<Option<String>> {
        let (token, from) = match &self.token_file {
            Some(path) => {
                warn_of_readers(path);
                let token = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
                (token, path.display().to_string())
            }
            None => match std::env::var(TOKEN) {
                Ok(token) => (token, TOKEN.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    let expected = format!("visible ASCII characters in {TOKEN}");
                    return Err(Error::Argument { flag: "token-file", expected, got: "other bytes".into() });
                }
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
