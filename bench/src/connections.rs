//! Connections that stay open, one to each API of each server process.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::request::Builder;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// A user's connections. Requests take turns among the processes.
pub(crate) struct Connections {
    public: Vec<Connection>,
    admin: Vec<Connection>,
    turn: usize,
}

struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// Which of the two APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Public,
    Admin,
}

impl Connections {
    /// Opens them.
    pub(crate) async fn open(public: &[SocketAddr], admin: &[SocketAddr]) -> Result<Self> {
        Ok(Self { public: connect_all(public).await?, admin: connect_all(admin).await?, turn: 0 })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(&mut self, api: Api, request: Builder, body: Bytes) -> Result<Answer> {
        let connections = match api {
            Api::Public => &mut self.public,
            Api::Admin => &mut self.admin,
        };
        self.turn = self.turn.wrapping_add(1);
        let next = self.turn % connections.len();
        connections[next].send(request, body).await
    }

    pub(crate) async fn get(&mut self, api: Api, path: &str) -> Result<Answer> {
        self.send(api, Request::get(path), Bytes::new()).await
    }

    /// Posts a form to the public API, authenticated by an `Authorization` header.
    pub(crate) async fn post_form(
        &mut self,
        path: &str,
        authorization: &HeaderValue,
        form: String,
    ) -> Result<Answer> {
        let request = Request::post(path)
            .header(http::header::AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(Api::Public, request, form.into()).await
    }

    /// Sends JSON to the admin API.
    pub(crate) async fn send_json(&mut self, request: Builder, body: &impl Serialize) -> Result<Answer> {
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(Api::Admin, request, serde_json::to_vec(body)?.into()).await
    }
}

async fn connect_all(addresses: &[SocketAddr]) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for address in addresses {
        connections.push(Connection::open(*address).await?);
    }
    Ok(connections)
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what goes wrong before, the sender tells.
        tokio::spawn(connection);
        Ok(Self { address, sender, host: address.to_string().try_into()? })
    }

    async fn send(&mut self, request: Builder, body: Bytes) -> Result<Answer> {
        // Servers close connections that lie idle.
        if self.sender.ready().await.is_err() {
            *self = Self::open(self.address).await?;
        }
        let request = request.header(HOST, &self.host).body(Full::new(body))?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// An answer that arrived whole.
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The same, which must have this status.
    pub(crate) fn expect(self, status: StatusCode) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        bail!("expected {status}, got {}: {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The same, which must send the browser on.
    pub(crate) fn expect_redirect(self) -> Result<Self> {
        if self.status.is_redirection() {
            return Ok(self);
        }
        bail!("expected a redirect, got {}: {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let unreadable = || format!("unexpected answer: {}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).with_context(unreadable)
    }

    /// A parameter of where the browser is sent.
    pub(crate) fn location_parameter(&self, name: &str) -> Result<String> {
        let location = self.headers.get(LOCATION).context("a redirect without Location")?.to_str()?;
        let query = location.split_once('?').map_or("", |(_, query)| query);
        let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned()).with_context(|| format!("no {name} in {location}"))
    }
}
