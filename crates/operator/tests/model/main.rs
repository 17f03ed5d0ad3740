//! The reconcilers on objects in memory and a real database: crashes between any two writes, faults of the API server,
//! rivals, and histories at random.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod clock_work;
mod memory;
mod world;

mod adoption;
mod away;
mod canaries;
mod changes;
mod crashes;
mod faults;
mod histories;
mod key_sets;
mod neighbours;
mod rivals;
mod year;

#[path = "../cluster/unmanaged.rs"]
mod unmanaged;

#[path = "../cluster/proxy.rs"]
#[expect(dead_code, reason = "the tests on a cluster do more with it")]
mod proxy;
