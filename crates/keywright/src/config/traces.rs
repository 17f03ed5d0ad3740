//! `tracing`: where traces go.

use http::HeaderValue;
use serde_json::Value;
use url::Url;

use super::reader::{Expected, Reader, plain, text};
use super::settings::{TraceProvider, Tracing};

/// Where collectors take traces, where their address does not say.
const TRACES_PATH: &str = "/v1/traces";

/// Reads the keys below `tracing`.
pub(super) fn read(r: &mut Reader<'_>) -> Tracing {
    const PROVIDER: &str = "tracing.provider";
    let provider = r.optional(PROVIDER, provider).flatten();
    if provider == Some(TraceProvider::Other) {
        r.warning(PROVIDER, "has no effect: traces go out by OTLP alone; set it to otel".to_owned());
    }
    let insecure = r.setting("tracing.providers.otlp.insecure", plain);
    let collector = if insecure { insecure_collector } else { secure_collector };
    let name = |text: &String| !text.is_empty();
    Tracing {
        provider,
        service_name: r.optional("tracing.service_name", plain).filter(name),
        deployment_environment: r.optional("tracing.deployment_environment", plain).filter(name),
        collector: r.optional("tracing.providers.otlp.server_url", collector),
        authorization: r.optional("tracing.providers.otlp.authorization_header", authorization),
        sampling_ratio: r.optional("tracing.providers.otlp.sampling.sampling_ratio", plain),
    }
}

fn provider(value: &Value) -> Result<Option<TraceProvider>, Expected> {
    Ok(match text(value)? {
        "" => None,
        "otel" => Some(TraceProvider::Otel),
        _ => Some(TraceProvider::Other),
    })
}

fn insecure_collector(value: &Value) -> Result<Url, Expected> {
    collector(text(value)?, "http")
}

fn secure_collector(value: &Value) -> Result<Url, Expected> {
    collector(text(value)?, "https")
}

/// A URL, or a host and a port that are spoken to by `scheme`.
fn collector(text: &str, scheme: &str) -> Result<Url, Expected> {
    let url = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.ok_or(Expected::AsDescribed)?;
    if url.path() == "/" {
        url.set_path(TRACES_PATH);
    }
    Ok(url)
}

fn authorization(value: &Value) -> Result<HeaderValue, Expected> {
    let mut header =
        HeaderValue::try_from(text(value)?).map_err(|_| Expected::from("text that a header can hold"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_and_a_port_or_a_url() {
        for (text, scheme, url) in [
            ("collector:4318", "https", Some("https://collector:4318/v1/traces")),
            ("collector:4318", "http", Some("http://collector:4318/v1/traces")),
            ("10.0.0.1", "http", Some("http://10.0.0.1/v1/traces")),
            ("http://collector:4318", "https", Some("http://collector:4318/v1/traces")),
            ("https://a/otlp/v1/traces", "http", Some("https://a/otlp/v1/traces")),
            ("grpc://collector:4317", "http", None),
            ("", "http", None),
            ("a b", "http", None),
        ] {
            assert_eq!(collector(text, scheme).ok().map(String::from).as_deref(), url, "{text} {scheme}");
        }
    }
}
