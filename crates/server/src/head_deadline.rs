//! A deadline for the head of each HTTP/1.1 request, from its first byte on.
//!
//! hyper has a timer for heads as well, but that one also runs while a connection is idle between two requests, where
//! proxies expect minutes; and none runs yet while the protocol of a new connection is told from its first bytes. So
//! hyper's is the limit for idle connections, and this is the one for heads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Whether a connection is in a request's head. Shared by the socket and the service that the requests go to.
///
/// The count is even where the next byte belongs to a head, odd while a request is handled.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicUsize);

impl Phase {
    /// A request's head has arrived. On HTTP/2 there are no further heads to wait for: requests come beside each
    /// other, in frames.
    pub(crate) fn head_is_read(&self, version: Version) {
        if version < Version::HTTP_2 {
            self.0.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.store(1, Ordering::Relaxed);
        }
    }

    /// Its answer is made.
    pub(crate) fn answered(&self, version: Version) {
        if version < Version::HTTP_2 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A socket that ends with an error when a head does not arrive in time.
pub(crate) struct HeadDeadline<S> {
    socket: S,
    phase: Arc<Phase>,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// The phase that the timer runs for.
    timed: Option<usize>,
}

impl<S> HeadDeadline<S> {
    /// The first head's time begins now: a client that connects has something to say.
    pub(crate) fn new(socket: S, phase: Arc<Phase>, limit: Duration) -> Self {
        Self { socket, phase, limit, timer: Box::pin(sleep(limit)), timed: Some(0) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        let phase = this.phase.0.load(Ordering::Relaxed);
        if phase % 2 == 1 {
            return read;
        }
        let is_timed = this.timed == Some(phase);
        if read.is_pending() {
            let late = is_timed && this.timer.as_mut().poll(context).is_ready();
            return if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { read };
        }
        if !is_timed && buffer.filled().len() > before {
            this.timer.as_mut().reset(Instant::now() + this.limit);
            this.timed = Some(phase);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
