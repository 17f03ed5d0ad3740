//! Users and groups by their names, as the machine's own files have them.

use std::fs;

use anyhow::{Context, Result};
use server::SocketAccess;

use crate::config::SocketOwner;

/// The numbers of a socket's owner and group.
///
/// # Errors
/// Naming the key whose user or group is not known here.
pub fn resolve(socket: &SocketOwner) -> Result<SocketAccess> {
    let number = |name: &Option<String>, file: &str, key: &str| {
        let known = || fs::read_to_string(file).unwrap_or_default();
        let find = |name: &String| {
            numbered(&known(), name).with_context(|| format!("{key}: \"{name}\" is not in {file}"))
        };
        name.as_ref().map(find).transpose()
    };
    Ok(SocketAccess {
        owner: number(&socket.owner, "/etc/passwd", "owner")?,
        group: number(&socket.group, "/etc/group", "group")?,
        mode: socket.mode,
    })
}

/// The number of a name, which may be one itself: the third of the parts between colons.
fn numbered(lines: &str, name: &str) -> Option<u32> {
    let of_line = |line: &str| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)?.parse().ok()).flatten()
    };
    lines.lines().find_map(of_line).or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_found_by_name_or_number() {
        let lines = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:102::/:/bin/false\nbad:x\n";
        for (name, number) in
            [("nginx", Some(101)), ("root", Some(0)), ("1000", Some(1000)), ("bad", None), ("ngin", None)]
        {
            assert_eq!(numbered(lines, name), number, "{name}");
        }
        let unknown = SocketOwner { owner: Some("no such user".to_owned()), group: None, mode: 0o600 };
        let error = resolve(&unknown).unwrap_err().to_string();
        assert_eq!(error, "owner: \"no such user\" is not in /etc/passwd");
    }
}
