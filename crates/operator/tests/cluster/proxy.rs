//! A network between the operator and its PostgreSQL or API server that fails on command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::TestDatabase;
use kube::Config;
use store::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    /// They arrive.
    Up,
    /// Those to the server wait; nobody is told.
    Stalled,
    /// Connections are closed at once.
    Down,
}

/// PostgreSQL's `Sync` alone: the pool asks whether a connection that it gets back still works.
const PING: &[u8] = b"S\0\0\0\x04";

/// Stands between the operator and a server.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    counters: Arc<Counters>,
    _acceptor: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Counters {
    refused: AtomicUsize,
    waiting: AtomicUsize,
}

impl Proxy {
    /// Before a database: its options through the proxy, and without the invalidation channel, so that all that goes
    /// through it is the operator's.
    pub async fn before_database(database: &TestDatabase) -> (Self, Options) {
        let (before, rest) = database.url.rsplit_once('@').unwrap();
        let (target, after) = rest.split_once('/').unwrap();
        let proxy = Self::to(target).await;
        let url = format!("{before}@{}/{after}", proxy.address);
        (proxy, Options { listen_url: None, ..database.options_at(url) })
    }

    /// Before an API server: how it is reached through the proxy.
    pub async fn before_api_server(config: &Config) -> (Self, Config) {
        let proxy = Self::to(config.cluster_url.authority().unwrap().as_str()).await;
        let mut config = config.clone();
        config.cluster_url = format!("https://{}/", proxy.address).parse().unwrap();
        (proxy, config)
    }

    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = watch::Sender::new(Network::Up);
        let counters = Arc::<Counters>::default();
        let (state, counts, target) = (network.clone(), counters.clone(), target.to_owned());
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), state.subscribe(), counts.clone()));
            }
        });
        Self { address, network, counters, _acceptor: AbortOnDropHandle::new(acceptor) }
    }

    /// Closes all connections, and each new one at once.
    pub fn cut(&self) {
        self.network.send_replace(Network::Down);
    }

    /// Holds back what goes to the server.
    pub fn stall(&self) {
        self.network.send_replace(Network::Stalled);
    }

    /// Lets all through again.
    pub fn restore(&self) {
        self.network.send_replace(Network::Up);
    }

    /// How many connections were closed at once so far.
    pub fn refused(&self) -> usize {
        self.counters.refused.load(Ordering::SeqCst)
    }

    /// How many requests wait now.
    pub fn waiting(&self) -> usize {
        self.counters.waiting.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: TcpStream,
    target: String,
    mut network: watch::Receiver<Network>,
    counters: Arc<Counters>,
) {
    if *network.borrow() == Network::Down {
        counters.refused.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let mut stalled = network.clone();
    let Ok(server) = TcpStream::connect(&target).await else { return };
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let to_server = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = client_reads.read(&mut buffer).await {
            if *stalled.borrow() == Network::Stalled {
                let requests = usize::from(&buffer[..read] != PING);
                counters.waiting.fetch_add(requests, Ordering::SeqCst);
                let _ = stalled.wait_for(|network| *network != Network::Stalled).await;
                counters.waiting.fetch_sub(requests, Ordering::SeqCst);
            }
            if server_writes.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = to_server => {}
        _ = tokio::io::copy(&mut server_reads, &mut client_writes) => {}
        _ = network.wait_for(|network| *network == Network::Down) => {}
    }
}
