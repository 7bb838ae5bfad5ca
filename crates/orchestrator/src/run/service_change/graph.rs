//! The graph of a change of services: the resources of its plan, and the checks of their targets.

use crate::exit::Error;
use crate::stack::{names, target_health};
use crate::workspace::context::WorkspaceContext;
use crate::workspace::deployed;
use aws_config::SdkConfig;
use pb_edge::{Listener, ListenerRule, LoadBalancerClient};
use pb_engine::{Action, Failure, Graph, Handle, Kind, Resource, Step};
use pb_fargate::{RolloutOptions, ServiceSpec, Services};
use pb_net::{Ec2, SecurityGroupRule, SecurityGroupRuleAttrs};
use std::time::Duration;

/// The resource kinds that route requests to services.
pub(super) struct Kinds {
    listeners: Kind<Listener>,
    listener_rules: Kind<ListenerRule>,
    rules: Kind<SecurityGroupRule>,
}

impl Kinds {
    /// Registers these resource kinds with a graph.
    pub(super) fn register(graph: &mut Graph, aws: &SdkConfig) -> Self {
        let balancers = LoadBalancerClient::new(aws);
        Self {
            listeners: graph.kind(Listener::new(balancers.clone())),
            listener_rules: graph.kind(ListenerRule::new(balancers)),
            rules: graph.kind(SecurityGroupRule::new(Ec2::from(aws))),
        }
    }
}

/// Returns the graph of a plan, with a check of the targets of each service. `within` is the time to wait for a
/// rollout.
pub(super) fn graph(context: &WorkspaceContext, steps: &[Step], within: Option<Duration>) -> Result<Graph, Error> {
    let mut graph = Graph::new();
    let kept = context.workspace.deploy.keep_revisions.into();
    let rollouts = RolloutOptions {
        keep_revisions: kept,
        abort_on_crash_loop: true,
        ..deployed::observed_rollouts(context, within)
    };
    let services = pb_fargate::register_services(&mut graph, &context.aws, rollouts);
    let kinds = Kinds::register(&mut graph, &context.aws);
    if let Some(within) = within.filter(|within| !within.is_zero()) {
        graph.wait_at_most(within);
    }
    let mut builder = GraphBuilder { graph, services, kinds, ingress: Vec::new() };
    for step in steps.iter().filter(|step| step.action != Action::Delete) {
        builder.add(context, step, within)?;
    }
    Ok(builder.graph)
}

struct GraphBuilder {
    graph: Graph,
    services: Kind<Services>,
    kinds: Kinds,
    /// The security group rules that a service needs before its new tasks start.
    ingress: Vec<Handle<SecurityGroupRuleAttrs>>,
}

impl GraphBuilder {
    fn add(&mut self, context: &WorkspaceContext, step: &Step, within: Option<Duration>) -> Result<(), Error> {
        let address = step.address.as_str();
        match step.kind.as_str() {
            Listener::KIND => {
                let spec = step.desired::<Listener>()?;
                self.graph.add(address, &self.kinds.listeners, (), move |()| spec.clone())?;
            }
            ListenerRule::KIND => {
                let spec = step.desired::<ListenerRule>()?;
                self.graph.add(address, &self.kinds.listener_rules, (), move |()| spec.clone())?;
            }
            SecurityGroupRule::KIND => {
                let spec = step.desired::<SecurityGroupRule>()?;
                let rule = self.graph.add(address, &self.kinds.rules, (), move |()| spec.clone())?;
                self.ingress.push(rule);
            }
            _ => self.service(context, step, &step.desired::<Services>()?, within)?,
        }
        Ok(())
    }

    fn service(
        &mut self,
        context: &WorkspaceContext,
        step: &Step,
        spec: &ServiceSpec,
        within: Option<Duration>,
    ) -> Result<(), Failure> {
        let wanted = spec.clone();
        let ingress = self.ingress.clone();
        let service = self.graph.add(step.address.as_str(), &self.services, ingress, move |_| wanted.clone())?;
        let healthy = match step.action {
            // The service itself does not change, but its targets may become healthy only after the routing is
            // repaired.
            Action::NoOp => target_health::kind_within(&context.aws, within),
            _ => target_health::kind(&context.aws, &context.workspace, within),
        };
        target_health::add(
            &mut self.graph,
            &healthy,
            (names::service_key(&step.address), service),
            spec,
            spec.desired_count,
        )
    }
}
