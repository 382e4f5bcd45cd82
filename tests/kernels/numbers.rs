use crate::devices::Device; use libtest_mimic::Trial; use std::sync::Arc;
pub fn trials(_: &Arc<Device>) -> Vec<Trial> { vec![] }
