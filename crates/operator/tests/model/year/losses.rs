//! A database that is emptied, or is again what it was some time ago.

use std::collections::BTreeSet;

use super::events::{CLIENTS, SETS};
use super::life::Life;

impl Life {
    pub async fn empty(&mut self, writes: u64) {
        let kept = self.lose().await;
        self.world.empty().await;
        self.repair(writes, &kept).await;
    }

    pub async fn remember(&mut self) {
        self.copy = Some(self.world.copy().await);
    }

    pub async fn roll_back(&mut self, writes: u64) {
        let Some(copy) = self.copy.clone() else { return };
        let kept = self.lose().await;
        self.world.roll_back(&copy).await;
        self.repair(writes, &kept).await;
    }

    /// What of each set will be there again.
    async fn lose(&mut self) -> Vec<BTreeSet<String>> {
        self.thaw().await;
        self.verifiers.blind = true;
        self.holders.forget_ids();
        for slot in 0..CLIENTS.len() {
            self.holders.release(slot);
            self.holders.disturb(slot, self.world.now());
        }
        let mut kept = Vec::new();
        for (at, (name, set)) in SETS.iter().enumerate() {
            let row = self.world.store.read_key_set(set).await.unwrap();
            let owner = row.and_then(|row| row.manager).map(|manager| manager.name);
            kept.push(if owner.as_deref() == Some(*name) { self.kept(at) } else { BTreeSet::new() });
        }
        kept
    }

    /// The operator finds out, and dies over it once.
    async fn repair(&mut self, writes: u64, kept: &[BTreeSet<String>]) {
        for slot in Self::slots() {
            self.crash(slot, writes).await;
        }
        for _ in 0..3 {
            self.work_all().await;
        }
        let rows = self.world.store.read_key_sets().await.unwrap();
        // The database knows nothing of those, and no resource declares them.
        self.verifiers.forget_others(&rows);
        for row in rows {
            // Two resources want one of them; what the one kept that has it now is there again.
            let owner = row.manager.as_ref().map(|manager| &*manager.name);
            let at = SETS.iter().position(|(name, _)| Some(*name) == owner);
            let mut kids = at.map(|at| kept[at].clone()).unwrap_or_default();
            kids.extend(row.key_ids().map(ToString::to_string));
            self.verifiers.learn_anew(&row, &kids);
        }
        self.verifiers.blind = false;
    }
}
