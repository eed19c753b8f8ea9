//! Comparisons of secrets that take longer the more is right, and secrets that print themselves.

use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use holdfast::barrier::cipher::Key;
use holdfast::barrier::{Keyring, RootKey};
use holdfast::seal::{self, ChallengeKey, ClusterKey, SealKey, UnsealProgress};
use holdfast::secret::Secret;
use holdfast::token::Salt;

/// What a type does not have, unless it does: an inherent constant whose bound holds goes before a trait's.
trait Not {
    const DEBUG: bool = false;
    const DISPLAY: bool = false;
    const EQ: bool = false;
    const SERIALIZE: bool = false;
}

macro_rules! has {
    ($type:ty) => {{
        struct OfDebug<T>(PhantomData<T>);
        impl<T: Debug> OfDebug<T> {
            const DEBUG: bool = true;
        }
        impl<T> Not for OfDebug<T> {}
        struct OfDisplay<T>(PhantomData<T>);
        impl<T: Display> OfDisplay<T> {
            const DISPLAY: bool = true;
        }
        impl<T> Not for OfDisplay<T> {}
        struct OfEq<T>(PhantomData<T>);
        impl<T: PartialEq> OfEq<T> {
            const EQ: bool = true;
        }
        impl<T> Not for OfEq<T> {}
        struct OfSerialize<T>(PhantomData<T>);
        impl<T: serde::Serialize> OfSerialize<T> {
            const SERIALIZE: bool = true;
        }
        impl<T> Not for OfSerialize<T> {}
        (<OfDebug<$type>>::DEBUG, <OfDisplay<$type>>::DISPLAY, <OfEq<$type>>::EQ, <OfSerialize<$type>>::SERIALIZE)
    }};
}

#[test]
#[allow(dead_code, reason = "only types and constants are asked for")]
fn secret_types_neither_compare_nor_print_nor_serialize() {
    assert_eq!(has!(String), (true, true, true, true), "the question itself works");
    for (name, has) in [
        ("Key", has!(Key)),
        ("Keyring", has!(Keyring)),
        ("RootKey", has!(RootKey)),
        ("SealKey", has!(SealKey)),
        ("ChallengeKey", has!(ChallengeKey)),
        ("ClusterKey", has!(ClusterKey)),
        ("Salt", has!(Salt)),
        ("UnsealProgress", has!(UnsealProgress)),
        ("seal::Init", has!(seal::Init)),
    ] {
        assert_eq!(has, (false, false, false, false), "{name}: Debug, Display, PartialEq, Serialize");
    }
    // So that a request can be printed in a test that fails; it prints nothing of its own.
    assert_eq!(has!(Secret), (true, false, false, false));
    assert_eq!(format!("{:?}", Secret::from("canary")), "Secret");
}
