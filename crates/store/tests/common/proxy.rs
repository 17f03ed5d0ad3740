//! A network that fails on command.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// Stands between a store and its PostgreSQL.
pub struct Proxy {
    /// The database's URL through the proxy.
    pub url: String,
    listen: String,
    network: Arc<Network>,
    acceptor: Option<AbortOnDropHandle<()>>,
}

struct Network {
    target: String,
    /// Odd while bytes are swallowed. A connection made under another number than the present one is lost for ever.
    age: AtomicUsize,
    swallowed: AtomicUsize,
    /// How many messages went to the database.
    sent: AtomicUsize,
    /// Answers with this in them are kept back.
    held: watch::Sender<Option<&'static str>>,
    /// How many are, now.
    held_answers: AtomicUsize,
    connections: Mutex<JoinSet<()>>,
}

impl Proxy {
    pub async fn to(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(address.port())).unwrap();
        // It reads along.
        url.query_pairs_mut().append_pair("sslmode", "disable");
        let network = Network {
            target,
            age: AtomicUsize::new(0),
            swallowed: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            held: watch::Sender::new(None),
            held_answers: AtomicUsize::new(0),
            connections: Mutex::default(),
        };
        let mut proxy =
            Self { url: url.into(), listen: address.to_string(), network: Arc::new(network), acceptor: None };
        proxy.accept_on(listener);
        proxy
    }

    /// From now on bytes vanish both ways, and nobody is told: connections stay open, new ones are accepted.
    pub fn swallow(&self) {
        assert_eq!(self.network.age.fetch_add(1, Ordering::SeqCst) % 2, 0, "it swallows already");
    }

    /// Lets new connections through again. Those from before stay lost, as after the failure of a stateful firewall.
    pub fn pass(&self) {
        assert_eq!(self.network.age.fetch_add(1, Ordering::SeqCst) % 2, 1, "it passes already");
    }

    /// How many bytes have vanished.
    pub fn swallowed(&self) -> usize {
        self.network.swallowed.load(Ordering::SeqCst)
    }

    /// How many messages went to the database.
    pub fn sent(&self) -> usize {
        self.network.sent.load(Ordering::SeqCst)
    }

    /// Keeps back what the database answers with `text` in it, or lets everything through again.
    pub fn hold_answers(&self, text: Option<&'static str>) {
        self.network.held.send_replace(text);
    }

    /// How many answers are kept back.
    pub fn held_answers(&self) -> usize {
        self.network.held_answers.load(Ordering::SeqCst)
    }

    /// Closes all connections, and refuses new ones.
    pub async fn cut(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
            let _ = acceptor.await;
        }
        let mut connections = std::mem::take(&mut *self.network.connections.lock().unwrap());
        connections.shutdown().await;
    }

    /// Accepts connections again.
    pub async fn restore(&mut self) {
        self.accept_on(TcpListener::bind(&self.listen).await.unwrap());
    }

    fn accept_on(&mut self, listener: TcpListener) {
        let network = self.network.clone();
        self.acceptor = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carried = network.clone().carry(client);
                network.connections.lock().unwrap().spawn(carried);
            }
        })));
    }
}

impl Network {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        let age = self.age.load(Ordering::SeqCst);
        let server = TcpStream::connect(&self.target).await.unwrap();
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        // Either side's end is the end of both.
        tokio::select! {
            () = self.pass_on(age, client_reads, server_writes, None) => {}
            () = self.pass_on(age, server_reads, client_writes, Some(self.held.subscribe())) => {}
        }
    }

    async fn pass_on(
        &self,
        age: usize,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        held: Option<watch::Receiver<Option<&'static str>>>,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        let goes_to_database = held.is_none();
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let holds =
                |text: &str| buffer[..read].windows(text.len()).any(|window| window == text.as_bytes());
            if let Some(mut held) = held.clone().filter(|held| held.borrow().is_some_and(holds)) {
                self.held_answers.fetch_add(1, Ordering::SeqCst);
                held.wait_for(Option::is_none).await.unwrap();
                self.held_answers.fetch_sub(1, Ordering::SeqCst);
            }
            let lost = age % 2 == 1 || self.age.load(Ordering::SeqCst) != age;
            if lost {
                self.swallowed.fetch_add(read, Ordering::SeqCst);
            } else {
                self.sent.fetch_add(usize::from(goes_to_database), Ordering::SeqCst);
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
