//! Two rotators on one PostgreSQL.

mod common;

use common::{EDDSA, ES256, clock, costing, declaration, every, hours};
use harness::TestDatabase;
use jose::Algorithm;
use jose::schedule::State;
use store::{Store, StoredKeySet, Turn};

const TURNS: i64 = 1000;

/// Reading the lifetimes and the set, and writing nothing.
const COST_OF_A_LOOK: u64 = 2;

fn kids(set: &StoredKeySet) -> Vec<String> {
    let mut kids: Vec<_> = set.keys.iter().map(|key| key.schedule.kid.to_string()).collect();
    kids.sort_unstable();
    kids
}

/// The lines of the keys that are in a state now, ES256 first.
fn lines(store: &Store, set: &StoredKeySet, state: State) -> Vec<Algorithm> {
    let now = store.clock().now();
    let keys = set.keys.iter().map(|key| &key.schedule).filter(|key| key.instants.state(now) == state);
    let mut lines: Vec<_> = keys.map(|key| key.algorithm).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotators_race_a_thousand_times_for_one_next_key_per_line() {
    let database = TestDatabase::postgres().await;
    let clock = clock();
    // Neither caches: they need no invalidations.
    let open = async || {
        let options = store::Options { listen_url: None, ..database.options_with(2) };
        Store::open(options, clock.clone(), jose::Entropy::system()).await.unwrap()
    };
    let rotators = [open().await, open().await];
    let mut declared = declaration("applications", every(24, 1));
    declared.policy.algorithms = vec![ES256, EDDSA];
    rotators[0].declare_key_set(&declared).await.unwrap();
    clock.advance(hours(23));

    let mut raced = 0;
    for turn in 0..TURNS {
        // The instant at which the next key is due to be written.
        let racing = rotators.each_ref().map(|store| {
            let (store, declared) = (store.clone(), declared.clone());
            tokio::spawn(async move { costing(&store, store.declare_key_set(&declared)).await })
        });
        let mut turns: Vec<Turn> = Vec::new();
        for racing in racing {
            let (done, statements) = racing.await.unwrap();
            let done = done.unwrap();
            if done.plan.create.is_empty() && statements > COST_OF_A_LOOK {
                raced += 1;
            }
            turns.push(done);
        }
        let made: usize = turns.iter().map(|turn| turn.plan.create.len()).sum();
        assert_eq!(made, 2, "turn {turn}: one rotator made one key for each line");
        assert_eq!(kids(&turns[0].after), kids(&turns[1].after), "turn {turn}: the loser sees the winner's");
        for Turn { after, .. } in &turns {
            assert_eq!(after.version, turns[0].after.version);
            assert_eq!(lines(&rotators[0], after, State::Next), [ES256, EDDSA], "turn {turn}");
            assert_eq!(lines(&rotators[0], after, State::Active), [ES256, EDDSA], "turn {turn}");
        }
        // Just before the next one signs, and just when it does.
        for step in [jiff::SignedDuration::from_secs(3599), jiff::SignedDuration::from_secs(1)] {
            clock.advance(step);
            let set = rotators[0].read_key_set("applications").await.unwrap().unwrap();
            assert_eq!(lines(&rotators[0], &set, State::Active), [ES256, EDDSA], "turn {turn}");
        }
        clock.advance(hours(23));
    }
    assert!(raced > TURNS / 4, "only {raced} of {TURNS} turns were races: this test shows nothing");
}
