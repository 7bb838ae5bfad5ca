//! ElastiCache: subnet groups, parameter groups, replication groups.

use super::ec2::{GROUP, SUBNET};
use super::{ACCOUNT, Account, Answer, REGION, Refusal, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

pub const SUBNETS: &str = "elasticache.subnet_group";
pub const PARAMETERS: &str = "elasticache.parameter_group";
pub const CACHE: &str = "elasticache.replication_group";

const NO_CACHE: &str = "ReplicationGroupNotFoundFault";
const NO_SUBNETS: &str = "CacheSubnetGroupNotFoundFault";
const NO_PARAMETERS: &str = "CacheParameterGroupNotFound";

/// Returns the ARN for a resource type and a name. The ARN is the key of the resource in the account.
fn arn(sort: &str, name: &str) -> String {
    format!("arn:aws:elasticache:{REGION}:{ACCOUNT}:{sort}:{name}")
}

/// Fields of a replication group that a call can change: their names in the request and in the stored body.
const CHANGES: [(&str, &str); 6] = [
    ("ReplicationGroupDescription", "ReplicationGroupDescription"),
    ("Engine", "Engine"),
    ("EngineVersion", "EngineVersion"),
    ("CacheNodeType", "CacheNodeType"),
    ("CacheParameterGroupName", "CacheParameterGroupName"),
    ("SecurityGroupIds", "SecurityGroupIds"),
];

impl Account {
    pub fn cache(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateCacheSubnetGroup" => self.create_subnet_group(call),
            "ModifyCacheSubnetGroup" => self.modify_subnet_group(call),
            "DescribeCacheSubnetGroups" => self.describe_subnet_groups(call.text("CacheSubnetGroupName")),
            "DeleteCacheSubnetGroup" => {
                let (name, code) = (call.text("CacheSubnetGroupName"), "CacheSubnetGroupInUse");
                self.delete_unused_group(
                    SUBNETS,
                    &arn("subnetgroup", name),
                    "CacheSubnetGroupName",
                    name,
                    (NO_SUBNETS, code),
                )
            }
            "CreateCacheParameterGroup" => self.create_parameters(call),
            "ModifyCacheParameterGroup" | "ResetCacheParameterGroup" => self.set_parameters(call),
            "DescribeCacheParameterGroups" => Ok(self.describe_parameter_groups()),
            "DescribeCacheParameters" => self.describe_parameters(call.text("CacheParameterGroupName")),
            "DeleteCacheParameterGroup" => {
                let (name, code) = (call.text("CacheParameterGroupName"), "InvalidCacheParameterGroupState");
                let codes = (NO_PARAMETERS, code);
                self.delete_unused_group(
                    PARAMETERS,
                    &arn("parametergroup", name),
                    "CacheParameterGroupName",
                    name,
                    codes,
                )
            }
            "CreateReplicationGroup" => self.create_cache(call),
            "ModifyReplicationGroup" => self.modify_cache(call),
            "DescribeReplicationGroups" => self.describe_caches(call.text("ReplicationGroupId")),
            "DescribeCacheClusters" => Ok(self.describe_clusters(call.text("CacheClusterId"))),
            "DescribeCacheEngineVersions" => {
                let offered = match call.text("Engine") {
                    "valkey" => [("7.2.6", "valkey7"), ("8.0.1", "valkey8")],
                    _ => [("7.0.7", "redis7"), ("7.1.0", "redis7")],
                };
                let version =
                    |(version, family)| json!({"EngineVersion": version, "CacheParameterGroupFamily": family});
                let versions: Vec<Value> = offered.map(version).into();
                Ok(json!({"CacheEngineVersions": {"CacheEngineVersion": versions}}))
            }
            "DescribeReservedCacheNodesOfferings" => {
                let offering = json!({"CacheNodeType": call.text("CacheNodeType")});
                Ok(json!({"ReservedCacheNodesOfferings": {"ReservedCacheNodesOffering": [offering]}}))
            }
            "DeleteReplicationGroup" => self.delete_cache(call.text("ReplicationGroupId")),
            "ListTagsForResource" | "AddTagsToResource" | "RemoveTagsFromResource" => self.cache_tags(call),
            other => panic!("unsupported call to ElastiCache: {other}"),
        }
    }

    fn create_subnet_group(&mut self, call: &Call) -> Answer {
        let (name, subnets) = (call.text("CacheSubnetGroupName"), call.texts("SubnetIds"));
        let id = arn("subnetgroup", name);
        if self.resources.contains_key(&id) {
            return refused("CacheSubnetGroupAlreadyExists", format!("Cache subnet group {name} already exists."));
        }
        if subnets.iter().any(|id| self.resources.get(id).is_none_or(|resource| resource.kind != SUBNET)) {
            return refused("InvalidSubnet", format!("some of {subnets:?} do not exist"));
        }
        let body = json!({
            "CacheSubnetGroupName": name,
            "CacheSubnetGroupDescription": call.text("CacheSubnetGroupDescription"),
            "subnets": subnets,
        });
        self.put(SUBNETS, &id, body, tags_of(&call.input["Tags"], "Key", "Value"));
        self.subnet_group(&id).map(|group| json!({"CacheSubnetGroup": group}))
    }

    fn subnet_group(&mut self, id: &str) -> Answer {
        let mut body = self.get(SUBNETS, id, NO_SUBNETS)?.body.clone();
        let subnets = body["subnets"].as_array().cloned().unwrap_or_default();
        let zone = |id: &Value| {
            let subnet = id.as_str().and_then(|id| self.resources.get(id));
            subnet.map_or(Value::Null, |subnet| json!({"Name": subnet.body["availabilityZone"]}))
        };
        let subnets: Vec<Value> =
            subnets.iter().map(|id| json!({"SubnetIdentifier": id, "SubnetAvailabilityZone": zone(id)})).collect();
        body["Subnets"] = json!({"Subnet": subnets});
        body["ARN"] = json!(id);
        body.as_object_mut().unwrap().remove("subnets");
        Ok(body)
    }

    fn modify_subnet_group(&mut self, call: &Call) -> Answer {
        let id = arn("subnetgroup", call.text("CacheSubnetGroupName"));
        let (subnets, description) = (call.texts("SubnetIds"), call.input["CacheSubnetGroupDescription"].clone());
        let group = self.get(SUBNETS, &id, NO_SUBNETS)?;
        let before = group.body["subnets"].as_array().cloned().unwrap_or_default();
        let used = self.nodes_of(call.text("CacheSubnetGroupName"));
        let leaves =
            |subnet: &Value| !subnets.iter().any(|kept| subnet == kept) && used.iter().any(|used| subnet == used);
        if before.iter().any(leaves) {
            return refused("SubnetInUse", "a subnet that is to be removed is in use");
        }
        let group = self.get(SUBNETS, &id, NO_SUBNETS)?;
        group.body["subnets"] = json!(subnets);
        group.body["CacheSubnetGroupDescription"] = description;
        self.subnet_group(&id).map(|group| json!({"CacheSubnetGroup": group}))
    }

    /// Returns the subnets of this subnet group that contain nodes.
    fn nodes_of(&self, group: &str) -> Vec<String> {
        let caches: Vec<&String> = self
            .of_kind(CACHE)
            .filter(|(_, cache)| cache.body["CacheSubnetGroupName"] == group)
            .map(|(id, _)| id)
            .collect();
        let nodes = self.interfaces.iter().filter(|one| one.released_at.is_none() && caches.contains(&&one.owner));
        nodes.map(|one| one.subnet.clone()).collect()
    }

    fn describe_subnet_groups(&mut self, name: &str) -> Answer {
        let mut ids: Vec<String> = self.of_kind(SUBNETS).map(|(id, _)| id.clone()).collect();
        if !name.is_empty() {
            ids = vec![arn("subnetgroup", name)];
        }
        let groups: Result<Vec<Value>, Refusal> = ids.iter().map(|id| self.subnet_group(id)).collect();
        Ok(json!({"CacheSubnetGroups": {"CacheSubnetGroup": groups?}}))
    }

    /// Deletes a subnet group or parameter group, unless a replication group uses it.
    fn delete_unused_group(&mut self, kind: &str, id: &str, field: &str, name: &str, codes: (&str, &str)) -> Answer {
        self.get(kind, id, codes.0)?;
        if let Some((cache, _)) = self.of_kind(CACHE).find(|(_, cache)| cache.body[field] == name) {
            return refused(codes.1, format!("{name} is used by {cache}"));
        }
        self.resources.remove(id);
        Ok(json!({}))
    }

    fn create_parameters(&mut self, call: &Call) -> Answer {
        let name = call.text("CacheParameterGroupName");
        let id = arn("parametergroup", name);
        if self.resources.contains_key(&id) {
            return refused("CacheParameterGroupAlreadyExists", format!("Parameter group {name} already exists."));
        }
        let mut body = json!({
            "CacheParameterGroupName": name,
            "CacheParameterGroupFamily": call.text("CacheParameterGroupFamily"),
            "Description": call.text("Description"),
            "ARN": id,
        });
        let made = json!({"CacheParameterGroup": body});
        body["parameters"] = json!({});
        self.put(PARAMETERS, &id, body, tags_of(&call.input["Tags"], "Key", "Value"));
        Ok(made)
    }

    fn set_parameters(&mut self, call: &Call) -> Answer {
        let name = call.text("CacheParameterGroupName");
        let group = self.get(PARAMETERS, &arn("parametergroup", name), NO_PARAMETERS)?;
        for (key, value) in tags_of(&call.input["ParameterNameValues"], "ParameterName", "ParameterValue") {
            match call.operation.as_str() {
                "ModifyCacheParameterGroup" => group.body["parameters"][key] = json!(value),
                _ => drop(group.body["parameters"].as_object_mut().unwrap().remove(&key)),
            }
        }
        Ok(json!({"CacheParameterGroupName": name}))
    }

    fn describe_parameter_groups(&self) -> Value {
        let groups = self.of_kind(PARAMETERS).map(|(_, group)| {
            let mut body = group.body.clone();
            body.as_object_mut().unwrap().remove("parameters");
            body
        });
        json!({"CacheParameterGroups": {"CacheParameterGroup": groups.collect::<Vec<_>>()}})
    }

    fn describe_parameters(&mut self, name: &str) -> Answer {
        let group = self.get(PARAMETERS, &arn("parametergroup", name), NO_PARAMETERS)?;
        let set = group.body["parameters"].as_object().cloned().unwrap_or_default();
        let mut all: Vec<Value> = set
            .iter()
            .map(|(name, value)| json!({"ParameterName": name, "ParameterValue": value, "Source": "user"}))
            .collect();
        all.push(json!({"ParameterName": "timeout", "ParameterValue": "0", "Source": "system"}));
        if !set.contains_key("maxmemory-policy") {
            let usual =
                json!({"ParameterName": "maxmemory-policy", "ParameterValue": "volatile-lru", "Source": "system"});
            all.push(usual);
        }
        Ok(json!({"Parameters": {"Parameter": all}}))
    }

    fn create_cache(&mut self, call: &Call) -> Answer {
        let name = call.text("ReplicationGroupId");
        let id = arn("replicationgroup", name);
        if self.resources.contains_key(&id) {
            return refused("ReplicationGroupAlreadyExists", format!("Replication group {name} already exists"));
        }
        let subnets = arn("subnetgroup", call.text("CacheSubnetGroupName"));
        let subnet = self.get(SUBNETS, &subnets, NO_SUBNETS)?.body["subnets"][0].as_str().unwrap().to_owned();
        self.check_family(call.text("CacheParameterGroupName"), call.text("Engine"), call.text("EngineVersion"))?;
        let groups = call.texts("SecurityGroupIds");
        if groups.iter().any(|id| self.resources.get(id).is_none_or(|resource| resource.kind != GROUP)) {
            return refused("InvalidParameterValue", format!("some of {groups:?} do not exist"));
        }
        let mut body = call.input.clone();
        body.as_object_mut().unwrap().remove("Tags");
        let serial = self.serial();
        body["address"] = json!(format!("{name}.{serial}.cache.amazonaws.com"));
        self.put(CACHE, &id, body, tags_of(&call.input["Tags"], "Key", "Value"));
        self.attach_interface(&id, &subnet, &groups, false);
        self.cache_group(&id).map(|group| json!({"ReplicationGroup": group}))
    }

    /// Requires that a parameter group belongs to the family of an engine version.
    fn check_family(&mut self, group: &str, engine: &str, version: &str) -> Result<(), Refusal> {
        let group = self.get(PARAMETERS, &arn("parametergroup", group), NO_PARAMETERS)?;
        let family = format!("{engine}{}", version.split('.').next().unwrap_or_default());
        if group.body["CacheParameterGroupFamily"] != family {
            let message = format!("{engine} {version} needs a parameter group of family {family}");
            return refused("InvalidParameterCombination", message);
        }
        Ok(())
    }

    /// Requires that a change of the engine is one from Redis to Valkey with a version, that the version is not lowered,
    /// and that the parameter group matches.
    fn check_upgrade(&mut self, id: &str, call: &Call) -> Result<(), Refusal> {
        let before = self.get(CACHE, id, NO_CACHE)?.body.clone();
        let after = |field: &str| match call.text(field) {
            "" => before[field].as_str().unwrap_or_default().to_owned(),
            text => text.to_owned(),
        };
        let (engine, version) = (after("Engine"), after("EngineVersion"));
        let changes = before["Engine"] != engine.as_str();
        if changes && (engine != "valkey" || call.text("EngineVersion").is_empty()) {
            return refused("InvalidParameterCombination", format!("{id} cannot become {engine}"));
        }
        let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
        if !changes && numbers(&version) < numbers(before["EngineVersion"].as_str().unwrap_or_default()) {
            return refused("InvalidParameterValue", format!("{id} cannot be downgraded to {version}"));
        }
        self.check_family(&after("CacheParameterGroupName"), &engine, &version)
    }

    /// Returns the status: `creating`, `available`, `modifying` or `deleting`.
    fn status(&mut self, id: &str) -> Result<&'static str, Refusal> {
        let (now, time) = (self.now(), self.times.cache);
        let cache = self.get(CACHE, id, NO_CACHE)?;
        Ok(match () {
            () if cache.deleted_at.is_some() => "deleting",
            () if now < cache.created + time => "creating",
            () if cache.changed_at > cache.created && now < cache.changed_at + time / 4 => "modifying",
            () => "available",
        })
    }

    fn cache_group(&mut self, id: &str) -> Answer {
        let status = self.status(id)?;
        let body = self.get(CACHE, id, NO_CACHE)?.body.clone();
        let endpoint = json!({"Address": body["address"], "Port": body["Port"]});
        let nodes = json!({"NodeGroup": [{"NodeGroupId": "0001", "Status": status, "PrimaryEndpoint": endpoint}]});
        let on = |field: &str| if body[field] == "true" { "enabled" } else { "disabled" };
        Ok(json!({
            "ReplicationGroupId": body["ReplicationGroupId"],
            "Description": body["ReplicationGroupDescription"],
            "Status": status,
            "MemberClusters": {"ClusterId": [format!("{}-001", body["ReplicationGroupId"].as_str().unwrap())]},
            "NodeGroups": if status == "creating" { Value::Null } else { nodes },
            "AutomaticFailover": on("AutomaticFailoverEnabled"),
            "MultiAZ": on("MultiAZEnabled"),
            "ClusterEnabled": "false",
            "CacheNodeType": body["CacheNodeType"],
            "TransitEncryptionEnabled": body["TransitEncryptionEnabled"],
            "AtRestEncryptionEnabled": body["AtRestEncryptionEnabled"],
            "AutoMinorVersionUpgrade": body["AutoMinorVersionUpgrade"],
            "Engine": body["Engine"],
            "ARN": id,
        }))
    }

    fn describe_caches(&mut self, name: &str) -> Answer {
        let mut ids: Vec<String> = self.of_kind(CACHE).map(|(id, _)| id.clone()).collect();
        if !name.is_empty() {
            ids = vec![arn("replicationgroup", name)];
        }
        let groups: Result<Vec<Value>, Refusal> = ids.iter().map(|id| self.cache_group(id)).collect();
        Ok(json!({"ReplicationGroups": {"ReplicationGroup": groups?}}))
    }

    fn describe_clusters(&mut self, member: &str) -> Value {
        let ids: Vec<String> = self.of_kind(CACHE).map(|(id, _)| id.clone()).collect();
        let clusters = ids.iter().filter_map(|id| {
            let (status, body) = (self.status(id).ok()?, self.resources[id].body.clone());
            let name = body["ReplicationGroupId"].as_str()?;
            let groups = body["SecurityGroupIds"].as_array().cloned().unwrap_or_default();
            let groups: Vec<Value> =
                groups.iter().map(|id| json!({"SecurityGroupId": id, "Status": "active"})).collect();
            let subnet = self.interfaces.iter().find(|one| one.owner == **id).map(|one| one.subnet.clone());
            let zone =
                subnet.and_then(|id| self.resources.get(&id)).map(|subnet| subnet.body["availabilityZone"].clone());
            let is_it = member.is_empty() || member == format!("{name}-001");
            is_it.then(|| {
                json!({
                    "CacheClusterId": format!("{name}-001"),
                    "ReplicationGroupId": name,
                    "CacheClusterStatus": status,
                    "CacheNodeType": body["CacheNodeType"],
                    "PreferredAvailabilityZone": zone,
                    "Engine": body["Engine"],
                    "EngineVersion": format!("{}.0", body["EngineVersion"].as_str().unwrap()),
                    "CacheSubnetGroupName": body["CacheSubnetGroupName"],
                    "CacheParameterGroup": {"CacheParameterGroupName": body["CacheParameterGroupName"]},
                    "SecurityGroups": {"member": groups},
                    "AutoMinorVersionUpgrade": body["AutoMinorVersionUpgrade"],
                })
            })
        });
        let clusters: Vec<Value> = clusters.collect();
        json!({"CacheClusters": {"CacheCluster": clusters}})
    }

    fn modify_cache(&mut self, call: &Call) -> Answer {
        let id = arn("replicationgroup", call.text("ReplicationGroupId"));
        if self.status(&id)? != "available" {
            return refused("InvalidReplicationGroupState", format!("{id} is not in the available state"));
        }
        self.check_upgrade(&id, call)?;
        let now = self.now();
        let cache = self.get(CACHE, &id, NO_CACHE)?;
        cache.changed_at = now;
        for (from, to) in CHANGES.iter().filter(|(from, _)| !call.input[*from].is_null()) {
            cache.body[*to] = call.input[*from].clone();
        }
        let groups = call.texts("SecurityGroupIds");
        if !groups.is_empty() {
            let own = self.interfaces.iter_mut().filter(|one| one.owner == id);
            own.for_each(|one| one.groups.clone_from(&groups));
        }
        self.cache_group(&id).map(|group| json!({"ReplicationGroup": group}))
    }

    fn delete_cache(&mut self, name: &str) -> Answer {
        let id = arn("replicationgroup", name);
        if self.status(&id)? != "available" {
            return refused("InvalidReplicationGroupState", format!("{name} is not in the available state"));
        }
        let ends = self.now() + self.times.cache_deleting;
        self.get(CACHE, &id, NO_CACHE)?.deleted_at = Some(ends);
        let stay: Duration = self.times.cache_deleting;
        self.release_interfaces(&id, stay);
        self.cache_group(&id).map(|group| json!({"ReplicationGroup": group}))
    }

    fn cache_tags(&mut self, call: &Call) -> Answer {
        let id = call.text("ResourceName");
        if id.contains(":replicationgroup:") && self.status(id)? != "available" {
            return refused("InvalidReplicationGroupState", format!("{id} is not in the available state"));
        }
        let code = if id.contains("subnet") { NO_SUBNETS } else { NO_PARAMETERS };
        let Some(resource) = self.resources.get_mut(id) else { return refused(code, format!("{id} does not exist")) };
        resource.tags.extend(tags_of(&call.input["Tags"], "Key", "Value"));
        let removed = call.texts("TagKeys");
        resource.tags.retain(|key, _| !removed.contains(key));
        Ok(json!({"TagList": {"Tag": tag_list(&resource.tags, "Key", "Value")}}))
    }
}
