//! Rows of the table.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::operation::Operation;

/// The head of the table.
pub(crate) const HEAD: &str = "\
| operation | per second | p50 ms | p95 ms | p99 ms | max ms | server CPU ms | database CPU ms | statements | WAL bytes | driver CPU ms | memory MiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// What one operation used while it was measured; `None` where it is not known.
pub(crate) struct Measurement {
    pub(crate) servers: Option<Duration>,
    pub(crate) driver: Duration,
    pub(crate) database: Option<Duration>,
    pub(crate) statements: Option<u64>,
    pub(crate) wal: Option<u64>,
}

impl Measurement {
    /// The row of an operation, with what it used each time. Latencies are in microseconds.
    pub(crate) fn row(
        &self,
        operation: Operation,
        latencies: &Histogram<u64>,
        took: Duration,
        memory: u64,
    ) -> String {
        let count = as_float(latencies.len());
        let known = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let each = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0 / count);
        let latency = |quantile: f64| milliseconds(latencies.value_at_quantile(quantile));
        let cells = [
            operation.title().to_owned(),
            format!("{:.0}", count / took.as_secs_f64()),
            latency(0.5),
            latency(0.95),
            latency(0.99),
            milliseconds(latencies.max()),
            known(self.servers.map(each)),
            known(self.database.map(each)),
            known(self.statements.map(|statements| format!("{:.2}", as_float(statements) / count))),
            known(self.wal.map(|wal| format!("{:.0}", as_float(wal) / count))),
            each(self.driver),
            known(self.servers.map(|_| mebibytes(memory))),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// A size as text.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", as_float(bytes) / 1024.0 / 1024.0)
}

fn milliseconds(micros: u64) -> String {
    format!("{:.2}", as_float(micros) / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2^53")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_each_operation_used_and_what_is_not_known() {
        let mut latencies = Histogram::<u64>::new(3).unwrap();
        latencies.record_n(1500, 199).unwrap();
        latencies.record(20_000).unwrap();
        let mut used = Measurement {
            servers: Some(Duration::from_millis(100)),
            driver: Duration::from_millis(10),
            database: None,
            statements: Some(400),
            wal: Some(100_000),
        };
        let row = |used: &Measurement| {
            used.row(Operation::Login, &latencies, Duration::from_secs(2), 15 * 1024 * 1024)
        };
        assert_eq!(
            row(&used),
            "| login | 100 | 1.50 | 1.50 | 1.50 | 20.02 | 0.500 | – | 2.00 | 500 | 0.050 | 15.0 |"
        );
        used.servers = None;
        assert!(row(&used).ends_with("| – | – | 2.00 | 500 | 0.050 | – |"));
        assert_eq!(HEAD.lines().next().unwrap().matches('|').count(), row(&used).matches('|').count());
    }
}
