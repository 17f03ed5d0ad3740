//! No client secret gets anywhere but into its Secret.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use operator::ObjectError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::changes::{Case, all};
use crate::memory::Fault;
use crate::world::World;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_event_a_status_or_an_outcome() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("operator=trace,store=trace,sqlx=debug"))
        .with_writer(log.clone())
        .finish();
    // For all threads: with a thread's own subscriber, an event that another test's thread reaches first counts as
    // disabled from then on. What the other tests log does no harm here.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = World::new().await;
    let mut outcomes = Vec::new();
    for change in all() {
        for call in 0..3 {
            let name = format!("{change:?}-{call}").to_lowercase();
            let case = Case::new(&world, change, name).await;
            let error = ObjectError::Unavailable("reset".into());
            world.objects.fail(Fault { call: call + 2, after: call == 1, error });
            outcomes.push(world.reconcile(&case.name).await);
            world.objects.allow_all();
            if call == 2 {
                world.gate.close();
                outcomes.push(world.reconcile(&case.name).await);
                world.open_gate().await;
            }
            case.check(2).await;
        }
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let events = format!("{:?}", world.objects.all_events());
    let outcomes = format!("{outcomes:?}");
    let values = world.objects.all_values();
    assert!(values.len() > 50, "{}", values.len());
    // The places in question were really looked at.
    assert!(logged.contains("reconciled") && logged.contains("rotationbyperiod-1"), "{logged}");
    assert!(events.contains("SecretRotated") && outcomes.contains("Settled"));
    for value in values {
        for (place, text) in [
            ("log", &logged),
            ("event", &events),
            ("resource", &world.objects.print()),
            ("outcome", &outcomes),
        ] {
            assert!(!text.contains(&value), "{value} in a {place}");
        }
    }
}
