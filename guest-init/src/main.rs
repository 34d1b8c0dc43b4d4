//! kiln's agent.

fn main() {}
