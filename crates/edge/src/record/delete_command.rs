//! The AWS CLI command that deletes records.

use crate::record::plain_name;
use aws_sdk_route53::types::ResourceRecordSet;
use serde_json::{Map, Value, json};

/// Returns the command that deletes these records of a zone. Route 53 deletes a record only if the call repeats all of
/// its values. A record of a traffic policy must be deleted with the instance of the policy, which would remain
/// otherwise. (Route 53 API: ChangeResourceRecordSets, ResourceRecordSet)
pub(crate) fn delete_command(zone_id: &str, sets: &[&ResourceRecordSet]) -> String {
    if let Some(instance) = sets.iter().find_map(|set| set.traffic_policy_instance_id.as_deref()) {
        return format!("aws route53 delete-traffic-policy-instance --id {instance}");
    }
    let changes: Vec<Value> =
        sets.iter().map(|set| json!({ "Action": "DELETE", "ResourceRecordSet": record(set) })).collect();
    let batch = json!({ "Changes": changes }).to_string().replace('\'', r"'\''");
    format!("aws route53 change-resource-record-sets --hosted-zone-id {zone_id} --change-batch '{batch}'")
}

/// Returns a record in the form of the CLI.
fn record(set: &ResourceRecordSet) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Option<Value>| drop(value.map(|value| fields.insert(key.to_owned(), value)));
    put("Name", Some(json!(plain_name(&set.name))));
    put("Type", Some(json!(set.r#type.as_str())));
    put("SetIdentifier", set.set_identifier.as_ref().map(|id| json!(id)));
    put("Weight", set.weight.map(|weight| json!(weight)));
    put("Region", set.region.as_ref().map(|region| json!(region.as_str())));
    put("Failover", set.failover.as_ref().map(|failover| json!(failover.as_str())));
    put("MultiValueAnswer", set.multi_value_answer.map(|on| json!(on)));
    put("GeoLocation", set.geo_location.as_ref().map(geo_location));
    put("GeoProximityLocation", set.geo_proximity_location.as_ref().map(geo_proximity));
    put(
        "CidrRoutingConfig",
        set.cidr_routing_config
            .as_ref()
            .map(|cidr| json!({ "CollectionId": cidr.collection_id, "LocationName": cidr.location_name })),
    );
    put("TTL", set.ttl.map(|ttl| json!(ttl)));
    put(
        "ResourceRecords",
        (!set.resource_records().is_empty())
            .then(|| set.resource_records().iter().map(|record| json!({ "Value": record.value })).collect()),
    );
    put(
        "AliasTarget",
        set.alias_target.as_ref().map(|target| {
            json!({
                "HostedZoneId": target.hosted_zone_id,
                "DNSName": target.dns_name,
                "EvaluateTargetHealth": target.evaluate_target_health,
            })
        }),
    );
    put("HealthCheckId", set.health_check_id.as_ref().map(|id| json!(id)));
    Value::Object(fields)
}

fn geo_location(place: &aws_sdk_route53::types::GeoLocation) -> Value {
    object(&[
        ("ContinentCode", place.continent_code()),
        ("CountryCode", place.country_code()),
        ("SubdivisionCode", place.subdivision_code()),
    ])
}

fn geo_proximity(place: &aws_sdk_route53::types::GeoProximityLocation) -> Value {
    let mut value = object(&[("AWSRegion", place.aws_region()), ("LocalZoneGroup", place.local_zone_group())]);
    if let Some(at) = place.coordinates() {
        value["Coordinates"] = json!({ "Latitude": at.latitude, "Longitude": at.longitude });
    }
    if let Some(bias) = place.bias() {
        value["Bias"] = json!(bias);
    }
    value
}

/// Returns an object with the fields that have a value.
fn object(fields: &[(&str, Option<&str>)]) -> Value {
    let present = fields.iter().filter_map(|(key, value)| Some(((*key).to_owned(), json!((*value)?))));
    Value::Object(present.collect())
}

#[cfg(test)]
mod tests {
    use super::delete_command;
    use aws_sdk_route53::types::{
        AliasTarget, CidrRoutingConfig, Coordinates, GeoLocation, GeoProximityLocation, ResourceRecord,
        ResourceRecordSet, ResourceRecordSetFailover, RrType,
    };

    #[test]
    fn delete_command_repeats_all_values() {
        let target = AliasTarget::builder().dns_name("x.elb.amazonaws.com.").hosted_zone_id("Z3");
        let coordinates = Coordinates::builder().latitude("1.50").longitude("2.00").build().unwrap();
        let set = ResourceRecordSet::builder()
            .name("A.example.org.")
            .r#type(RrType::A)
            .set_identifier("it's")
            .weight(0)
            .failover(ResourceRecordSetFailover::Primary)
            .multi_value_answer(true)
            .geo_location(GeoLocation::builder().country_code("*").build())
            .geo_proximity_location(GeoProximityLocation::builder().coordinates(coordinates).bias(5).build())
            .cidr_routing_config(CidrRoutingConfig::builder().collection_id("c").location_name("*").build().unwrap())
            .ttl(60)
            .resource_records(ResourceRecord::builder().value("192.0.2.1").build().unwrap())
            .alias_target(target.evaluate_target_health(false).build().unwrap())
            .health_check_id("h")
            .build()
            .unwrap();
        let command = delete_command("Z1", &[&set]);
        let (head, batch) = command.split_once(" --change-batch '").unwrap();
        assert_eq!(head, "aws route53 change-resource-record-sets --hosted-zone-id Z1");
        let batch = batch.strip_suffix('\'').unwrap().replace(r"'\''", "'");
        let batch: serde_json::Value = serde_json::from_str(&batch).unwrap();
        let expected = serde_json::json!({ "Changes": [{ "Action": "DELETE", "ResourceRecordSet": {
            "Name": "a.example.org", "Type": "A", "SetIdentifier": "it's", "Weight": 0, "Failover": "PRIMARY",
            "MultiValueAnswer": true, "GeoLocation": { "CountryCode": "*" },
            "GeoProximityLocation": { "Coordinates": { "Latitude": "1.50", "Longitude": "2.00" }, "Bias": 5 },
            "CidrRoutingConfig": { "CollectionId": "c", "LocationName": "*" }, "TTL": 60,
            "ResourceRecords": [{ "Value": "192.0.2.1" }],
            "AliasTarget": { "HostedZoneId": "Z3", "DNSName": "x.elb.amazonaws.com.", "EvaluateTargetHealth": false },
            "HealthCheckId": "h",
        }}]});
        assert_eq!(batch, expected);
    }

    #[test]
    fn traffic_policy_record_is_deleted_with_its_instance() {
        let set = ResourceRecordSet::builder().name("a.org.").r#type(RrType::A).traffic_policy_instance_id("i-1");
        let command = delete_command("Z1", &[&set.build().unwrap()]);
        assert_eq!(command, "aws route53 delete-traffic-policy-instance --id i-1");
    }
}
