//! Identity of the user and machine of this run, shown to other users.

/// Returns the user, host and process id: `ana@build-7, pid 4711`.
pub fn user_at_host() -> String {
    let variable =
        |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let user = variable(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "somebody".to_owned());
    let host =
        variable(&["HOSTNAME", "COMPUTERNAME"]).or_else(kernel_hostname).unwrap_or_else(|| "some machine".to_owned());
    format!("{user}@{host}, pid {}", std::process::id())
}

/// Returns the host name from `/proc`, on systems that have it.
fn kernel_hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
