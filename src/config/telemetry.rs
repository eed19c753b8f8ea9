//! `telemetry { ... }`.

use std::time::Duration;

use super::error::ConfigError;
use super::section::Section;

/// What is measured and how it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// How long a value is shown after it was set; the last one stays until replaced.
    pub prometheus_retention_time: Duration,
    /// Whether gauges go without the host name in their names. They always do here.
    pub disable_hostname: bool,
    /// How often tokens, entities and the like are counted; `None` for never.
    pub usage_gauge_period: Option<Duration>,
    /// The most values of one label.
    pub maximum_gauge_cardinality: u32,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry {
            prometheus_retention_time: Duration::from_secs(24 * 3600),
            disable_hostname: false,
            usage_gauge_period: Some(Duration::from_secs(600)),
            maximum_gauge_cardinality: 500,
        }
    }
}

pub(super) fn read(top: &Section<'_>, later: &mut Vec<String>) -> Result<Telemetry, ConfigError> {
    let mut stanzas = top.blocks("telemetry")?;
    if let [_, second, ..] = stanzas.as_slice() {
        return Err(second.missing("only one telemetry stanza is permitted"));
    }
    let mut telemetry = Telemetry::default();
    let Some(section) = stanzas.pop() else { return Ok(telemetry) };
    if let Some(time) = section.duration("prometheus_retention_time")? {
        telemetry.prometheus_retention_time = time;
    }
    telemetry.disable_hostname = section.flag("disable_hostname")?.unwrap_or(false);
    if section.text("usage_gauge_period")?.as_deref() == Some("none") {
        telemetry.usage_gauge_period = None;
    } else if let Some(period) = section.duration("usage_gauge_period")? {
        telemetry.usage_gauge_period = Some(period).filter(|period| !period.is_zero());
    }
    if let Some(most) = section.number("maximum_gauge_cardinality", 0, i64::from(u32::MAX))? {
        telemetry.maximum_gauge_cardinality = u32::try_from(most).unwrap_or(u32::MAX);
    }
    section.duration("lease_metrics_epsilon")?;
    section.number("num_lease_metrics_buckets", 0, i64::MAX)?;
    for key in [
        "add_lease_metrics_namespace_labels",
        "add_mount_point_rollback_metrics",
        "enable_hostname_label",
        "filter_default",
        "disable_dispersed_rollback",
    ] {
        section.flag(key)?;
    }
    section.list("prefix_filter")?;
    section.later(LATER);
    section.finish(later)?;
    Ok(telemetry)
}

/// Known and without effect for now.
const LATER: &[&str] = &[
    "add_lease_metrics_namespace_labels",
    "add_mount_point_rollback_metrics",
    "circonus_api_app",
    "circonus_api_token",
    "circonus_api_url",
    "circonus_broker_id",
    "circonus_broker_select_tag",
    "circonus_check_display_name",
    "circonus_check_force_metric_activation",
    "circonus_check_id",
    "circonus_check_instance_id",
    "circonus_check_search_tag",
    "circonus_check_tags",
    "circonus_submission_interval",
    "circonus_submission_url",
    "disable_dispersed_rollback",
    "dogstatsd_addr",
    "dogstatsd_tags",
    "enable_hostname_label",
    "filter_default",
    "lease_metrics_epsilon",
    "maximum_gauge_cardinality",
    "metrics_prefix",
    "num_lease_metrics_buckets",
    "prefix_filter",
    "stackdriver_debug_logs",
    "stackdriver_location",
    "stackdriver_namespace",
    "stackdriver_project_id",
    "statsd_address",
    "statsite_address",
    "usage_gauge_period",
];
