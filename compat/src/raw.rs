//! The ConfigMap's schema.
