//! keywright
fn main() {}
