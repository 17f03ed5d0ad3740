//! The events that a status accounts for.
//!
//! They are told before the status is written, so that a crash in between loses none. Where the status cannot be written,
//! the next attempt finds the same difference again, and would tell of it once more: so they are remembered until then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::applied::Place;
use crate::events::Event;

/// What was told of resources of one kind whose statuses do not say it yet.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<Place, Vec<Event>>>);

impl Told {
    /// Notes an event that is about to be told; false where it was told already.
    pub(crate) fn is_news(&self, place: Place, event: &Event) -> bool {
        let mut all = self.lock();
        let told = all.entry(place).or_default();
        let is_news = !told.contains(event);
        if is_news {
            told.push(event.clone());
        }
        is_news
    }

    /// The resource's status says it all, or the resource is gone.
    pub(crate) fn forget(&self, place: &Place) {
        self.lock().remove(place);
    }

    /// Each change of the map leaves it whole, whatever panics.
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<Event>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventReason;

    #[test]
    fn an_event_is_news_once_until_the_status_says_it() {
        let place = |name: &str| Place { namespace: "shop".into(), name: name.into() };
        let event = |note: &str| Event::new(EventReason::KeyActivated, note);
        let told = Told::default();
        for (name, note, is_news) in
            [("a", "k1", true), ("a", "k1", false), ("a", "k2", true), ("b", "k1", true), ("a", "k2", false)]
        {
            assert_eq!(told.is_news(place(name), &event(note)), is_news, "{name} {note}");
        }
        told.forget(&place("a"));
        assert!(told.is_news(place("a"), &event("k1")), "it happened again");
        assert!(!told.is_news(place("b"), &event("k1")));
    }
}
