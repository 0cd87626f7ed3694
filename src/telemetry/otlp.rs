//! Spans for a collector, by OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/>), of a program that is built
//! with the feature `otlp`. Without it nothing here does anything, and no endpoint can be set.
//!
//! The library gathers spans and sends them from a thread of its own; beyond its bound of 2,048 it drops them.

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Its base URL, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Of a hundred traces that begin here, how many are sent. A trace that a caller has begun is sent if the caller
    /// says so.
    pub sample_percent: u32,
    /// The version that spans are of.
    pub version: &'static str,
}

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot send spans to {endpoint}: {reason}")]
pub struct OtlpError {
    /// The collector's URL.
    pub endpoint: String,
    /// What is wrong with it.
    pub reason: String,
}

#[cfg(feature = "otlp")]
pub use exporting::adopt;
#[cfg(feature = "otlp")]
pub(super) use exporting::{Exporter, layer};

/// Makes a span part of the trace that a caller has begun, by the value of a valid `traceparent`.
#[cfg(not(feature = "otlp"))]
pub const fn adopt(_span: &tracing::Span, _traceparent: &[u8]) {}

#[cfg(feature = "otlp")]
mod exporting {
    use std::time::Duration;

    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
    };
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::Level;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::{Layer, Registry};

    use super::{Collector, OtlpError};
    use crate::request_id;

    /// How long the collector may take for one request of ours.
    const EXPORT: Duration = Duration::from_secs(5);
    /// How long the end of the process waits for the last spans to be taken.
    const LAST_EXPORT: Duration = Duration::from_secs(1);
    /// Behind the base URL of a collector (OTLP, §OTLP/HTTP request).
    const TRACES: &str = "/v1/traces";
    const NAME: &str = "ringledger";

    /// Sends what is left when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Exporter(SdkTracerProvider);

    impl Drop for Exporter {
        fn drop(&mut self) {
            // There is nobody left to tell that the collector has gone.
            let _ = self.0.shutdown_with_timeout(LAST_EXPORT);
        }
    }

    /// A layer that gives the spans of this program to `collector`, whatever the log lets through. Events stay in the
    /// log: they are many, and name their requests.
    pub(crate) fn layer(
        collector: &Collector,
    ) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, Exporter), OtlpError> {
        let provider = provider(collector)?;
        let spans = filter_fn(|metadata| {
            metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with(NAME)
        });
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME)).with_filter(spans);
        Ok((layer.boxed(), Exporter(provider)))
    }

    fn provider(collector: &Collector) -> Result<SdkTracerProvider, OtlpError> {
        let endpoint = collector.endpoint.trim_end_matches('/').to_owned() + TRACES;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&endpoint)
            .with_timeout(EXPORT)
            .build();
        let exporter = exporter.map_err(|error| OtlpError { endpoint, reason: error.to_string() })?;
        let share = f64::from(collector.sample_percent) / 100.0;
        let resource = Resource::builder()
            .with_service_name(NAME)
            .with_attribute(KeyValue::new("service.version", collector.version));
        Ok(SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build())
    }

    /// Makes a span part of the trace that a caller has begun, by the value of a valid `traceparent`.
    pub fn adopt(span: &tracing::Span, traceparent: &[u8]) {
        if span.is_disabled() {
            return;
        }
        if let Some(parent) = parent(traceparent) {
            // Fails where spans are not sent.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
    }

    /// What W3C Trace Context §3.2 says by its four fields.
    fn parent(traceparent: &[u8]) -> Option<SpanContext> {
        let trace = request_id::trace_id(traceparent)?;
        let mut fields = std::str::from_utf8(traceparent).ok()?.split('-').skip(2);
        let (span, flags) = (fields.next()?, fields.next()?);
        Some(SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
            true,
            TraceState::NONE,
        ))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_parent_is_read_from_a_valid_field_only() {
            let field = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let found = parent(field).unwrap();
            assert_eq!(found.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(found.span_id().to_string(), "00f067aa0ba902b7");
            assert!(found.is_sampled() && found.is_remote());
            assert!(parent(b"00-4bf92f3577b34da6a3ce929d0e0e4736").is_none());
        }
    }
}
