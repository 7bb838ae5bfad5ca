//! Differences between the architecture of a state's resources and the one that pb-deploy builds: tasks on Fargate with
//! public addresses, behind an internet-facing Application Load Balancer that accepts HTTP on port 80 and, if it is
//! configured, HTTPS on port 443.

use crate::https::HttpsSettings;
use crate::mapping::{Mapping, Reason};
use crate::state::Resource;
use pb_engine::Address;
use serde::Serialize;

/// Difference in architecture, with the resources that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Kind of the difference.
    pub what: DifferenceKind,
    /// Addresses in Terraform.
    pub terraform: Vec<String>,
    /// Addresses of the services that it affects, if they are known.
    #[serde(skip)]
    pub services: Vec<Address>,
    /// HTTPS settings of the stack, if the difference is about HTTPS and they are known.
    #[serde(skip)]
    pub https: Option<HttpsSettings>,
}

/// Kind of a difference in architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Tasks have no public addresses, and reach the internet through a NAT gateway.
    PrivateSubnets,
    /// Tasks have no public addresses.
    NoPublicAddresses,
    /// The load balancer redirects the requests on port 80 to HTTPS.
    HttpsRedirect,
    /// Tasks run on EC2 instances.
    Ec2Instances,
    /// The load balancer is not an Application Load Balancer.
    OtherLoadBalancer,
    /// The load balancer has no public address.
    InternalLoadBalancer,
    /// Something other than ECS rolls out new revisions.
    OtherDeployments,
    /// The load balancer also accepts HTTPS.
    HttpsListener,
    /// Application Auto Scaling changes the number of tasks.
    Autoscaling,
}

impl DifferenceKind {
    /// Returns whether the stack can be imported despite the difference.
    #[must_use]
    pub fn is_compatible(self) -> bool {
        self == Self::Autoscaling
    }

    /// Returns whether the difference is one only as long as the configuration has no HTTPS.
    #[must_use]
    pub fn is_https(self) -> bool {
        matches!(self, Self::HttpsListener | Self::HttpsRedirect)
    }

    /// Returns a short description of the stack's architecture.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::PrivateSubnets => "private subnets behind NAT",
            Self::NoPublicAddresses => "tasks without public addresses",
            Self::HttpsRedirect => "HTTP redirected to HTTPS",
            Self::Ec2Instances => "tasks on EC2 instances",
            Self::OtherLoadBalancer => "a load balancer that is not an Application Load Balancer",
            Self::InternalLoadBalancer => "an internal load balancer",
            Self::OtherDeployments => "deployments by CodeDeploy or another controller",
            Self::HttpsListener => "an HTTPS listener",
            Self::Autoscaling => "Application Auto Scaling",
        }
    }

    /// Returns the corresponding part of pb-deploy's architecture, or the consequence of the difference.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::PrivateSubnets => "pb-deploy runs tasks in a public subnet with public addresses, without NAT",
            Self::NoPublicAddresses => "pb-deploy gives each task a public address, because it has no NAT",
            Self::Ec2Instances => "pb-deploy runs tasks on Fargate only",
            Self::OtherLoadBalancer => "pb-deploy uses an Application Load Balancer",
            Self::InternalLoadBalancer => "pb-deploy uses an internet-facing load balancer",
            Self::OtherDeployments => "pb-deploy uses rolling updates by ECS",
            Self::HttpsListener | Self::HttpsRedirect => "the configuration does not have HTTPS",
            Self::Autoscaling => {
                "it is left as it is; list the counts of its services in `ignore_changes`, or a deploy sets the \
                 configured counts"
            }
        }
    }
}

/// Returns the differences in architecture that the resources show. Considers the resources that are mapped, or all of
/// the same type if none is mapped.
#[must_use]
pub fn differences(resources: &[Resource], mapping: &Mapping) -> Vec<Difference> {
    let stack = MappedStack::of(resources, mapping);
    let mut found = stack.network();
    let service = |is: fn(&Resource) -> bool| addresses(stack.services.iter().filter(|service| is(service)));
    let balancer = |is: fn(&Resource) -> bool| addresses(stack.balancers.iter().filter(|balancer| is(balancer)));
    found.extend([
        difference(DifferenceKind::Ec2Instances, service(runs_on_instances)),
        difference(
            DifferenceKind::OtherDeployments,
            service(|it| has_value(it, "deployment_controller", "type", "ECS")),
        ),
        difference(
            DifferenceKind::OtherLoadBalancer,
            balancer(|it| it.attribute("load_balancer_type").is_some_and(|kind| kind != "application")),
        ),
        difference(DifferenceKind::InternalLoadBalancer, balancer(|it| it.attribute("internal") == Some("true"))),
    ]);
    found.extend(stack.listeners());
    found.push(stack.autoscaling());
    found.retain(|difference| !difference.terraform.is_empty());
    found
}

/// Returns whether a listener redirects all requests that match no rule.
pub(crate) fn is_redirect(listener: &Resource) -> bool {
    listener.block_fields("default_action", "type").any(|action| action == "redirect")
}

/// Returns whether an action in a block of a listener or rule redirects requests to HTTPS.
pub(crate) fn redirects_to_https(resource: &Resource, block: &str) -> bool {
    resource.values(&[block, "redirect", "protocol"]).any(|protocol| protocol == "HTTPS")
}

fn difference(what: DifferenceKind, terraform: Vec<String>) -> Difference {
    Difference { what, terraform, services: Vec::new(), https: None }
}

fn addresses<'a>(resources: impl Iterator<Item = &'a &'a Resource>) -> Vec<String> {
    resources.map(|resource| resource.address.clone()).collect()
}

/// Returns whether a block has a field with a value other than `usual`.
fn has_value(resource: &Resource, block: &str, field: &str, usual: &str) -> bool {
    resource.block_fields(block, field).any(|value| !value.is_empty() && value != usual)
}

fn runs_on_instances(service: &Resource) -> bool {
    let mut providers = service.block_fields("capacity_provider_strategy", "capacity_provider").peekable();
    match providers.peek() {
        Some(_) => providers.any(|provider| !provider.starts_with("FARGATE")),
        None => service.attribute("launch_type").is_some_and(|kind| kind != "FARGATE"),
    }
}

/// Resources of a state that are mapped or belong to mapped resources.
struct MappedStack<'a> {
    resources: &'a [Resource],
    mapping: &'a Mapping,
    services: Vec<&'a Resource>,
    balancers: Vec<&'a Resource>,
}

impl<'a> MappedStack<'a> {
    fn of(resources: &'a [Resource], mapping: &'a Mapping) -> Self {
        let is_elsewhere = |resource: &Resource| {
            let mut unmapped = mapping.unmapped.iter();
            unmapped.any(|left| left.terraform == resource.address && matches!(left.reason, Reason::Elsewhere(_)))
        };
        let of = |types: &[&str]| -> Vec<&'a Resource> {
            let is = |resource: &&Resource| {
                types.contains(&resource.kind.as_str()) && !resource.deposed && !is_elsewhere(resource)
            };
            let all: Vec<&Resource> = resources.iter().filter(is).collect();
            let is_mapped = |one: &&Resource| mapping.imports.values().any(|claim| claim.terraform == one.address);
            let mapped: Vec<&Resource> = all.iter().copied().filter(is_mapped).collect();
            if mapped.is_empty() { all } else { mapped }
        };
        let (services, balancers) = (of(&["aws_ecs_service"]), of(&["aws_lb", "aws_alb"]));
        Self { resources, mapping, services, balancers }
    }

    fn of_type(&self, kind: &'static str) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |resource| resource.kind == kind && !resource.deposed)
    }

    fn network(&self) -> Vec<Difference> {
        let is_private = |service: &&&Resource| has_value(service, "network_configuration", "assign_public_ip", "true");
        let mut found = addresses(self.services.iter().filter(is_private));
        let nat: Vec<&Resource> = self.of_type("aws_nat_gateway").collect();
        if found.is_empty() {
            return Vec::new();
        }
        if nat.is_empty() {
            return vec![difference(DifferenceKind::NoPublicAddresses, found)];
        }
        found.extend(addresses(nat.iter()));
        vec![difference(DifferenceKind::PrivateSubnets, found)]
    }

    fn listeners(&self) -> Vec<Difference> {
        let is_mapped = |listener: &&Resource| {
            let balancer = listener.attribute("load_balancer_arn");
            balancer.is_none() || self.balancers.iter().any(|one| Some(one.id.as_str()) == balancer)
        };
        let all = self.of_type("aws_lb_listener").chain(self.of_type("aws_alb_listener")).filter(is_mapped);
        let (https, http): (Vec<&Resource>, Vec<&Resource>) =
            all.partition(|listener| matches!(listener.attribute("protocol"), Some("HTTPS" | "TLS")));
        let redirects = |listener: &&&Resource| listener.attribute("port") == Some("80") && is_redirect(listener);
        let mut found = addresses(http.iter().filter(redirects));
        let redirects = !found.is_empty();
        found.extend(addresses(https.iter()));
        let what = if redirects { DifferenceKind::HttpsRedirect } else { DifferenceKind::HttpsListener };
        let https = HttpsSettings::of(self.resources, &found, redirects);
        vec![Difference { https, ..difference(what, found) }]
    }

    /// Application Auto Scaling names a service as `service/CLUSTER/SERVICE`. (Application Auto Scaling API:
    /// RegisterScalableTarget)
    fn autoscaling(&self) -> Difference {
        let of_ecs = |target: &&Resource| target.attribute("service_namespace") == Some("ecs");
        let mut found = difference(DifferenceKind::Autoscaling, Vec::new());
        for target in self.of_type("aws_appautoscaling_target").filter(of_ecs) {
            let service = target.attribute("resource_id").and_then(|id| id.strip_prefix("service/"));
            let address = self.mapping.imports.iter().find(|(_, claim)| Some(claim.id.as_str()) == service);
            found.services.extend(address.map(|(address, _)| address.clone()));
            found.terraform.push(target.address.clone());
        }
        found
    }
}
