//! Planted bugs of the simulator's build, each chosen at run time (`--mutant NAME`). A release build with the feature
//! `mutants` does not compile; without the feature every check is the constant `false`.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants bugs: it is for simulations, never for a release build");

#[cfg(feature = "mutants")]
static ACTIVE: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Chooses the planted bug of this process, once.
#[cfg(feature = "mutants")]
pub fn plant(name: &str) {
    ACTIVE.get_or_init(|| name.to_string());
}

/// Whether the planted bug `name` is active.
#[cfg(feature = "mutants")]
pub fn mutant(name: &str) -> bool {
    #[cfg(test)]
    if PLANTED_HERE.get() == Some(name) {
        return true;
    }
    ACTIVE.get().is_some_and(|active| active == name)
}

#[cfg(all(test, feature = "mutants"))]
thread_local! {
    static PLANTED_HERE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, and with it in all tasks of a `#[tokio::test]`: for the tests that show that another
/// test would see it.
#[cfg(all(test, feature = "mutants"))]
pub(crate) fn plant_here(name: &'static str) {
    PLANTED_HERE.set(Some(name));
}

/// Whether the planted bug `name` is active: never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

/// Panics where a test asks for it: the variable `HOLDFAST_TEST_PANIC_AT` names the place. Only builds with debug
/// assertions have such places; in a release build this is nothing.
#[cfg(debug_assertions)]
pub fn panic_at(place: &str) {
    static ASKED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let asked = ASKED.get_or_init(|| std::env::var("HOLDFAST_TEST_PANIC_AT").ok());
    assert!(asked.as_deref() != Some(place), "a test asked for this");
}

/// Ends the process at once, as a crash would, where a test asks for it: `HOLDFAST_TEST_DIE_AT` names the place. Only in
/// builds with debug assertions.
#[cfg(debug_assertions)]
pub fn die_at(place: &str) {
    static ASKED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let asked = ASKED.get_or_init(|| std::env::var("HOLDFAST_TEST_DIE_AT").ok());
    if asked.as_deref() == Some(place) {
        std::process::exit(99);
    }
}

/// Nothing, in this build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn panic_at(_place: &str) {}

/// Nothing, in this build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn die_at(_place: &str) {}
