//! A TCP proxy that can swallow everything without closing anything: a network that silently eats packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub struct SilentProxy {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    silent: AtomicBool,
    swallowed: AtomicU64,
    passed: AtomicU64,
}

impl SilentProxy {
    /// A proxy to the server of a database URL, and the URL through the proxy.
    pub async fn to(database_url: &str) -> (Self, String) {
        let (scheme, rest) = database_url.split_once("://").unwrap();
        let (credentials, rest) = rest.split_once('@').unwrap();
        let (target, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        tokio::spawn(forward(listener, target.to_owned(), Arc::clone(&state)));
        (Self { state }, format!("{scheme}://{credentials}@{address}/{path}"))
    }

    /// From here on everything is swallowed, both ways, on old and new connections.
    pub fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    /// How many bytes were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.state.swallowed.load(Ordering::SeqCst)
    }

    /// How many bytes were let through.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }
}

async fn forward(listener: TcpListener, target: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pump(from_client, to_server, Arc::clone(&state)));
        tokio::spawn(pump(from_server, to_client, Arc::clone(&state)));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if state.silent.load(Ordering::SeqCst) {
            state.swallowed.fetch_add(read as u64, Ordering::SeqCst);
            if read == 0 {
                // The other side does not even learn that this one is gone.
                std::future::pending::<()>().await;
            }
            continue;
        }
        state.passed.fetch_add(read as u64, Ordering::SeqCst);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
