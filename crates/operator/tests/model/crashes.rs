//! A process that ends after any of its writes, and another one that goes on with the work.

use crate::changes::{CREATIONS, Case, Change, DAMAGES, DELETIONS, EDITS, METHODS, REFERENCES, ROTATIONS};
use crate::world::{NAMESPACE, World, secret_name};

/// How many writes the second of two processes makes at most before it dies too.
const SECOND: u64 = 3;

/// Lets the process that sees to `case` end after so many writes. How many it made.
async fn die_after(case: &Case<'_>, writes: u64) -> u64 {
    let Some(client) = case.world.client(&case.name) else { return 0 };
    let (reconciler, before) = (case.world.clients(), case.world.writes().await);
    case.world.die_after(writes, Box::pin(reconciler.reconcile(&client))).await;
    case.world.writes().await - before
}

async fn die_everywhere_in(changes: &[Change]) {
    for change in changes {
        die_everywhere(*change).await;
    }
}

/// Lets a process end after each number of writes in turn, and the next one after each number of its own.
async fn die_everywhere(change: Change) {
    let world = World::new().await;
    let whole = Case::new(&world, change, "undisturbed".into()).await;
    let writes = die_after(&whole, u64::MAX / 2).await;
    assert!(writes > 0, "{change:?} does nothing");
    whole.check(0).await;
    for first in 1..=writes {
        for second in 0..=writes.min(SECOND) {
            let case = Case::new(&world, change, format!("dies-{first}-{second}")).await;
            // Two transactions that follow each other at once may look like one.
            assert!((1..=first).contains(&die_after(&case, first).await), "{}", world.story.borrow());
            die_after(&case, second).await;
            case.check(1 + usize::from(second > 0)).await;
        }
    }
}

#[tokio::test]
async fn a_new_client_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(CREATIONS).await;
}

#[tokio::test]
async fn a_rotation_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(ROTATIONS).await;
}

#[tokio::test]
async fn the_repair_of_a_damage_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(DAMAGES).await;
}

#[tokio::test]
async fn an_edit_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(EDITS).await;
}

#[tokio::test]
async fn a_switch_of_the_method_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(METHODS).await;
}

#[tokio::test]
async fn a_changed_reference_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(REFERENCES).await;
}

#[tokio::test]
async fn a_deletion_survives_a_crash_between_any_two_writes() {
    die_everywhere_in(DELETIONS).await;
}

/// Whatever a workload may have read, though nobody has finished what wrote it.
#[tokio::test]
async fn a_secret_that_is_deleted_after_a_crash_takes_no_credential_with_it() {
    let world = World::new().await;
    for writes in 1..=4 {
        let case = Case::new(&world, Change::RotationOnRequest, format!("deleted-{writes}")).await;
        die_after(&case, writes).await;
        world.objects.delete_secret(NAMESPACE, &secret_name(&case.name));
        world.ready(&case.name).await;
        let values = world.objects.values(&secret_name(&case.name));
        assert!((2..=3).contains(&values.len()), "{writes}: {}", values.len());
        for value in values {
            assert!(world.authenticates(&case.name, &value).await, "{writes}");
        }
        assert!(world.live(&case.name).await <= 3, "{writes}");
    }
}
