//! Whether this process may write now.
//!
//! A leader may write until an instant of its own monotonic clock, which each renewal of its Lease moves on. Whoever
//! writes asks before each step ([`Leadership::during`]), so a process that was stopped in the middle of its work and
//! goes on when another one leads begins no write any more, even before it has noticed anything. A request that was
//! handed to its connection before cannot be called back; the versions that writes name are for those.

use std::pin::pin;
use std::task::Poll;

use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this process leads. Clones share it.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Sender<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Counts the terms, those that are over among them.
    term: u64,
    reign: Reign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reign {
    /// Nobody else writes.
    Sole,
    Until(Instant),
    Over,
}

impl State {
    fn leads(self, now: Instant) -> bool {
        match self.reign {
            Reign::Sole => true,
            Reign::Until(end) => now < end,
            Reign::Over => false,
        }
    }
}

impl Leadership {
    /// That of a process beside which there is no other.
    pub fn sole() -> Self {
        Self(watch::Sender::new(State { term: 1, reign: Reign::Sole }))
    }

    /// That of a process that has to be elected first.
    pub fn standby() -> Self {
        Self(watch::Sender::new(State { term: 0, reign: Reign::Over }))
    }

    /// True while this process may write.
    pub fn leads(&self) -> bool {
        self.0.borrow().leads(Instant::now())
    }

    /// This process may write until `end`. A term that is not over goes on.
    pub(crate) fn lead_until(&self, end: Instant) {
        self.0.send_modify(|state| {
            if !state.leads(Instant::now()) {
                state.term += 1;
            }
            state.reign = Reign::Until(end);
        });
    }

    /// This process may not write any more.
    pub(crate) fn step_down(&self) {
        self.0.send_modify(|state| state.reign = Reign::Over);
    }

    /// Does some work as the leader: `None` where this process does not lead, or no longer does before the work is
    /// done, which then stops where it is. No step of it begins after the term's end.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let term = self.0.borrow().term;
        let still = || {
            let state = *self.0.borrow();
            state.term == term && state.leads(Instant::now())
        };
        let (mut over, mut work) = (pin!(self.over(term)), pin!(work));
        std::future::poll_fn(|context| {
            // The clock and not the timer: after a standstill the timer may not have struck yet.
            if !still() || over.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Each beginning of a term, also of the present one.
    pub(crate) fn terms(&self) -> impl Stream<Item = ()> + Send + 'static {
        let begun = (self.0.subscribe(), 0);
        futures::stream::unfold(begun, |(mut states, seen)| async move {
            let begins = |state: &State| state.term > seen && state.leads(Instant::now());
            let term = states.wait_for(begins).await.ok()?.term;
            Some(((), (states, term)))
        })
    }

    /// Waits for the end of the present term.
    pub(crate) async fn ended(&self) {
        let term = self.0.borrow().term;
        self.over(term).await;
    }

    /// Waits for the end of a term.
    async fn over(&self, term: u64) {
        let mut states = self.0.subscribe();
        loop {
            let state = *states.borrow_and_update();
            if state.term != term || !state.leads(Instant::now()) {
                return;
            }
            let end = async {
                match state.reign {
                    Reign::Until(end) => tokio::time::sleep_until(end).await,
                    Reign::Sole | Reign::Over => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => {}
                // The sender lives in `self`, so this cannot fail.
                _ = states.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use futures::{FutureExt, StreamExt};

    use super::*;

    const TERM: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn work_goes_on_while_the_term_is_renewed_and_stops_at_its_end() {
        let leadership = Leadership::standby();
        assert_eq!(leadership.during(async { 1 }).await, None, "nobody has elected it");
        leadership.lead_until(Instant::now() + TERM);
        assert_eq!(leadership.during(async { 1 }).await, Some(1));
        let began = Instant::now();
        let renewals = async {
            for _ in 0..5 {
                tokio::time::sleep(TERM / 5).await;
                leadership.lead_until(Instant::now() + TERM);
            }
            pending::<()>().await;
        };
        let work = leadership.during(pending::<()>());
        tokio::select! {
            () = renewals => {}
            done = work => assert_eq!(done, None),
        }
        assert!(began.elapsed() >= TERM * 2, "it was renewed");
        assert!(!leadership.leads());
    }

    #[tokio::test]
    async fn no_step_begins_after_a_standstill_that_outlasts_the_term() {
        let leadership = Leadership::standby();
        leadership.lead_until(Instant::now() + TERM);
        let mut steps = 0;
        let mut work = Box::pin(leadership.during(std::future::poll_fn(|context| {
            steps += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        assert!(work.as_mut().now_or_never().is_none());
        // Timers strike when the runtime runs: here the whole thread stands still.
        std::thread::sleep(TERM);
        assert_eq!(work.now_or_never(), Some(None));
        assert_eq!(steps, 1);
    }

    #[tokio::test]
    async fn work_of_one_term_does_not_go_on_in_the_next() {
        let leadership = Leadership::standby();
        leadership.lead_until(Instant::now() + LONG);
        let mut work = Box::pin(leadership.during(pending::<()>()));
        assert!(work.as_mut().now_or_never().is_none());
        leadership.step_down();
        leadership.lead_until(Instant::now() + LONG);
        assert_eq!(work.now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn each_term_is_told_once() {
        let leadership = Leadership::standby();
        let mut terms = Box::pin(leadership.terms());
        assert!(terms.next().now_or_never().is_none());
        for _ in 0..3 {
            leadership.lead_until(Instant::now() + LONG);
            leadership.lead_until(Instant::now() + LONG);
            assert_eq!(terms.next().now_or_never(), Some(Some(())));
            assert!(terms.next().now_or_never().is_none());
            leadership.step_down();
        }
        let sole = Leadership::sole();
        assert_eq!(Box::pin(sole.terms()).next().now_or_never(), Some(Some(())));
        assert_eq!(sole.during(async { 1 }).await, Some(1));
    }
}
