//! Go's quote.
