//! Go's json_log.
