//! Which program am I?

fn main() {}
