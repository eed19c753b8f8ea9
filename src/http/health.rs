//! `sys/health`: what load balancers, probes and scripts ask. Served without a token, on every node, sealed or not.

use crate::core::HealthFacts;
use crate::runtime::UnixTime;

use super::error::Refusal;
use super::reply::Reply;

/// Answers `sys/health`. `query` holds the decoded parameters.
pub fn reply(facts: &HealthFacts, query: &[(String, String)], now: UnixTime) -> Reply {
    match codes(query) {
        Ok(codes) => {
            let mut body = Vec::with_capacity(320);
            crate::logical::envelope::write_json(&mut body, &shape(facts, now));
            body.push(b'\n');
            Reply::json(codes.status(facts), body)
        }
        Err(refusal) => refusal.reply(""),
    }
}

/// The statuses that this request asks for.
struct Codes {
    standby_ok: bool,
    performance_standby_ok: bool,
    active: u16,
    standby: u16,
    sealed: u16,
    uninitialized: u16,
    removed: u16,
    ha_unhealthy: u16,
    dr_secondary: u16,
    performance_standby: u16,
}

impl Codes {
    fn status(&self, facts: &HealthFacts) -> u16 {
        if !facts.initialized {
            self.uninitialized
        } else if facts.removed {
            self.removed
        } else if facts.sealed {
            self.sealed
        } else if facts.dr_secondary {
            self.dr_secondary
        } else if facts.standby && facts.ha_unhealthy {
            self.ha_unhealthy
        } else if facts.performance_standby {
            if self.performance_standby_ok { self.active } else { self.performance_standby }
        } else if facts.standby {
            if self.standby_ok { self.active } else { self.standby }
        } else {
            self.active
        }
    }
}

fn codes(query: &[(String, String)]) -> Result<Codes, Refusal> {
    let mut codes = DEFAULT;
    for (name, value) in query {
        match name.as_str() {
            "standbyok" => codes.standby_ok = flag(name, value)?,
            "perfstandbyok" => codes.performance_standby_ok = flag(name, value)?,
            "activecode" => codes.active = code(name, value)?,
            "standbycode" => codes.standby = code(name, value)?,
            "sealedcode" => codes.sealed = code(name, value)?,
            "uninitcode" => codes.uninitialized = code(name, value)?,
            "removedcode" => codes.removed = code(name, value)?,
            "haunhealthycode" => codes.ha_unhealthy = code(name, value)?,
            "drsecondarycode" => codes.dr_secondary = code(name, value)?,
            "performancestandbycode" => codes.performance_standby = code(name, value)?,
            _ => {}
        }
    }
    Ok(codes)
}

/// A bare `standbyok` counts as true, as probes write it.
fn flag(name: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "" => Ok(true),
        _ => super::router::go_bool(value)
            .ok_or_else(|| Refusal::invalid(format!("query parameter {name}: expected a boolean"))),
    }
}

/// A status that can end an exchange: 1xx cannot, although the peer takes it.
fn code(name: &str, value: &str) -> Result<u16, Refusal> {
    match value.parse() {
        Ok(code @ 200..=999) => Ok(code),
        _ => Err(Refusal::invalid(format!("query parameter {name}: expected a status from 200 to 999"))),
    }
}

/// The body's fields in their order on the wire.
#[derive(serde::Serialize)]
struct Shape<'a> {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'a str,
    replication_dr_mode: &'a str,
    server_time_utc: i64,
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cluster_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cluster_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ha_connection_healthy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_from_cluster: Option<bool>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

fn shape(facts: &HealthFacts, now: UnixTime) -> Shape<'_> {
    let mode = |mode| if facts.sealed || !facts.initialized { "unknown" } else { mode };
    Shape {
        initialized: facts.initialized,
        sealed: facts.sealed,
        // A sealed node is asked for nothing, so it is a standby to every client.
        standby: facts.standby || facts.sealed || !facts.initialized,
        performance_standby: facts.performance_standby,
        replication_performance_mode: mode(&facts.replication_performance_mode),
        replication_dr_mode: mode(&facts.replication_dr_mode),
        server_time_utc: now.seconds(),
        version: &facts.version,
        cluster_name: &facts.cluster_name,
        cluster_id: &facts.cluster_id,
        ha_connection_healthy: (facts.standby && facts.initialized && !facts.sealed).then_some(!facts.ha_unhealthy),
        removed_from_cluster: facts.removed.then_some(true),
        reason: &facts.reason,
    }
}

const DEFAULT: Codes = Codes {
    standby_ok: false,
    performance_standby_ok: false,
    active: 200,
    standby: 429,
    sealed: 503,
    uninitialized: 501,
    removed: 530,
    ha_unhealthy: 474,
    dr_secondary: 472,
    performance_standby: 473,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn active() -> HealthFacts {
        HealthFacts {
            initialized: true,
            replication_performance_mode: "disabled".into(),
            replication_dr_mode: "disabled".into(),
            version: "1.19.0+hf.0.1.0".into(),
            cluster_name: "c".into(),
            cluster_id: "i".into(),
            ..HealthFacts::default()
        }
    }

    fn status(facts: &HealthFacts, query: &str) -> u16 {
        let query = super::super::router::query_pairs(query).unwrap();
        reply(facts, &query, UnixTime(0)).status
    }

    #[test]
    fn every_state_has_its_code_and_its_parameter() {
        let standby = HealthFacts { standby: true, ..active() };
        let table: [(HealthFacts, u16, &str); 8] = [
            (active(), 200, "activecode"),
            (standby.clone(), 429, "standbycode"),
            (HealthFacts { performance_standby: true, ..standby.clone() }, 473, "performancestandbycode"),
            (HealthFacts { ha_unhealthy: true, ..standby.clone() }, 474, "haunhealthycode"),
            (HealthFacts { dr_secondary: true, ..active() }, 472, "drsecondarycode"),
            (HealthFacts { sealed: true, ..standby.clone() }, 503, "sealedcode"),
            (HealthFacts { removed: true, sealed: true, ..active() }, 530, "removedcode"),
            (HealthFacts { initialized: false, sealed: true, ..active() }, 501, "uninitcode"),
        ];
        for (facts, default, parameter) in &table {
            assert_eq!(status(facts, ""), *default, "{parameter}");
            for (other, code, _) in &table {
                let expected = if parameter_of(other, &table) == *parameter { 299 } else { *code };
                assert_eq!(status(other, &format!("{parameter}=299")), expected);
            }
        }
        assert_eq!(status(&standby, "standbyok=true"), 200);
        assert_eq!(status(&standby, "standbyok"), 200);
        assert_eq!(status(&standby, "standbyok=false"), 429);
        assert_eq!(status(&standby, "standbyok=true&activecode=201"), 201);
        assert_eq!(status(&table[2].0, "standbyok=true"), 473);
        assert_eq!(status(&table[2].0, "perfstandbyok=true"), 200);
        assert_eq!(status(&table[3].0, "standbyok=true"), 474);
        for bad in ["activecode=abc", "sealedcode=99", "standbyok=maybe", "activecode=100000"] {
            assert_eq!(status(&active(), bad), 400, "{bad}");
        }
    }

    fn parameter_of<'a>(facts: &HealthFacts, table: &[(HealthFacts, u16, &'a str)]) -> &'a str {
        table.iter().find(|(known, _, _)| known == facts).map_or("", |(_, _, parameter)| parameter)
    }

    #[test]
    fn the_body_is_one_line() {
        let text = |facts: &HealthFacts| {
            String::from_utf8(reply(facts, &[], UnixTime(1_795_560_966_000_000_000)).body.to_vec()).unwrap()
        };
        insta::assert_snapshot!(text(&active()).trim_end(), @r#"{"initialized":true,"sealed":false,"standby":false,"performance_standby":false,"replication_performance_mode":"disabled","replication_dr_mode":"disabled","server_time_utc":1795560966,"version":"1.19.0+hf.0.1.0","cluster_name":"c","cluster_id":"i"}"#);
        let sealed = HealthFacts { sealed: true, cluster_name: String::new(), cluster_id: String::new(), ..active() };
        insta::assert_snapshot!(text(&sealed).trim_end(), @r#"{"initialized":true,"sealed":true,"standby":true,"performance_standby":false,"replication_performance_mode":"unknown","replication_dr_mode":"unknown","server_time_utc":1795560966,"version":"1.19.0+hf.0.1.0"}"#);
        assert_eq!(text(&active()).matches('\n').count(), 1);
    }
}
