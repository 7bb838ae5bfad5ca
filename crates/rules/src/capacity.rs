//! Capacity that the tasks of all services need: IP addresses of their subnet, and virtual CPUs.

use crate::{Verdict, Violation};
use ipnet::Ipv4Net;

/// Numbers of IP addresses in a subnet: those that AWS reserves for itself, and those that a load balancer may use.
/// (VPC user guide: Subnet CIDR blocks; Elastic Load Balancing user guide: Subnets for your load balancer)
const RESERVED_BY_AWS: i64 = 5;
const LOAD_BALANCER_ADDRESSES: i64 = 8;
/// Number of IP addresses of the queue.
const QUEUE_ADDRESSES: i64 = 1;

/// CPU units of a virtual CPU.
const UNITS_PER_VCPU: f64 = 1024.0;

/// Settings of a service that determine how many of its tasks run at a time.
#[derive(Debug, Clone, Copy)]
pub struct ServiceTasks {
    /// Desired count.
    pub count: i32,
    /// Minimum percentage of the desired count that keeps running during a rollout.
    pub min_healthy_percent: i32,
    /// Maximum percentage of the desired count that runs during a rollout.
    pub max_percent: i32,
    /// CPU units of a task.
    pub cpu: i32,
    /// `true` if the release command runs with the settings of this service.
    pub before: bool,
}

impl ServiceTasks {
    /// Returns whether a rollout starts a new task before it stops an old one. ECS rounds the minimum up. (ECS API:
    /// DeploymentConfiguration)
    #[must_use]
    pub fn starts_first(self) -> bool {
        let (count, min) = (i64::from(self.count), i64::from(self.min_healthy_percent));
        count > 0 && count * min > (count - 1) * 100
    }

    /// Returns the number of tasks that ECS may run during a rollout.
    fn most(self) -> i64 {
        let count = i64::from(self.count);
        (count * i64::from(self.max_percent) / 100).max(count)
    }
}

/// Amounts of a resource that the tasks of all services need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The amount for all tasks.
    pub running: i64,
    /// The amount for all tasks and one more: the largest task that starts before an old one stops, or the release
    /// command. With less, no rollout begins.
    pub during_rollout: i64,
    /// The amount for all tasks that ECS may run during a rollout of all services.
    pub all: i64,
}

impl Needs {
    /// Returns the CPU units that the services need.
    pub fn cpu_units(services: impl IntoIterator<Item = ServiceTasks>) -> Self {
        Self::of(services, |service| i64::from(service.cpu))
    }

    /// Returns the addresses of the tasks' subnet that the services, the queue and the load balancer need.
    pub fn addresses(services: impl IntoIterator<Item = ServiceTasks>) -> Self {
        let Self { running, during_rollout, all } = Self::of(services, |_| 1);
        let others = QUEUE_ADDRESSES + LOAD_BALANCER_ADDRESSES;
        Self { running: running + others, during_rollout: during_rollout + others, all: all + others }
    }

    fn of(services: impl IntoIterator<Item = ServiceTasks>, size: impl Fn(ServiceTasks) -> i64) -> Self {
        let (mut running, mut largest, mut all) = (0, 0, 0);
        for service in services {
            let size = size(service);
            running += size * i64::from(service.count);
            all += size * service.most();
            if service.starts_first() || service.before {
                largest = largest.max(size);
            }
        }
        Self { running, during_rollout: running + largest, all }
    }
}

/// Returns CPU units as a number of virtual CPUs. More than the largest `i32` counts as that.
#[must_use]
pub fn vcpus_of(units: i64) -> f64 {
    f64::from(i32::try_from(units).unwrap_or(i32::MAX)) / UNITS_PER_VCPU
}

/// Returns the number of addresses of a subnet that resources can use. (VPC user guide: Subnet CIDR blocks)
#[must_use]
pub fn usable_addresses(subnet: Ipv4Net) -> i64 {
    (1_i64 << (32 - subnet.prefix_len())) - RESERVED_BY_AWS
}

/// Checks that the tasks' subnet has enough addresses for all tasks and for the first task of a rollout. A task that
/// gets no address fails. (VPC user guide: Subnet CIDR blocks; ECS developer guide: Task networking for Fargate)
pub fn subnet_has_room(subnet: Ipv4Net, needs: Needs) -> Verdict {
    let (free, needed) = (usable_addresses(subnet), needs.during_rollout);
    if needed <= free {
        return Ok(());
    }
    Err(Violation::new(format!(
        "the tasks, the queue and the load balancer need {needed} addresses when a rollout begins; {subnet} has {free}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKERS: ServiceTasks =
        ServiceTasks { count: 4, min_healthy_percent: 100, max_percent: 200, cpu: 512, before: false };

    #[test]
    fn rollout_needs_a_task_more_unless_one_stops_first() {
        let needs = |service| Needs::cpu_units([service]);
        assert_eq!(needs(WORKERS), Needs { running: 2048, during_rollout: 2560, all: 4096 });
        let stops_first = ServiceTasks { min_healthy_percent: 75, max_percent: 100, ..WORKERS };
        assert_eq!(needs(stops_first), Needs { running: 2048, during_rollout: 2048, all: 2048 });
        assert_eq!(needs(ServiceTasks { before: true, ..stops_first }).during_rollout, 2560);
        assert_eq!(needs(ServiceTasks { count: 0, ..WORKERS }), Needs { running: 0, during_rollout: 0, all: 0 });
    }

    #[test]
    fn subnet_without_an_address_for_a_rollout_is_refused() {
        let subnet: Ipv4Net = "10.0.1.0/24".parse().unwrap();
        let verdict = |count| subnet_has_room(subnet, Needs::addresses([ServiceTasks { count, ..WORKERS }]));
        assert_eq!(usable_addresses(subnet), 251);
        assert_eq!(verdict(241), Ok(()));
        assert!(verdict(242).unwrap_err().to_string().contains("need 252 addresses"));
    }
}
