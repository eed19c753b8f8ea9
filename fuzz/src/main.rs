//! libFuzzer's program; `fuzz/run TARGET [SECONDS]` builds it instrumented and starts it.
#![no_main]

use std::sync::LazyLock;

/// The target named by `HOLDFAST_FUZZ_TARGET`.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
    let found = holdfast_fuzz::TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("HOLDFAST_FUZZ_TARGET: no target is called {name:?}")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
