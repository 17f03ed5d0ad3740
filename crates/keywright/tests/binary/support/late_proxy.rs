//! A database that is not there yet.

use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A port on which nobody listens until it is opened; from then on it leads to a database.
pub struct LateProxy {
    port: u16,
    target: String,
}

impl LateProxy {
    /// A proxy to the database of a URL, and the URL through the proxy.
    pub fn to(database: &str) -> (Self, String) {
        let port = super::free_port();
        let mut url = Url::parse(database).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        (Self { port, target }, url.into())
    }

    /// Lets connections through from now on.
    pub async fn open(self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = self.target.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    // Either side may close whenever it likes.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    }
}
