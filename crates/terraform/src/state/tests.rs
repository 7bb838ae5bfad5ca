//! Tests of reading states of both formats, and of refusing everything else.

use super::State;
use serde_json::json;

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

#[test]
fn format_4_state_has_modules_and_indices_but_no_data_sources() {
    let state = json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "l", "outputs": {},
        "resources": [
            {"mode": "data", "type": "aws_iam_role", "name": "task", "instances": [{"attributes": {"id": "r"}}]},
            {"module": "module.net", "mode": "managed", "type": "aws_subnet", "name": "public", "instances": [
                {"index_key": 0, "attributes": {"id": "subnet-1", "cidr_block": "10.0.1.0/24", "ipv6": null}},
                {"index_key": "b", "status": "tainted", "attributes": {"id": "subnet-2", "map": true}},
                {"deposed": "0a1b", "attributes_flat": {"id": "subnet-3"}}
            ]},
            {"mode": "managed", "type": "aws_ecs_service", "name": "flask", "instances": [
                {"attributes": {"id": "arn", "load_balancer": [{"target_group_arn": "tg", "container_port": 5050}],
                                "network_configuration": [{"security_groups": ["sg-1", "sg-2"]}]}}
            ]}
        ]
    });
    let state = State::parse(&bytes(&state)).unwrap();
    assert_eq!((state.serial, state.lineage.as_str(), state.resources.len()), (7, "l", 4));
    let addresses: Vec<&str> = state.resources.iter().map(|found| found.address.as_str()).collect();
    assert_eq!(
        addresses,
        [
            "module.net.aws_subnet.public[0]",
            "module.net.aws_subnet.public[\"b\"]",
            "module.net.aws_subnet.public",
            "aws_ecs_service.flask"
        ]
    );
    let [first, second, third, service] = state.resources.as_slice() else { panic!("four") };
    assert_eq!((first.id.as_str(), first.attribute("cidr_block")), ("subnet-1", Some("10.0.1.0/24")));
    assert!(second.tainted && third.deposed && third.id == "subnet-3");
    assert_eq!(service.block_fields("load_balancer", "target_group_arn").collect::<Vec<_>>(), ["tg"]);
    assert_eq!(service.list_items("load_balancer").count(), 0);
}

#[test]
fn format_3_state_has_flat_attributes() {
    let state = json!({
        "version": 3, "terraform_version": "0.11.14", "serial": 3, "lineage": "l",
        "modules": [
            {"path": ["root"], "outputs": {}, "resources": {
                "data.aws_iam_role.task": {"type": "aws_iam_role", "primary": {"id": "r", "attributes": {}}},
                "aws_subnet.public.1": {"type": "aws_subnet", "depends_on": [], "deposed": [],
                    "primary": {"id": "subnet-1", "attributes": {"id": "subnet-1"}, "meta": {}, "tainted": false}},
                "aws_alb.front": {"type": "aws_alb", "primary": {"id": "arn", "tainted": true, "attributes": {
                    "security_groups.#": "2", "security_groups.111": "sg-1", "security_groups.222": "sg-2"}}}
            }},
            {"path": ["root", "net"], "resources": {
                "aws_vpc.main": {"type": "aws_vpc", "primary": {"id": "vpc-1"}, "deposed": [{"id": "vpc-0"}]}}}
        ]
    });
    let state = State::parse(&bytes(&state)).unwrap();
    let addresses: Vec<&str> = state.resources.iter().map(|found| found.address.as_str()).collect();
    assert_eq!(
        addresses,
        ["aws_alb.front", "aws_subnet.public[1]", "module.net.aws_vpc.main", "module.net.aws_vpc.main"]
    );
    assert_eq!(state.resources[0].list_items("security_groups").collect::<Vec<_>>(), ["sg-1", "sg-2"]);
    assert!(state.resources[0].tainted && state.resources[3].deposed);
}

#[test]
fn invalid_state_is_refused_with_the_reason() {
    for (bytes, why) in [
        (b"not json".to_vec(), "not JSON"),
        (br#"{"format": 1}"#.to_vec(), "no `version`"),
        (br#"{"version": 2}"#.to_vec(), "format 2"),
        (br#"{"version": 5}"#.to_vec(), "format 5"),
        (br#"{"version": 4, "resources": {}}"#.to_vec(), "expected structure"),
        (b" \n".to_vec(), "it is empty"),
        (b"PK\x03\x04\x14\0".to_vec(), "a saved plan, not a state"),
        (br#"{"format_version": "1.2", "resource_changes": []}"#.to_vec(), "a plan in JSON"),
        (br#"{"format_version": "1.0", "values": {}}"#.to_vec(), "`terraform show -json`"),
    ] {
        let failure = State::parse(&bytes).unwrap_err();
        assert!(failure.message.contains(why) && failure.hint.is_some(), "{failure}");
    }
}

#[test]
fn state_encrypted_by_opentofu_names_the_command() {
    let state = json!({"serial": 3, "lineage": "l", "meta": {"key_provider.pbkdf2.k": "e30="}, "encrypted_data": "AAAA",
        "encryption_version": "v0"});
    let failure = State::parse(&bytes(&state)).unwrap_err();
    assert!(failure.message.contains("encrypted by OpenTofu"), "{failure}");
    assert!(failure.hint.unwrap().contains("`tofu state pull > FILE`"));
}

#[test]
fn backend_configuration_names_the_state_object() {
    let config = json!({"bucket": "b", "key": "k.tfstate", "region": "us-east-2", "secret_key": "geheim"});
    let file =
        json!({"version": 3, "terraform_version": "1.11.4", "backend": {"type": "s3", "config": config, "hash": 1}});
    let failure = State::parse(&bytes(&file)).unwrap_err();
    let hint = failure.hint.unwrap();
    assert!(hint.contains("s3://b/k.tfstate") && hint.contains("s3://b/env:/WORKSPACE/k.tfstate"), "{hint}");
    assert!(!hint.contains("geheim"));
}

#[test]
fn state_redirected_by_powershell_is_read() {
    let text = r#"{"version": 4, "serial": 2, "resources": []}"#;
    let little = [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes));
    let big = [0xFE, 0xFF].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes));
    let plain = [0xEF, 0xBB, 0xBF].into_iter().chain(text.bytes());
    for bytes in [little.collect::<Vec<u8>>(), big.collect(), plain.collect()] {
        assert_eq!(State::parse(&bytes).unwrap().serial, 2);
    }
}

#[test]
fn resource_debug_omits_attributes() {
    let secret = json!({"version": 4, "resources": [{"mode": "managed", "type": "aws_x", "name": "y",
        "instances": [{"attributes": {"id": "i", "auth_token": "geheim"}}]}]});
    assert!(!format!("{:?}", State::parse(&bytes(&secret)).unwrap()).contains("geheim"));
}
