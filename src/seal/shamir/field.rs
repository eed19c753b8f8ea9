//! GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, the field of AES (FIPS 197, section 4). No tables and no branches on values:
//! time and memory accesses do not depend on secrets.

/// The product. Addition and subtraction are both `^`.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..8 {
        product ^= a & mask(b >> bit & 1);
        a = (a << 1) ^ (0x1b & mask(a >> 7));
    }
    product
}

/// The inverse, a^254; 0 for 0.
fn invert(a: u8) -> u8 {
    let mut power = a; // a^(2^k - 1) for k = 1, 2, ...
    for _ in 0..6 {
        power = multiply(multiply(power, power), a);
    }
    multiply(power, power)
}

/// The value at `x` of the polynomial with these coefficients, lowest first (Horner's rule).
pub(super) fn evaluate(coefficients: &[u8], x: u8) -> u8 {
    coefficients.iter().rev().fold(0, |sum, coefficient| multiply(sum, x) ^ coefficient)
}

/// For each point of `xs`, all different and not zero, its weight in the interpolation at 0.
pub(super) fn weights_at_zero(xs: &[u8]) -> Vec<u8> {
    let weight = |at: usize| {
        let others = xs.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, x)| *x);
        others.fold(1, |product, x| multiply(product, multiply(x, invert(x ^ xs[at]))))
    };
    (0..xs.len()).map(weight).collect()
}

/// All ones if `bit` is 1, all zeros if it is 0.
fn mask(bit: u8) -> u8 {
    0u8.wrapping_sub(bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 197, section 4.2.
    #[test]
    fn known_products() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        assert_eq!(multiply(0x57, 0x02), 0xae);
        assert_eq!(invert(0x53), 0xca);
    }

    #[test]
    fn is_a_field() {
        for a in 0..=255 {
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, invert(a)), u8::from(a != 0));
            for b in 0..=255 {
                assert_eq!(multiply(a, b), multiply(b, a));
                assert_eq!(multiply(a, b ^ 0x35), multiply(a, b) ^ multiply(a, 0x35));
            }
        }
    }

    #[test]
    fn evaluates() {
        assert_eq!(evaluate(&[7, 0, 0], 9), 7);
        assert_eq!(evaluate(&[1, 2, 3], 2), 1 ^ multiply(2, 2) ^ multiply(3, 4));
    }
}
