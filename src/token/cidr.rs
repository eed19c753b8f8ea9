//! Blocks of addresses that a token may be used from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A block of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `127.0.0.1` or `2001:db8::/32`; bits behind the prefix are kept for showing and do not count.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(text: &str) -> Result<Cidr, CidrError> {
        let malformed = || CidrError(text.to_string());
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| malformed())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let width = width(address);
        match bits.unwrap_or(width) {
            bits if bits <= width => Ok(Cidr { address, bits }),
            _ => Err(malformed()),
        }
    }

    /// Whether the address is within the block. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = (self.address, address.to_canonical());
        if width(own) != width(other) {
            return false;
        }
        let shift = u32::from(width(own) - self.bits);
        let network = |address| number(address).checked_shr(shift).unwrap_or(0);
        network(own) == network(other)
    }
}

/// Whether the client's address is in one of the blocks; without any block every address is. A client without an IP
/// address, at a unix socket, is in none.
pub fn allows(blocks: &[Cidr], client: &str) -> bool {
    blocks.is_empty()
        || client.parse::<IpAddr>().is_ok_and(|address| blocks.iter().any(|block| block.contains(address)))
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bits == width(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

/// The text is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing address {0:?}: Unable to convert {0:?} to an IPv4 or IPv6 address, or a UNIX Socket")]
pub struct CidrError(String);

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_their_addresses() {
        for (block, shown, inside, outside) in [
            ("10.1.2.3/8", "10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("0.0.0.0/0", "0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::1/32", "2001:db8::1/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "::/0", "fe80::1", "1.2.3.4"),
            ("::1/128", "::1", "::1", "::2"),
        ] {
            let parsed = Cidr::parse(block).expect(block);
            assert_eq!(parsed.to_string(), shown);
            assert!(allows(&[parsed], inside) && !allows(&[parsed], outside), "{block}");
            assert!(!allows(&[parsed], ""), "{block}");
        }
        assert!(allows(&[], "") && allows(&[], "1.2.3.4"));
        for bad in ["", "localhost", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4:80", "::1/129", "1.2.3/8", "/tmp/x"] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
    }
}
