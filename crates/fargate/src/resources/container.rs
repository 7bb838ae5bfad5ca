//! Containers of a task definition: checks, and conversion to and from ECS.

use crate::resources::checks;
use aws_sdk_ecs::types::{
    ContainerDefinition, KeyValuePair, LinuxParameters, LogConfiguration, LogDriver, PortMapping, Secret,
    TransportProtocol, VersionConsistency,
};
use pb_aws::tag_map;
use pb_engine::{Class, Failure};
use pb_rules::secrets;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const GROUP: &str = "awslogs-group";
const REGION: &str = "awslogs-region";
const STREAM_PREFIX: &str = "awslogs-stream-prefix";
const MODE: &str = "mode";
const MAX_BUFFER_SIZE: &str = "max-buffer-size";

/// Delivery modes of log lines. (ECS API: LogConfiguration)
const MODES: [&str; 2] = [NON_BLOCKING, "blocking"];
const NON_BLOCKING: &str = "non-blocking";

/// Buffer of a container for log lines that CloudWatch Logs has not accepted yet. (ECS developer guide: Send Amazon ECS
/// logs to CloudWatch)
const BUFFER: &str = "25m";

/// Spec of a container. Its name is its key in the task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Image: `registry/name:tag` or `registry/name@digest`.
    pub image: String,
    /// Command; if empty, the command of the image.
    pub command: Vec<String>,
    /// Environment variables. Anyone who may read the task definition sees them, so values that look like secrets are
    /// refused.
    pub environment: BTreeMap<String, String>,
    /// Environment variables with secret values: the ARNs of secrets in Secrets Manager or of parameters in Parameter
    /// Store, by variable name. ECS reads the secrets with the execution role when a task starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// TCP ports on which the container listens.
    pub ports: BTreeSet<u16>,
    /// Log configuration; if absent, the output is discarded.
    pub log: Option<LogSpec>,
    /// Time from SIGTERM to SIGKILL, in seconds; if absent, the Fargate default.
    pub stop_timeout: Option<i32>,
    /// `true` if the container runs an init process that forwards signals and reaps orphaned processes.
    pub init_process: bool,
    /// `true` if the task stops when this container stops.
    pub essential: bool,
}

/// Log configuration of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Name of the log group.
    pub group: String,
    /// Region of the log group.
    pub region: String,
    /// Prefix of the stream names, which have the form `PREFIX/CONTAINER/TASK`.
    pub stream_prefix: String,
    /// Delivery while CloudWatch Logs does not accept lines: `non-blocking` drops lines that do not fit into the buffer,
    /// `blocking` makes the container wait. If absent, the account's `defaultLogDriverMode` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Size of the buffer of the mode `non-blocking`, such as `25m`; if absent, the default of ECS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_buffer_size: Option<String>,
}

impl LogSpec {
    /// Creates the log configuration of a container with a delivery mode, `non-blocking` or `blocking`.
    #[must_use]
    pub fn new(group: &str, region: &str, stream_prefix: &str, mode: &str) -> Self {
        Self {
            group: group.to_owned(),
            region: region.to_owned(),
            stream_prefix: stream_prefix.to_owned(),
            mode: Some(mode.to_owned()),
            max_buffer_size: (mode == NON_BLOCKING).then(|| BUFFER.to_owned()),
        }
    }

    /// Returns whether `live` differs only in leaving the mode to the account, whose default is `non-blocking`, the mode
    /// of this spec. (ECS API: PutAccountSettingDefault)
    fn is_implied_by(&self, live: &Self) -> bool {
        let unset = Self { mode: None, max_buffer_size: None, ..self.clone() };
        self.mode.as_deref() == Some(NON_BLOCKING) && *live == unset
    }
}

/// Returns `desired` with the log configurations of `live` that have the same effect.
pub(crate) fn with_implied_logs(
    desired: &BTreeMap<String, ContainerSpec>,
    live: &BTreeMap<String, ContainerSpec>,
) -> BTreeMap<String, ContainerSpec> {
    let mut kept = desired.clone();
    for (name, container) in &mut kept {
        if let (Some(log), Some(live)) = (&mut container.log, live.get(name).and_then(|live| live.log.as_ref()))
            && log.is_implied_by(live)
        {
            log.clone_from(live);
        }
    }
    kept
}

pub(crate) fn check(name: &str, container: &ContainerSpec) -> Result<(), String> {
    let of = |field: &str| format!("{field} of container {name}");
    checks::text(&of("name"), name, pb_rules::names::container)?;
    checks::text(&of("image"), &container.image, pb_rules::image::image)?;
    for (variable, value) in &container.environment {
        checks::text(&of("environment"), variable, pb_rules::fargate::variable_name)?;
        checks::text(&of("environment"), value, |value| secrets::plain_variable(variable, value))?;
    }
    for (variable, reference) in &container.secrets {
        checks::text(&of("secrets"), variable, pb_rules::fargate::variable_name)?;
        checks::text(&of("secrets"), reference, secrets::reference)?;
        if container.environment.contains_key(variable) {
            return Err(format!("invalid {}: `{variable}` is already set in `environment`", of("secrets")));
        }
    }
    for word in &container.command {
        checks::text(&of("command"), word, secrets::plain_word)?;
    }
    for port in &container.ports {
        checks::verdict(&of("port"), pb_rules::network::port(i64::from(*port)))?;
    }
    if let Some(seconds) = container.stop_timeout {
        checks::verdict(&of("stop_timeout"), pb_rules::fargate::stop_timeout(seconds.into()))?;
    }
    if let Some(log) = &container.log
        && [&log.group, &log.region, &log.stream_prefix].iter().any(|part| part.is_empty())
    {
        return Err(format!("invalid {}: group, region and stream_prefix are required on Fargate", of("log")));
    }
    if let Some(mode) = container.log.as_ref().and_then(|log| log.mode.as_deref()).filter(|mode| !MODES.contains(mode))
    {
        return Err(format!("invalid {}: expected mode {}, got `{mode}`", of("log"), MODES.join(" or ")));
    }
    Ok(())
}

/// Converts the spec of a container to a container definition for RegisterTaskDefinition.
pub(crate) fn to_ecs(name: &str, container: &ContainerSpec) -> Result<ContainerDefinition, Failure> {
    let pair = |(key, value): (&String, &String)| KeyValuePair::builder().name(key).value(value).build();
    // In awsvpc mode the host port equals the container port and can be omitted. (ECS API: PortMapping)
    let port =
        |port: &u16| PortMapping::builder().container_port((*port).into()).protocol(TransportProtocol::Tcp).build();
    let mut builder = ContainerDefinition::builder()
        .name(name)
        .image(&container.image)
        .set_environment(Some(container.environment.iter().map(pair).collect()))
        .set_secrets(secrets_to_ecs(&container.secrets)?)
        .set_port_mappings(Some(container.ports.iter().map(port).collect()))
        .set_stop_timeout(container.stop_timeout)
        .essential(container.essential);
    if !container.command.is_empty() {
        builder = builder.set_command(Some(container.command.clone()));
    }
    if container.init_process {
        builder = builder.linux_parameters(LinuxParameters::builder().init_process_enabled(true).build());
    }
    if let Some(log) = &container.log {
        let options = [(GROUP, &log.group), (REGION, &log.region), (STREAM_PREFIX, &log.stream_prefix)];
        let more = [(MODE, &log.mode), (MAX_BUFFER_SIZE, &log.max_buffer_size)];
        let more = more.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let options = options.into_iter().chain(more).map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs).set_options(Some(options)).build();
        builder = builder.log_configuration(
            log.map_err(|e| Failure::new(Class::Bug, "build a container definition", e.to_string()))?,
        );
    }
    Ok(builder.build())
}

fn secrets_to_ecs(references: &BTreeMap<String, String>) -> Result<Option<Vec<Secret>>, Failure> {
    let secret = |(name, reference)| Secret::builder().name(name).value_from(reference).build();
    let secrets: Result<Vec<_>, _> = references.iter().map(secret).collect();
    let secrets = secrets.map_err(|e| Failure::new(Class::Bug, "build a container definition", e.to_string()))?;
    Ok((!secrets.is_empty()).then_some(secrets))
}

/// Converts a container definition from DescribeTaskDefinition to a spec. Omits the defaults that ECS fills in, and
/// hides values that look like secrets.
pub(crate) fn from_ecs(container: &ContainerDefinition) -> ContainerSpec {
    let ports = container.port_mappings().iter().filter_map(PortMapping::container_port);
    let linux = container.linux_parameters();
    let mut spec = ContainerSpec {
        image: container.image().unwrap_or_default().to_owned(),
        command: container.command().to_vec(),
        environment: tag_map(container.environment().iter().map(|pair| (pair.name(), pair.value()))),
        secrets: container.secrets().iter().map(|one| (one.name().to_owned(), one.value_from().to_owned())).collect(),
        ports: ports.filter_map(|port| u16::try_from(port).ok()).collect(),
        log: container.log_configuration().and_then(log_from_ecs),
        stop_timeout: container.stop_timeout(),
        init_process: linux.and_then(LinuxParameters::init_process_enabled).unwrap_or_default(),
        essential: container.essential().unwrap_or(true),
    };
    redact(&mut spec);
    spec
}

/// Replaces words of the command and values of environment variables that look like secrets with a placeholder.
pub(crate) fn redact(spec: &mut ContainerSpec) {
    redact_words(&mut spec.command);
    for (name, value) in &mut spec.environment {
        if secrets::plain_variable(name, value).is_err() {
            secrets::REDACTED.clone_into(value);
        }
    }
}

/// Replaces words of a command that look like secrets with a placeholder.
pub(crate) fn redact_words(command: &mut [String]) {
    for word in command {
        if secrets::plain_word(word).is_err() {
            secrets::REDACTED.clone_into(word);
        }
    }
}

pub(crate) fn log_from_ecs(log: &LogConfiguration) -> Option<LogSpec> {
    let option = |key: &str| log.options().and_then(|options| options.get(key)).cloned();
    let log_spec = LogSpec {
        group: option(GROUP).unwrap_or_default(),
        region: option(REGION).unwrap_or_default(),
        stream_prefix: option(STREAM_PREFIX).unwrap_or_default(),
        mode: option(MODE),
        max_buffer_size: option(MAX_BUFFER_SIZE),
    };
    (*log.log_driver() == LogDriver::Awslogs).then_some(log_spec)
}

/// Returns the fields of a container definition that are set although a spec cannot express them, so they were set
/// outside of pb-deploy.
pub(crate) fn unmanaged_fields(container: &ContainerDefinition) -> impl Iterator<Item = &'static str> + use<> {
    let on = |field: Option<bool>| field.unwrap_or_default();
    let linux = container.linux_parameters();
    let log = container.log_configuration();
    let fields = [
        ("repository_credentials", container.repository_credentials().is_some()),
        ("cpu", container.cpu() != 0),
        ("memory", container.memory().is_some()),
        ("memory_reservation", container.memory_reservation().is_some()),
        ("links", !container.links().is_empty()),
        ("port_mappings", container.port_mappings().iter().any(has_unmanaged_settings)),
        ("restart_policy", container.restart_policy().is_some()),
        ("entry_point", !container.entry_point().is_empty()),
        ("environment_files", !container.environment_files().is_empty()),
        ("mount_points", !container.mount_points().is_empty()),
        ("volumes_from", !container.volumes_from().is_empty()),
        ("linux_parameters", linux.is_some_and(has_unmanaged_linux_settings)),
        ("depends_on", !container.depends_on().is_empty()),
        ("start_timeout", container.start_timeout().is_some()),
        ("version_consistency", container.version_consistency() == Some(&VersionConsistency::Disabled)),
        ("user", container.user().is_some()),
        ("working_directory", container.working_directory().is_some()),
        ("privileged", on(container.privileged())),
        ("readonly_root_filesystem", on(container.readonly_root_filesystem())),
        ("interactive", on(container.interactive())),
        ("pseudo_terminal", on(container.pseudo_terminal())),
        ("docker_labels", container.docker_labels().is_some_and(|labels| !labels.is_empty())),
        ("ulimits", !container.ulimits().is_empty()),
        ("log_configuration", log.is_some_and(has_unmanaged_log_settings)),
        ("health_check", container.health_check().is_some()),
        ("system_controls", !container.system_controls().is_empty()),
        ("resource_requirements", !container.resource_requirements().is_empty()),
        ("firelens_configuration", container.firelens_configuration().is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field)
}

fn has_unmanaged_settings(port: &PortMapping) -> bool {
    port.container_port().is_none()
        || port.protocol().is_some_and(|protocol| *protocol != TransportProtocol::Tcp)
        || port.name().is_some()
        || port.app_protocol().is_some()
}

fn has_unmanaged_linux_settings(linux: &LinuxParameters) -> bool {
    let adds = |names: &[String]| !names.is_empty();
    linux.capabilities().is_some_and(|change| adds(change.add()) || adds(change.drop()))
        || !linux.devices().is_empty()
        || !linux.tmpfs().is_empty()
        || linux.shared_memory_size().is_some_and(|size| size != 0)
}

fn has_unmanaged_log_settings(log: &LogConfiguration) -> bool {
    let known = |key: &String| [GROUP, REGION, STREAM_PREFIX, MODE, MAX_BUFFER_SIZE].contains(&key.as_str());
    let more = |options: &HashMap<String, String>| options.keys().any(|key| !known(key));
    *log.log_driver() != LogDriver::Awslogs || log.options().is_some_and(more) || !log.secret_options().is_empty()
}
