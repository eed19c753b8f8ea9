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
    ACTIVE.get().is_some_and(|active| active == name)
}

/// Whether the planted bug `name` is active: never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}
