//! A target of `drain-fuzz` under libFuzzer; `DRAIN_FUZZ_TARGET` names it.
#![no_main]

use std::sync::LazyLock;

use drain_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("DRAIN_FUZZ_TARGET").expect("DRAIN_FUZZ_TARGET names a target");
    Target::named(&name).unwrap_or_else(|| panic!("there is no target {name}"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
