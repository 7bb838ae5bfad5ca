//! Serialization of responses.

use super::{Call, Protocol};
use crate::account::Refusal;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use std::fmt::Write;

/// Serializes the result of a successful call. For XML, `output` contains a list as `{"item": [..]}`, where the key is
/// the name of the repeated element.
pub fn success(call: &Call, output: &Value) -> HttpResponse {
    let name = &call.operation;
    match call.protocol {
        Protocol::Ec2 => {
            response(200, format!("<{name}Response><requestId>r</requestId>{}</{name}Response>", xml(output)))
        }
        Protocol::Query => {
            let result = xml(output);
            response(200, format!("<{name}Response><{name}Result>{result}</{name}Result></{name}Response>"))
        }
        Protocol::RestXml => response(200, format!("<{name}Response>{}</{name}Response>", xml(output))),
        Protocol::Json => response(200, output.to_string()),
        Protocol::S3 => {
            let mut response = response(200, output["body"].as_str().unwrap_or_default().to_owned());
            response.headers_mut().insert("etag", output["etag"].as_str().unwrap_or_default().to_owned());
            response
        }
    }
}

/// Serializes the refusal of a call.
pub fn refusal(call: &Call, refusal: &Refusal) -> HttpResponse {
    let Refusal { status, code, message, item } = refusal;
    let error = format!("<Code>{code}</Code><Message>{}</Message>", escape(message));
    let body = match call.protocol {
        Protocol::Ec2 => {
            format!("<Response><Errors><Error>{error}</Error></Errors><RequestID>r</RequestID></Response>")
        }
        Protocol::Query | Protocol::RestXml => {
            format!("<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>r</RequestId></ErrorResponse>")
        }
        Protocol::S3 => format!("<Error>{error}</Error>"),
        Protocol::Json => match item {
            Some(item) => json!({"__type": code, "message": message, "Item": item}).to_string(),
            None => json!({"__type": code, "message": message}).to_string(),
        },
    };
    response(*status, body)
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

fn xml(value: &Value) -> String {
    let mut text = String::new();
    write_xml(&mut text, value);
    text
}

fn write_xml(text: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Null => {}
                    Value::Array(items) => items.iter().for_each(|item| write_element(text, name, item)),
                    value => write_element(text, name, value),
                }
            }
        }
        Value::String(content) => text.push_str(&escape(content)),
        Value::Null => {}
        other => write!(text, "{other}").unwrap(),
    }
}

fn write_element(text: &mut String, name: &str, value: &Value) {
    write!(text, "<{name}>").unwrap();
    write_xml(text, value);
    write!(text, "</{name}>").unwrap();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
