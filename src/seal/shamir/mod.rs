//! Shamir's secret sharing over GF(2^8) (A. Shamir, "How to Share a Secret", 1979), byte by byte, in the share format of
//! the Vault API: the polynomials' values at x, one byte for each byte of the secret, then x itself.

mod field;

use crate::runtime::Entropy;
use crate::secret::Secret;

/// Splits `secret` into `shares` parts, any `threshold` of which give it back and fewer of which say nothing of it.
///
/// # Errors
/// If the secret is empty, or not `2 <= threshold <= shares`.
pub fn split(secret: &[u8], shares: u8, threshold: u8, entropy: &Entropy) -> Result<Vec<Secret>, ShamirError> {
    if secret.is_empty() {
        return Err(ShamirError::Empty);
    }
    if threshold < 2 || shares < threshold {
        return Err(ShamirError::Threshold);
    }
    let mut parts: Vec<Vec<u8>> = (0..shares).map(|_| Vec::with_capacity(secret.len() + 1)).collect();
    let xs = distinct_points(shares, entropy);
    let mut coefficients = zeroize::Zeroizing::new(vec![0; usize::from(threshold)]);
    for byte in secret {
        entropy.fill(&mut coefficients[1..]);
        coefficients[0] = *byte;
        for (part, x) in parts.iter_mut().zip(&xs) {
            part.push(field::evaluate(&coefficients, *x));
        }
    }
    for (part, x) in parts.iter_mut().zip(&xs) {
        part.push(*x);
    }
    Ok(parts.into_iter().map(Secret::new).collect())
}

/// The secret that `parts` are shares of. Too few or wrong shares give a wrong secret, not an error: the secret has to
/// be checked by what it opens.
///
/// # Errors
/// If the parts cannot be shares of one secret.
pub fn combine(parts: &[Secret]) -> Result<Secret, ShamirError> {
    let parts: Vec<&[u8]> = parts.iter().map(Secret::danger_expose).collect();
    let length = match parts.as_slice() {
        [] | [_] => return Err(ShamirError::TooFew),
        [first, ..] => first.len(),
    };
    if length < 2 {
        return Err(ShamirError::TooShort);
    }
    if parts.iter().any(|part| part.len() != length) {
        return Err(ShamirError::Lengths);
    }
    let xs: Vec<u8> = parts.iter().map(|part| part[length - 1]).collect();
    if xs.contains(&0) {
        return Err(ShamirError::Zero);
    }
    if (1..xs.len()).any(|n| xs[..n].contains(&xs[n])) {
        return Err(ShamirError::Duplicate);
    }
    // Lagrange's interpolation at 0: the same weights for all bytes.
    let weights = field::weights_at_zero(&xs);
    let mut secret = Vec::with_capacity(length - 1);
    for at in 0..length - 1 {
        secret.push(parts.iter().zip(&weights).fold(0, |sum, (part, weight)| sum ^ field::multiply(part[at], *weight)));
    }
    Ok(Secret::new(secret))
}

/// `count` different numbers of 1..=255, in random order.
fn distinct_points(count: u8, entropy: &Entropy) -> Vec<u8> {
    let mut points: Vec<u8> = (1..=255).collect();
    for n in 0..usize::from(count) {
        let other = n + entropy.below((points.len() - n) as u64) as usize;
        points.swap(n, other);
    }
    points.truncate(usize::from(count));
    points
}

/// Why a secret was not split or parts not combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShamirError {
    /// Nothing to split.
    #[error("cannot split an empty secret")]
    Empty,
    /// Not `2 <= threshold <= shares`.
    #[error("threshold must be at least two and at most the number of shares")]
    Threshold,
    /// One part or none.
    #[error("less than two parts cannot be used to reconstruct the secret")]
    TooFew,
    /// Parts without a value.
    #[error("parts must be at least two bytes")]
    TooShort,
    /// Parts of different lengths.
    #[error("all parts must be the same length")]
    Lengths,
    /// Two parts of the same x.
    #[error("duplicate part detected")]
    Duplicate,
    /// A part of x = 0, which no split makes.
    #[error("invalid part detected")]
    Zero,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(hex: &str) -> Secret {
        Secret::new(hex::decode(hex).unwrap())
    }

    /// Shares that another server of the Vault API made (three of five, a cluster in memory that is gone).
    #[test]
    fn combines_shares_of_the_peer() {
        let shares = [
            "046434a63aa9e84dcd3581a16d944cef6852ccd297a51e5c91eddce3250cd1f7bc",
            "cb10c63c49b3ead1acfddccac3968050eb2adcd5f775d3565f83415e29a4a0ced2",
            "cdc46377ca5d6b7e68b6577fd61d701622277d4fc6983b1147a13d9e0cb3a86134",
            "8bbd39a38a8b978a2b1cad41e5c267dc553d4495814b3c85f983d26ca1bb37f4a2",
            "ed0690e7f3c68c2aca251369ed11336a6d9d2945b8e808024e87b1caed9d9d3ca9",
        ]
        .map(secret);
        let pick = |at: &[usize]| {
            combine(&at.iter().map(|n| shares[*n].clone()).collect::<Vec<_>>()).unwrap().danger_expose().to_vec()
        };
        let key = pick(&[0, 1, 2]);
        assert_eq!(key.len(), 32);
        for others in [[2, 1, 0], [0, 3, 4], [1, 2, 4], [2, 3, 4]] {
            assert_eq!(pick(&others), key);
        }
        assert_eq!(pick(&[0, 1, 2, 3, 4]), key);
        assert_ne!(pick(&[0, 1]), key);
    }

    #[test]
    fn refuses_what_cannot_be_shares() {
        let share = |hex| secret(hex);
        assert_eq!(combine(&[share("aa01")]).unwrap_err(), ShamirError::TooFew);
        assert_eq!(combine(&[share("01"), share("02")]).unwrap_err(), ShamirError::TooShort);
        assert_eq!(combine(&[share("aa01"), share("aabb02")]).unwrap_err(), ShamirError::Lengths);
        assert_eq!(combine(&[share("aa01"), share("bb01")]).unwrap_err(), ShamirError::Duplicate);
        assert_eq!(combine(&[share("aa00"), share("bb01")]).unwrap_err(), ShamirError::Zero);
        let entropy = Entropy::seeded_u64(1);
        assert_eq!(split(b"", 3, 2, &entropy).unwrap_err(), ShamirError::Empty);
        assert_eq!(split(b"x", 3, 1, &entropy).unwrap_err(), ShamirError::Threshold);
        assert_eq!(split(b"x", 3, 4, &entropy).unwrap_err(), ShamirError::Threshold);
    }

    /// With one share less than the threshold, every secret is as likely as any other.
    #[test]
    fn too_few_shares_say_nothing() {
        let entropy = Entropy::seeded_u64(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let shares = split(&[0x42], 2, 2, &entropy).unwrap();
            seen.insert(shares[0].danger_expose()[0]);
        }
        assert_eq!(seen.len(), 256);
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_gives_the_secret_back(
            secret in prop::collection::vec(any::<u8>(), 1..40),
            (shares, threshold) in (2u8..=20).prop_flat_map(|shares| (Just(shares), 2..=shares)),
            seed: u64,
        ) {
            let entropy = Entropy::seeded_u64(seed);
            let mut parts = split(&secret, shares, threshold, &entropy).unwrap();
            prop_assert_eq!(parts.len(), usize::from(shares));
            for n in 0..parts.len() {
                let other = n + entropy.below((parts.len() - n) as u64) as usize;
                parts.swap(n, other);
            }
            let enough = combine(&parts[..usize::from(threshold)]).unwrap();
            prop_assert_eq!(enough.danger_expose(), secret.as_slice());
            let all = combine(&parts).unwrap();
            prop_assert_eq!(all.danger_expose(), secret.as_slice());
        }

        #[test]
        fn garbage_never_panics(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..5)) {
            let _ = combine(&parts.into_iter().map(Secret::new).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_largest_split() {
        let parts = split(&[7; 32], 255, 255, &Entropy::seeded_u64(9)).unwrap();
        assert_eq!(combine(&parts).unwrap().danger_expose(), [7; 32]);
    }
}
