//! Identity of the user and machine of this run, shown to other users.

/// CI services: the variable that each of them sets, its name, and the variables with the user and the id of the run.
const CI_SERVICES: [(&str, &str, &str, &str); 2] = [
    ("GITHUB_ACTIONS", "github", "GITHUB_ACTOR", "GITHUB_RUN_ID"),
    ("GITLAB_CI", "gitlab", "GITLAB_USER_LOGIN", "CI_JOB_ID"),
];

/// Returns the user, host and process id: `ana@build-7, pid 4711`. In CI, the user is the one who started the workflow,
/// with the id of its run: `github:ana/1234`.
pub fn user_at_host() -> String {
    let user = user(&variable, &account_name);
    let host = variable("HOSTNAME").or_else(|| variable("COMPUTERNAME")).or_else(kernel_hostname);
    let host = host.unwrap_or_else(|| "unknown-host".to_owned());
    format!("{user}@{host}, pid {}", std::process::id())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the user, from the variables of the environment or the name of the account of this process.
fn user(variable: &dyn Fn(&str) -> Option<String>, account_name: &dyn Fn() -> Option<String>) -> String {
    let in_ci = CI_SERVICES.iter().find_map(|(marker, service, user, run)| {
        variable(marker)?;
        Some(format!("{service}:{}/{}", variable(user)?, variable(run)?))
    });
    let mut names = ["USER", "LOGNAME", "USERNAME"].into_iter();
    in_ci.or_else(|| names.find_map(variable)).or_else(account_name).unwrap_or_else(|| "unknown-user".to_owned())
}

/// Returns the name of the user id of this process or, if the id has no name, `uid-1000`.
#[cfg(unix)]
fn account_name() -> Option<String> {
    let id = rustix::process::geteuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(name_of(id, &accounts).map_or_else(|| format!("uid-{id}"), str::to_owned))
}

#[cfg(not(unix))]
fn account_name() -> Option<String> {
    None
}

/// Returns the name of a user id in a file like `/etc/passwd`.
#[cfg(unix)]
fn name_of(id: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, its_id) = (fields.next()?, fields.nth(1)?);
        (its_id.parse() == Ok(id) && !name.is_empty()).then_some(name)
    })
}

/// Returns the host name from `/proc`, on systems that have it.
fn kernel_hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::{name_of, user};

    fn user_in(environment: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        user(&variable, &|| Some("account".to_owned()))
    }

    #[test]
    fn user_without_variables_is_the_account() {
        assert_eq!(user_in(&[]), "account");
        assert_eq!(user_in(&[("LOGNAME", "ana")]), "ana");
        assert_eq!(user(&|_| None, &|| None), "unknown-user");
    }

    #[test]
    fn user_in_ci_is_the_actor_with_the_run() {
        let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_ACTOR", "ana"), ("GITHUB_RUN_ID", "77"), ("USER", "runner")];
        assert_eq!(user_in(&github), "github:ana/77");
        assert_eq!(user_in(&[("GITLAB_CI", "true"), ("GITLAB_USER_LOGIN", "bo"), ("CI_JOB_ID", "5")]), "gitlab:bo/5");
        assert_eq!(user_in(&[("GITHUB_ACTIONS", "true"), ("USER", "runner")]), "runner");
    }

    #[test]
    fn account_is_found_by_its_id() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!(
            (name_of(0, accounts), name_of(1000, accounts), name_of(1, accounts)),
            (Some("root"), Some("ana"), None)
        );
    }
}
