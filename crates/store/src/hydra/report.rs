//! What became of each row.

use serde::Serialize;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Nothing was written: it says what would be done.
    pub dry_run: bool,
    /// How much there was, of each kind.
    pub counts: Vec<ImportCount>,
    /// The rows that were not taken over, or not whole.
    pub problems: Vec<ImportProblem>,
}

/// How much there was of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImportCount {
    /// What it is.
    pub kind: &'static str,
    /// How many Hydra has.
    pub found: u64,
    /// How many were taken over, or would be.
    pub taken_over: u64,
    /// How many were here already.
    pub here_already: u64,
    /// How many are of no use any more.
    pub ended: u64,
    /// How many were left out; each is a problem.
    pub left_out: u64,
}

/// A row that was not taken over, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportProblem {
    /// What it is.
    pub kind: &'static str,
    /// Its name. No secret and no token is a name.
    pub name: String,
    /// Why.
    pub problem: String,
}

impl ImportReport {
    /// Names a row, and what is wrong with it.
    pub(super) fn problem(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        problem: impl Into<String>,
    ) {
        self.problems.push(ImportProblem { kind, name: name.into(), problem: problem.into() });
    }
}

impl ImportCount {
    /// Nothing yet of one kind.
    pub(super) fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }
}
