//! The key: from MetalLB's secret to sealed and opened messages.
