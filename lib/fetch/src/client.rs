//! The client: one connection pool, one policy for time-outs and tries, requests with their answers checked.
//! Writing blobs to files, and going on with them, is in `download`; what a registry wants besides, in `registry`.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, RequestBuilder, ResponseExt as _, SendBody};

use crate::error::{Cause, Error};
use crate::names::Names;
use crate::pace::{Brake, Pace};
use crate::registry::{Login, MANIFEST};

/// Connections that are kept open to one server; as many threads as that are worth using.
const KEPT_CONNECTIONS: usize = 8;
const UNAUTHORIZED: u16 = 401;
/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;
/// Where systems keep the certificates that their administrator trusts.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// When to give up.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Time to resolve and connect.
    pub connect: Duration,
    /// Longest silence while waiting for an answer or for more of it.
    pub silence: Duration,
    /// Fewest bytes a second, averaged over `silence`.
    pub least_speed: u64,
    /// Tries in a row without headway.
    pub tries: u32,
    /// Wait before the second try; doubles with each further one.
    pub back_off: Duration,
    /// Most bytes a second of a transfer.
    pub most_speed: Option<u64>,
    /// To how many other addresses one may send us on.
    pub redirects: u32,
    /// What stands between; without one, what the environment says (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub proxy: Option<Proxy>,
}

/// A server that passes requests on.
#[derive(Clone, Debug)]
pub struct Proxy(ureq::Proxy);

impl Proxy {
    /// By its address: `http://192.0.2.3:3128`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(address: &str) -> Result<Self, Error> {
        ureq::Proxy::new(address).map(Self).map_err(|error| Error::new(address, Cause::Url(error.to_string())))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(20),
            least_speed: 512,
            tries: 5,
            back_off: Duration::from_millis(500),
            most_speed: None,
            redirects: 5,
            proxy: None,
        }
    }
}

/// A pool of connections with a policy. Cheap to share between threads by reference.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    pub(crate) policy: Policy,
    login: Option<Login>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Client {
    /// A client with a policy of its own.
    pub fn new(policy: Policy) -> Self {
        Self::made(policy, None)
    }

    /// A client of a registry. What it says to be let in it says to that server alone.
    pub(crate) fn with_login(policy: Policy, login: Login) -> Self {
        Self::made(policy, Some(login))
    }

    fn made(policy: Policy, login: Option<Login>) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("ashlar/", env!("CARGO_PKG_VERSION")))
            .max_redirects(policy.redirects)
            .max_idle_connections(KEPT_CONNECTIONS)
            .max_idle_connections_per_host(KEPT_CONNECTIONS)
            .timeout_connect(Some(policy.connect))
            .timeout_resolve(Some(policy.connect))
            .timeout_recv_response(Some(policy.silence))
            .timeout_per_read(Some(policy.silence))
            .timeout_per_write(Some(policy.silence))
            .tls_config(TlsConfig::builder().root_certs(trusted_roots()).build());
        if let Some(proxy) = &policy.proxy {
            config = config.proxy(Some(proxy.0.clone()));
        }
        if let Some(login) = &login {
            config = config.accept(format!("{MANIFEST}, */*"));
            // A redirect never takes along what is said to be let in: that is so unless ureq is told otherwise.
            config = config.https_only(login.is_private());
        }
        Self { agent: Agent::with_parts(config.build(), DefaultConnector::default(), Names::default()), policy, login }
    }

    /// Fetches a document whose digest is not known beforehand (it is signed, or only a hint).
    ///
    /// # Errors
    /// After the policy's tries, or at once where another try cannot help; never more than `limit` bytes.
    pub fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
        self.until_done(url, || content(self.ask(url, None)?, limit))
    }

    /// Whether it answers with success (2xx); what it says is not read.
    ///
    /// # Errors
    /// It does not, once the policy's tries are over.
    pub fn answers(&self, url: &str) -> Result<(), Error> {
        self.until_done(url, || is_success(self.ask(url, None)?.status))
    }

    /// Sends a document, once: what it does may have been done, though no answer came. Returns the status and what was
    /// answered, of which there is never more than `limit` bytes.
    ///
    /// # Errors
    /// No answer, or one that is too long.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8], limit: u64) -> Result<(u16, Vec<u8>), Error> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = request.send(body).map_err(cause).and_then(|response| {
            let mut answer = self.answer(response);
            Ok((answer.status, answer.whole(limit)?))
        });
        answered.map_err(|cause| Error::new(url, cause))
    }

    /// For whoever lets us in: what is said to the registry is not said to them.
    pub(crate) fn get_once(&self, url: &str, limit: u64, authorization: Option<&str>) -> Result<Vec<u8>, Cause> {
        let request = authorized(self.agent.get(url), authorization);
        content(self.answer(request.call().map_err(cause)?), limit)
    }

    /// Whether there is something at an address.
    ///
    /// # Errors
    /// The server says neither, once the policy's tries are over.
    pub fn has(&self, url: &str) -> Result<bool, Error> {
        self.until_done(url, || {
            let response = self.let_in(url, &|header| authorized(self.agent.head(url), header).call())?;
            match response.status().as_u16() {
                // Some let nobody but readers ask a store that they redirect to.
                403 | 404 => Ok(false),
                status => is_success(status).map(|()| true),
            }
        })
    }

    /// Begins something at an address: where it goes on.
    pub(crate) fn begin(&self, url: &str) -> Result<String, Cause> {
        let response = self.let_in(url, &|header| authorized(self.agent.post(url), header).send_empty())?;
        is_success(response.status().as_u16())?;
        let place = response.headers().get("location").and_then(|value| value.to_str().ok());
        place.map(str::to_owned).ok_or_else(|| Cause::Url("the server does not say where to go on".to_owned()))
    }

    /// Puts content of a size to an address.
    pub(crate) fn put<R: Read>(
        &self,
        url: &str,
        kind: &str,
        size: u64,
        open: &dyn Fn() -> io::Result<R>,
    ) -> Result<(), Cause> {
        let response = self.let_in(url, &|header| {
            let request = self.agent.put(url).header("content-type", kind).header("content-length", size.to_string());
            authorized(request, header).send(SendBody::from_reader(&mut open()?.take(size)))
        })?;
        is_success(response.status().as_u16())
    }

    /// Once more with each of the policy's tries.
    pub(crate) fn until_done<T>(&self, url: &str, once: impl Fn() -> Result<T, Cause>) -> Result<T, Error> {
        let mut tries = self.tries();
        loop {
            match once() {
                Ok(done) => return Ok(done),
                Err(cause) => tries.after(cause).map_err(|cause| Error::new(url, cause))?,
            }
        }
    }

    /// Sends one request; `range` is a closed range of bytes.
    pub(crate) fn ask(&self, url: &str, range: Option<(u64, u64)>) -> Result<Answer, Cause> {
        let response = self.let_in(url, &|header| {
            let mut request = authorized(self.agent.get(url), header);
            if let Some((first, last)) = range {
                request = request.header("range", format!("bytes={first}-{last}"));
            }
            request.call()
        })?;
        Ok(self.answer(response))
    }

    /// Sends a request; once more where a registry says what to say besides.
    fn let_in(&self, url: &str, send: Call<'_>) -> Result<Response<Body>, Cause> {
        let Some(login) = self.login.as_ref().filter(|login| login.is_for(url)) else {
            return send(None).map_err(cause);
        };
        let response = send(login.header().as_deref()).map_err(cause)?;
        // Whoever we were redirected to is told nothing.
        if response.status() != UNAUTHORIZED || !login.is_for(&response.get_uri().to_string()) {
            return Ok(response);
        }
        let said = response.headers().get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let header = login.renew(self, &said.collect::<Vec<_>>().join(", "))?;
        let response = send(Some(&header)).map_err(cause)?;
        match response.status() == UNAUTHORIZED {
            true => Err(Cause::Denied(login.who().to_owned())),
            false => Ok(response),
        }
    }

    fn answer(&self, response: Response<Body>) -> Answer {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let length = header("content-length").and_then(|text| text.parse().ok());
        let content_range = header("content-range").map(str::to_owned);
        let window = self.policy.silence;
        let least = (self.policy.least_speed as f64 * window.as_secs_f64()) as u64;
        Answer {
            status: response.status().as_u16(),
            length,
            content_range,
            pace: Pace::new(window, least, Instant::now()),
            brake: self.policy.most_speed.map(|most| Brake::new(most, Instant::now())),
            body: Box::new(response.into_body().into_reader()),
            buffer: vec![0; self.policy.most_speed.map_or(CHUNK, |most| Brake::chunk(most).min(CHUNK))],
        }
    }

    pub(crate) fn tries(&self) -> Tries<'_> {
        Tries { policy: &self.policy, failed: 0 }
    }
}

/// Sends a request with an `Authorization`, or without.
type Call<'a> = &'a dyn Fn(Option<&str>) -> Result<Response<Body>, ureq::Error>;

fn authorized<B>(request: RequestBuilder<B>, header: Option<&str>) -> RequestBuilder<B> {
    match header {
        Some(header) => request.header("authorization", header),
        None => request,
    }
}

fn is_success(status: u16) -> Result<(), Cause> {
    if (200..300).contains(&status) { Ok(()) } else { Err(Cause::Status(status)) }
}

fn content(mut answer: Answer, limit: u64) -> Result<Vec<u8>, Cause> {
    match answer.status {
        200 => answer.whole(limit),
        status => Err(Cause::Status(status)),
    }
}

/// Why there is no answer.
fn cause(error: ureq::Error) -> Cause {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            Cause::Url(error.to_string())
        }
        other => Cause::Connect(other.to_string()),
    }
}

/// The certificates that the machine trusts, or Mozilla's where it has none.
fn trusted_roots() -> RootCerts {
    let file = std::env::var_os("SSL_CERT_FILE").unwrap_or_else(|| SYSTEM_BUNDLE.into());
    let Ok(bundle) = std::fs::read(file) else {
        return RootCerts::WebPki;
    };
    let certificates: Vec<_> = ureq::tls::parse_pem(&bundle)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::from(certificates) }
}

/// A response whose head arrived and whose body is read chunk by chunk.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) content_range: Option<String>,
    pace: Pace,
    brake: Option<Brake>,
    body: Box<dyn Read>,
    buffer: Vec<u8>,
}

impl Answer {
    /// All of the body.
    fn whole(&mut self, limit: u64) -> Result<Vec<u8>, Cause> {
        let mut bytes = Vec::new();
        let want = self.length.unwrap_or_default();
        while let Some(chunk) = self.next_chunk(bytes.len() as u64, want)? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Cause::TooLarge { limit });
            }
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }

    /// More of the body, None at its end. What the caller has and wants in all is for the message.
    pub(crate) fn next_chunk(&mut self, got: u64, want: u64) -> Result<Option<&[u8]>, Cause> {
        let n = self.body.read(&mut self.buffer).map_err(|error| match ureq::Error::from(error) {
            ureq::Error::Timeout(_) => Cause::Stalled { got },
            _ => Cause::Cut { got, want },
        })?;
        if n > 0 && !self.pace.goes_on(n as u64, Instant::now()) {
            return Err(Cause::Stalled { got });
        }
        if let Some(brake) = &mut self.brake {
            thread::sleep(brake.wait(n as u64, Instant::now()));
        }
        Ok((n > 0).then(|| &self.buffer[..n]))
    }
}

/// Counts failures in a row and waits between tries.
pub(crate) struct Tries<'a> {
    policy: &'a Policy,
    failed: u32,
}

impl Tries<'_> {
    /// Waits before the next try, or gives the cause back when there is none.
    pub(crate) fn after(&mut self, cause: Cause) -> Result<(), Cause> {
        self.failed += 1;
        if !cause.is_transient() || self.failed >= self.policy.tries {
            return Err(cause);
        }
        thread::sleep(self.policy.back_off * 2u32.pow((self.failed - 1).min(6)));
        Ok(())
    }

    /// Headway was made, so failures are counted anew.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }
}
