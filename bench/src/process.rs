//! What the kernel knows of processes on this machine: `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// The processor time of one process, its threads included; and that of its children that have ended.
struct Times {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

/// The processor time that processes have used so far.
pub(crate) fn processor_time(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| Ok(times(*pid)?.own)).sum()
}

/// The same of a process and all its children, those that have ended among them.
pub(crate) fn processor_time_of_family(pid: u32) -> Result<Duration> {
    let head = times(pid)?;
    let mut total = head.own + head.ended_children;
    for entry in std::fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile is among the ended children of the next look.
        if let Ok(times) = times(other)
            && times.parent == pid
        {
            total += times.own;
        }
    }
    Ok(total)
}

/// The process that started another.
pub(crate) fn parent(pid: u32) -> Result<u32> {
    Ok(times(pid)?.parent)
}

/// The resident memory of processes together, in bytes.
pub(crate) fn resident_bytes(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_bytes(*pid, "VmRSS:")).sum()
}

/// What of that is their own: no part of the program's file, which stays in memory once for all that run it.
pub(crate) fn own_bytes(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_bytes(*pid, "RssAnon:")).sum()
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

fn times(pid: u32) -> Result<Times> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("there is no process {pid}"))?;
    parse(&stat).with_context(|| format!("unexpected: {stat}"))
}

/// proc(5): the fields after the name, which stands in parentheses and may hold anything.
fn parse(stat: &str) -> Option<Times> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Times {
        parent: fields.get(1)?.parse().ok()?,
        own: duration(ticks(11)? + ticks(12)?),
        ended_children: duration(ticks(13)? + ticks(14)?),
    })
}

fn duration(ticks: u64) -> Duration {
    Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_holds() {
        let times = parse("17 (a) b) S 4 17 17 0 -1 0 0 0 0 0 300 50 20 1 20 0 8 0 9 9 9").unwrap();
        assert_eq!(times.parent, 4);
        assert_eq!(times.own, duration(350));
        assert_eq!(times.ended_children, duration(21));
    }

    #[test]
    fn this_process_has_used_processor_time_and_memory() {
        let me = std::process::id();
        let own = processor_time(&[me]).unwrap();
        assert!(processor_time_of_family(me).unwrap() >= own);
        assert!(resident_bytes(&[me]).unwrap() > own_bytes(&[me]).unwrap());
        assert!(own_bytes(&[me]).unwrap() > 10_000);
        assert!(parent(me).unwrap() > 0);
    }
}
