//! ECS: clusters, task definitions, services and their rollouts.

use super::ec2::{GROUP, SUBNET};
use super::{ACCOUNT, Account, Answer, REGION, Refusal, Resource, Tags, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

pub const CLUSTER: &str = "ecs.cluster";
pub const TASK: &str = "ecs.task_definition";
pub const SERVICE: &str = "ecs.service";

pub fn arn(rest: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{rest}")
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

fn cluster_arn(name: &str) -> String {
    arn(&format!("cluster/{}", last(name)))
}

fn given(call: &Call) -> Tags {
    tags_of(&call.input["tags"], "key", "value")
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    refused("InvalidParameterException", message)
}

/// Fields of a service that start another deployment when they change.
const DEPLOYS: [&str; 4] = ["taskDefinition", "networkConfiguration", "loadBalancers", "forceNewDeployment"];

impl Account {
    pub fn ecs(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateCluster" => self.create_cluster(call),
            "ListClusters" => {
                Ok(json!({"clusterArns": self.of_kind(CLUSTER).map(|(id, _)| id.clone()).collect::<Vec<_>>()}))
            }
            "DescribeClusters" => Ok(self.describe_ecs_clusters(&call.texts("clusters"))),
            "UpdateClusterSettings" => Ok(json!({})),
            "DeleteCluster" => self.delete_cluster(call),
            "RegisterTaskDefinition" => self.register(call),
            "DeregisterTaskDefinition" => {
                let task = self.get(TASK, call.text("taskDefinition"), "ClientException")?;
                task.inactive = true;
                Ok(json!({}))
            }
            "DescribeTaskDefinition" => self.describe_task(call.text("taskDefinition")),
            "ListTaskDefinitions" => {
                let family = call.text("familyPrefix");
                let arns: Vec<String> = self.revisions(family).into_iter().map(|(_, id)| id).rev().collect();
                Ok(json!({"taskDefinitionArns": arns}))
            }
            "ListTaskDefinitionFamilies" => Ok(self.families(call.text("familyPrefix"))),
            "CreateService" => self.create_service(call),
            "UpdateService" => self.update_service(call),
            "DeleteService" => self.delete_service(call),
            "ListServices" => self.list_services(call),
            "ListDaemons" => Ok(json!({"daemonSummariesList": []})),
            "DescribeServices" => self.describe_services(call),
            "RunTask" => self.run_task(call),
            "ListTasks" if call.text("serviceName").is_empty() => self.list_one_off_tasks(call),
            "ListTasks" => self.list_tasks(call),
            "DescribeTasks" => self.describe_tasks(call),
            "StopTask" => self.stop_task(call),
            "TagResource" | "UntagResource" => self.ecs_tags(call),
            other => panic!("unsupported call to ECS: {other}"),
        }
    }

    fn create_cluster(&mut self, call: &Call) -> Answer {
        let name = call.text("clusterName");
        let id = cluster_arn(name);
        if self.resources.get(&id).is_none_or(|existing| existing.inactive) {
            let body = json!({
                "clusterArn": id, "clusterName": name, "status": "ACTIVE", "settings": call.input["settings"],
            });
            self.put(CLUSTER, &id, body, given(call));
        }
        Ok(json!({"cluster": self.resources[&id].body}))
    }

    fn describe_ecs_clusters(&self, names: &[String]) -> Value {
        let found = names.iter().filter_map(|name| {
            let resource = self.resources.get(&cluster_arn(name))?;
            let mut body = resource.body.clone();
            body["tags"] = json!(tag_list(&resource.tags, "key", "value"));
            body["status"] = json!(if resource.inactive { "INACTIVE" } else { "ACTIVE" });
            Some(body)
        });
        json!({"clusters": found.collect::<Vec<_>>(), "failures": []})
    }

    /// Returns the id of the cluster that the call names. The cluster must exist.
    fn in_cluster(&mut self, call: &Call) -> Result<String, Refusal> {
        let id = cluster_arn(call.text("cluster"));
        match self.get(CLUSTER, &id, "ClusterNotFoundException") {
            Ok(_) => Ok(id),
            Err(_) => refused("ClusterNotFoundException", "Cluster not found."),
        }
    }

    fn delete_cluster(&mut self, call: &Call) -> Answer {
        let id = self.in_cluster(call)?;
        if self.of_kind(SERVICE).any(|(_, service)| service.body["clusterArn"] == id) {
            let message = "The Cluster cannot be deleted while Services are active.";
            return refused("ClusterContainsServicesException", message);
        }
        if self.has_running_task() {
            return refused("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.");
        }
        let cluster = self.get(CLUSTER, &id, "ClusterNotFoundException")?;
        cluster.inactive = true;
        Ok(json!({"cluster": cluster.body}))
    }

    /// Returns the ACTIVE revisions of a family, the earliest first.
    fn revisions(&self, family: &str) -> Vec<(u64, String)> {
        let of = self.of_kind(TASK).filter(|(_, task)| task.body["family"] == family);
        let mut all: Vec<(u64, String)> =
            of.map(|(id, task)| (task.body["revision"].as_u64().unwrap(), id.clone())).collect();
        all.sort();
        all
    }

    fn families(&self, prefix: &str) -> Value {
        let mut families: Vec<&str> = self.of_kind(TASK).filter_map(|(_, task)| task.body["family"].as_str()).collect();
        families.retain(|family| family.starts_with(prefix));
        families.sort_unstable();
        families.dedup();
        json!({"families": families})
    }

    fn register(&mut self, call: &Call) -> Answer {
        let family = call.text("family");
        let known =
            self.resources.values().filter(|resource| resource.kind == TASK && resource.body["family"] == family);
        let revision = known.filter_map(|resource| resource.body["revision"].as_u64()).max().unwrap_or_default() + 1;
        let id = arn(&format!("task-definition/{family}:{revision}"));
        let mut body = call.input.clone();
        body.as_object_mut().unwrap().remove("tags");
        for container in body["containerDefinitions"].as_array_mut().into_iter().flatten() {
            container["cpu"] = json!(0);
            for field in ["mountPoints", "volumesFrom", "systemControls"] {
                container[field] = json!([]);
            }
            for port in container["portMappings"].as_array_mut().into_iter().flatten() {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
        body["taskDefinitionArn"] = json!(id);
        body["revision"] = json!(revision);
        body["status"] = json!("ACTIVE");
        let tags = given(call);
        self.put(TASK, &id, body.clone(), tags);
        Ok(json!({"taskDefinition": body, "tags": call.input["tags"]}))
    }

    fn describe_task(&mut self, name: &str) -> Answer {
        let id = match name.starts_with("arn:") {
            true => Some(name.to_owned()),
            false => self.revisions(name).pop().map(|(_, id)| id),
        };
        let Some(task) = id.and_then(|id| self.resources.get(&id)) else {
            return refused("ClientException", "Unable to describe task definition.");
        };
        Ok(json!({"taskDefinition": task.body, "tags": tag_list(&task.tags, "key", "value")}))
    }

    /// Refuses a service that refers to missing resources.
    pub fn check_service(&mut self, input: &Value) -> Result<(), Refusal> {
        let vpc = &input["networkConfiguration"]["awsvpcConfiguration"];
        for (field, kind, code) in
            [("subnets", SUBNET, "InvalidSubnetID.NotFound"), ("securityGroups", GROUP, "InvalidGroup.NotFound")]
        {
            for id in vpc[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if self.resources.get(id).is_none_or(|resource| resource.kind != kind) {
                    return invalid(format!("Error retrieving {id}. ErrorCode='{code}'"));
                }
            }
        }
        for balancer in input["loadBalancers"].as_array().into_iter().flatten() {
            let targets = balancer["targetGroupArn"].as_str().unwrap_or_default();
            if self.load_balancer_of(targets).is_none() {
                let message = format!(
                    "The target group with targetGroupArn {targets} does not have an associated load balancer."
                );
                return invalid(message);
            }
        }
        match input["taskDefinition"].as_str() {
            Some(task) if self.get(TASK, task, "").is_err() => {
                refused("ClientException", format!("TaskDefinition is inactive: {task}"))
            }
            _ => Ok(()),
        }
    }

    fn create_service(&mut self, call: &Call) -> Answer {
        let cluster = self.in_cluster(call)?;
        let (name, token) = (call.text("serviceName"), call.text("clientToken"));
        let id = arn(&format!("service/{}/{name}", last(&cluster)));
        if let Some(existing) = self.resources.get(&id).filter(|existing| !existing.inactive) {
            if existing.deleted_at.is_some() {
                return invalid("Unable to Start a service that is still Draining.");
            }
            if existing.token != token {
                return invalid("Creation of service was not idempotent.");
            }
            return self.service(&id).map(|service| json!({"service": service}));
        }
        self.check_service(&call.input)?;
        let mut body = call.input.clone();
        for field in ["tags", "cluster", "clientToken"] {
            body.as_object_mut().unwrap().remove(field);
        }
        body["serviceArn"] = json!(id);
        body["clusterArn"] = json!(cluster);
        body["enableECSManagedTags"] = call.input["enableECSManagedTags"].clone();
        body["deploymentIds"] = json!([]);
        self.put(SERVICE, &id, body, given(call));
        self.get(SERVICE, &id, "")?.token = token.to_owned();
        self.deploy(&id)?;
        self.service(&id).map(|service| json!({"service": service}))
    }

    /// Starts a deployment: new tasks start, and the tasks of the previous deployment run until the new deployment has
    /// completed.
    fn deploy(&mut self, id: &str) -> Result<(), Refusal> {
        let (now, rollout, serial) = (self.now(), self.times.rollout, self.serial());
        self.release_interfaces(id, rollout);
        let service = self.get(SERVICE, id, "ServiceNotFoundException")?;
        service.changed_at = now;
        let before = service.body["deploymentIds"].as_array_mut().unwrap();
        before.push(json!({"id": format!("ecs-svc/{serial}"), "task": Value::Null}));
        let task = service.body["taskDefinition"].clone();
        service.body["deploymentIds"].as_array_mut().unwrap().last_mut().unwrap()["task"] = task;
        let vpc = service.body["networkConfiguration"]["awsvpcConfiguration"].clone();
        let texts = |field: &str| -> Vec<String> {
            vpc[field].as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
        };
        self.attach_interface(id, &texts("subnets")[0], &texts("securityGroups"), vpc["assignPublicIp"] == "ENABLED");
        Ok(())
    }

    /// Returns the current description of a service.
    fn service(&mut self, id: &str) -> Answer {
        let (now, rollout) = (self.now(), self.times.rollout);
        let Some(resource) = self.resources.get(id) else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        let mut body = resource.body.clone();
        let (done, ending) = (now >= resource.changed_at + rollout, resource.deleted_at.is_some() || resource.inactive);
        let status = match () {
            () if resource.inactive => "INACTIVE",
            () if ending => "DRAINING",
            () => "ACTIVE",
        };
        let desired = if ending { json!(0) } else { body["desiredCount"].clone() };
        let all = body["deploymentIds"].as_array().cloned().unwrap_or_default();
        let deployment = |one: &Value, primary: bool| {
            json!({
                "id": one["id"],
                "status": if primary { "PRIMARY" } else { "ACTIVE" },
                "taskDefinition": one["task"],
                "desiredCount": desired,
                "runningCount": if primary && !done { json!(0) } else { desired.clone() },
                "pendingCount": 0,
                "failedTasks": 0,
                "rolloutState": if primary && !done { "IN_PROGRESS" } else { "COMPLETED" },
            })
        };
        let shown = if done { 1 } else { 2 };
        let deployments: Vec<Value> =
            all.iter().rev().take(shown).enumerate().map(|(at, one)| deployment(one, at == 0)).collect();
        body["deployments"] = if ending { json!([]) } else { json!(deployments) };
        body["status"] = json!(status);
        body["runningCount"] = if done && !ending { desired.clone() } else { json!(0) };
        body["pendingCount"] = json!(0);
        body["desiredCount"] = desired;
        body["events"] = json!([]);
        body["tags"] = json!(tag_list(&resource.tags, "key", "value"));
        Ok(body)
    }

    fn service_arn(call: &Call) -> String {
        arn(&format!("service/{}/{}", last(call.text("cluster")), last(call.text("service"))))
    }

    fn update_service(&mut self, call: &Call) -> Answer {
        self.in_cluster(call)?;
        let id = Self::service_arn(call);
        let service = self.get(SERVICE, &id, "ServiceNotFoundException")?;
        if service.deleted_at.is_some() {
            return refused("ServiceNotActiveException", "Service was not ACTIVE.");
        }
        self.check_service(&call.input)?;
        let service = self.get(SERVICE, &id, "ServiceNotFoundException")?;
        let mut deploys = false;
        for (field, value) in call.input.as_object().unwrap() {
            if !["cluster", "service"].contains(&field.as_str()) {
                deploys |= DEPLOYS.contains(&field.as_str());
                service.body[field] = value.clone();
            }
        }
        if deploys {
            self.deploy(&id)?;
        }
        self.service(&id).map(|service| json!({"service": service}))
    }

    fn delete_service(&mut self, call: &Call) -> Answer {
        self.in_cluster(call)?;
        let id = Self::service_arn(call);
        let (now, draining) = (self.now(), self.times.draining);
        let service = self.get(SERVICE, &id, "ServiceNotFoundException")?;
        if service.deleted_at.is_some() {
            return refused("ServiceNotActiveException", "Service was not ACTIVE.");
        }
        service.deleted_at = Some(now + draining);
        let stay: Duration = draining;
        self.release_interfaces(&id, stay);
        self.service(&id).map(|service| json!({"service": service}))
    }

    fn list_services(&mut self, call: &Call) -> Answer {
        let cluster = self.in_cluster(call)?;
        let own = |(_, service): &(&String, &Resource)| service.body["clusterArn"] == cluster;
        Ok(json!({"serviceArns": self.of_kind(SERVICE).filter(own).map(|(id, _)| id.clone()).collect::<Vec<_>>()}))
    }

    fn describe_services(&mut self, call: &Call) -> Answer {
        let cluster = self.in_cluster(call)?;
        let names = call.texts("services");
        assert!(names.len() <= 10, "too many services in one call");
        let (mut services, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let id = arn(&format!("service/{}/{}", last(&cluster), last(&name)));
            match self.service(&id) {
                Ok(mut service) => {
                    if call.texts("include").is_empty() {
                        service.as_object_mut().unwrap().remove("tags");
                    }
                    services.push(service);
                }
                Err(_) => failures.push(json!({"arn": id, "reason": "MISSING"})),
            }
        }
        Ok(json!({"services": services, "failures": failures}))
    }

    fn ecs_tags(&mut self, call: &Call) -> Answer {
        let Some(resource) = self.resources.get_mut(call.text("resourceArn")) else {
            return refused("ResourceNotFoundException", "The specified resource does not exist.");
        };
        resource.tags.extend(given(call));
        let removed = call.texts("tagKeys");
        resource.tags.retain(|key, _| !removed.contains(key));
        Ok(json!({}))
    }
}
