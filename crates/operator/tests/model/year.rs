//! A year of GitOps at random: pushes, deletions, damage, losses of the database, crashes, outages, leaders that stand
//! still. Whenever it is quiet again all is as declared and nothing is left to do; and at every instant in between, a key
//! signs, every token can be verified, and no workload has lost a credential before its time.

mod clients;
mod events;
mod happening;
mod keys;
mod life;
mod losses;
mod quiet;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};

use events::{Chapter, chapter};
use life::Life;

/// How many years are lived through, where it matters that it takes long; else a few, the same ones each time.
const YEARS: &str = "KEYWRIGHT_YEARS";
const A_FEW: u32 = 3;
/// About a fortnight each.
const CHAPTERS: usize = 26;

async fn live_through(year: &[Chapter]) {
    let mut life = Box::pin(Life::new()).await;
    for (number, chapter) in year.iter().enumerate() {
        life.world.story.replace(format!("chapter {number}: {chapter:?}"));
        for event in &chapter.events {
            Box::pin(life.happen(event)).await;
        }
        Box::pin(life.live(chapter.hours)).await;
        Box::pin(life.quiet()).await;
    }
    life.had_its_year();
}

fn config() -> ProptestConfig {
    let years = std::env::var(YEARS).ok().map(|years| years.parse().unwrap());
    ProptestConfig {
        cases: years.unwrap_or(A_FEW),
        rng_seed: if years.is_some() { RngSeed::Random } else { RngSeed::Fixed(2026) },
        max_shrink_iters: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/model/year.regressions"
        )))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_year_of_gitops_ends_each_fortnight_as_declared(
        year in prop::collection::vec(chapter(), CHAPTERS),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(&year));
    }
}
