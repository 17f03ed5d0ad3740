//! A TCP proxy that can swallow everything without closing anything, as a network does that silently eats packets, or
//! lose single answers with their connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What PostgreSQL says of something that was written, and how it ends its answer: when it has committed.
const WRITTEN: [&[u8]; 2] = [b"INSERT 0 ", b"UPDATE "];
const READY: &[u8] = b"Z\0\0\0\x05I";

pub struct SilentProxy {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    silent: AtomicBool,
    swallowed: AtomicU64,
    passed: AtomicU64,
    /// How many more answers are to be lost.
    to_lose: AtomicUsize,
    lost: AtomicUsize,
    /// Told when all connections end at once.
    cut: Notify,
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

    /// Loses the next `count` answers that say that something was written: the connection is closed in their place.
    pub fn lose_answers(&self, count: usize) {
        self.state.to_lose.store(count, Ordering::SeqCst);
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl State {
    /// Whether this is an answer that is to be lost.
    fn loses(&self, answer: &[u8]) -> bool {
        let says = |words: &&[u8]| answer.windows(words.len()).any(|window| window == *words);
        let loses = answer.ends_with(READY)
            && WRITTEN.iter().any(says)
            && self
                .to_lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        self.lost.fetch_add(usize::from(loses), Ordering::SeqCst);
        loses
    }
}

async fn forward(listener: TcpListener, target: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let there = pump(from_client, to_server, Arc::clone(&state), false);
        let back = pump(from_server, to_client, Arc::clone(&state), true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // Either side's end is the end of both.
            tokio::select! {
                () = there => {}
                () = back => {}
                () = state.cut.notified() => {}
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>, answers: bool) {
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
        if answers && state.loses(&buffer[..read]) {
            return;
        }
        state.passed.fetch_add(read as u64, Ordering::SeqCst);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
