//! yaml.v2's strict dialect.
