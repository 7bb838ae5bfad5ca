//! CloudWatch Logs, ECR, IAM, STS and Service Quotas: log groups, image repositories, roles, the caller's identity and
//! quotas.

use super::{ACCOUNT, Account, Answer, REGION, Refusal, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};

pub const LOGS: &str = "logs.log_group";
pub const IMAGES: &str = "ecr.repository";

const NO_LOGS: &str = "ResourceNotFoundException";
const NO_IMAGES: &str = "RepositoryNotFoundException";

pub fn logs_arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}")
}

fn images_arn(name: &str) -> String {
    format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}")
}

impl Account {
    pub fn other_services(&mut self, call: &Call) -> Answer {
        let logs = logs_arn(call.text("logGroupName"));
        let images = images_arn(call.text("repositoryName"));
        match call.operation.as_str() {
            "CreateLogGroup" => {
                if self.resources.contains_key(&logs) {
                    return refused("ResourceAlreadyExistsException", "The specified log group already exists");
                }
                let tags: Vec<(String, Value)> =
                    call.input["tags"].as_object().cloned().into_iter().flatten().collect();
                let tags = tags.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect();
                let body = json!({
                    "logGroupName": call.text("logGroupName"), "arn": format!("{logs}:*"), "logGroupArn": logs,
                });
                self.put(LOGS, &logs, body, tags);
                Ok(json!({}))
            }
            "PutRetentionPolicy" => {
                self.get(LOGS, &logs, NO_LOGS)?.body["retentionInDays"] = call.input["retentionInDays"].clone();
                Ok(json!({}))
            }
            "DescribeLogGroups" => {
                let prefix = call.text("logGroupNamePrefix");
                let groups = self.of_kind(LOGS).map(|(_, group)| &group.body);
                let groups = groups.filter(|group| group["logGroupName"].as_str().unwrap().starts_with(prefix));
                Ok(json!({"logGroups": groups.cloned().collect::<Vec<_>>()}))
            }
            "DeleteLogGroup" => {
                self.get(LOGS, &logs, NO_LOGS)?;
                self.resources.remove(&logs);
                Ok(json!({}))
            }
            "FilterLogEvents" => self.filter_log_events(call),
            "CreateRepository" => self.create_repository(call, &images),
            "PutLifecyclePolicy" => {
                self.repository(&images)?["policy"] = call.input["lifecyclePolicyText"].clone();
                Ok(json!({}))
            }
            "GetLifecyclePolicy" => match self.repository(&images)?["policy"].clone() {
                Value::Null => refused("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist"),
                policy => Ok(json!({"lifecyclePolicyText": policy})),
            },
            "DescribeRepositories" => {
                let all: Vec<Value> = self.of_kind(IMAGES).map(|(_, repository)| repository.body.clone()).collect();
                Ok(json!({"repositories": all}))
            }
            "ListImages" => {
                self.repository(&images)?;
                Ok(json!({"imageIds": []}))
            }
            "DeleteRepository" => {
                self.repository(&images)?;
                self.resources.remove(&images);
                Ok(json!({}))
            }
            "ListTagsForResource" | "TagResource" | "UntagResource" => self.change_tags(call),
            "GetRole" => {
                let name = call.text("RoleName");
                let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
                let date = "2024-01-01T00:00:00Z";
                Ok(json!({"Role": {"Path": "/", "RoleName": name, "RoleId": "r", "Arn": arn, "CreateDate": date}}))
            }
            "GetServiceQuota" => Ok(json!({"Quota": {"Value": 1000.0}})),
            "GetCallerIdentity" => Ok(json!({"Account": ACCOUNT, "UserId": "u", "Arn": "arn:aws:iam::1:user/u"})),
            other => panic!("unsupported call to {}: {other}", call.service),
        }
    }

    fn create_repository(&mut self, call: &Call, id: &str) -> Answer {
        let name = call.text("repositoryName");
        if self.resources.contains_key(id) {
            return refused("RepositoryAlreadyExistsException", format!("The repository '{name}' already exists"));
        }
        let body = json!({
            "repositoryName": name,
            "repositoryArn": id,
            "repositoryUri": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"),
            "imageTagMutability": call.input["imageTagMutability"],
            "imageScanningConfiguration": call.input["imageScanningConfiguration"],
        });
        self.put(IMAGES, id, body.clone(), tags_of(&call.input["tags"], "Key", "Value"));
        Ok(json!({"repository": body}))
    }

    fn repository(&mut self, id: &str) -> Result<&mut Value, Refusal> {
        self.get(IMAGES, id, NO_IMAGES).map(|resource| &mut resource.body)
    }

    fn change_tags(&mut self, call: &Call) -> Answer {
        let code = if call.service == "ecr" { NO_IMAGES } else { NO_LOGS };
        let Some(resource) = self.resources.get_mut(call.text("resourceArn")) else {
            return refused(code, "The specified resource does not exist.");
        };
        match (call.operation.as_str(), call.service) {
            ("ListTagsForResource", "ecr") => Ok(json!({"tags": tag_list(&resource.tags, "Key", "Value")})),
            ("ListTagsForResource", _) => Ok(json!({"tags": resource.tags})),
            ("TagResource", "ecr") => {
                resource.tags.extend(tags_of(&call.input["tags"], "Key", "Value"));
                Ok(json!({}))
            }
            ("TagResource", _) => {
                let tags = call.input["tags"].as_object().cloned().unwrap_or_default();
                resource.tags.extend(tags.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())));
                Ok(json!({}))
            }
            _ => {
                let removed = call.texts("tagKeys");
                resource.tags.retain(|key, _| !removed.contains(key));
                Ok(json!({}))
            }
        }
    }
}
