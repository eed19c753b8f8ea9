//! `X-Forwarded-For`: a balancer that speaks HTTP hides the client's address, and tells it in a header.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::config::listener::ForwardedFor;
use crate::core::Client;

/// Who the client is: the peer itself, or whom a believed peer names. Each proxy adds the address that it sees at the end
/// of the chain, so what counts is taken from the end, `hop_skips` addresses before the last.
///
/// # Errors
/// What is wrong, for the answer (400), if the listener is told to refuse that.
pub fn client(peer: Client, headers: &HeaderMap, options: &ForwardedFor) -> Result<Client, String> {
    let mut lines = headers.get_all(NAME).iter().peekable();
    if lines.peek().is_none() {
        return match options.reject_not_present {
            true => Err("missing x-forwarded-for header and configured to reject when not present".into()),
            false => Ok(peer),
        };
    }
    let believed = peer.address.parse().is_ok_and(|at| options.authorized.iter().any(|block| block.contains(at)));
    if !believed {
        return match options.reject_not_authorized {
            true => Err("client address not authorized for x-forwarded-for and configured to reject connection".into()),
            false => Ok(peer),
        };
    }
    let chain: Vec<&str> = lines.flat_map(|line| line.to_str().unwrap_or("").split(',')).map(str::trim).collect();
    let Some(named) = chain.len().checked_sub(options.hop_skips + 1).and_then(|at| chain.get(at)) else {
        return Err(format!(
            "malformed x-forwarded-for configuration or request, hops to skip ({}) would skip before earliest chain \
             link (chain length {})",
            options.hop_skips,
            chain.len()
        ));
    };
    let address = address(named).ok_or("malformed x-forwarded-for request: the client's link is no address")?;
    Ok(Client { address: address.to_canonical().to_string().into(), ..peer })
}

/// An address, as some proxies write it with its port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

const NAME: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cidr;

    fn named(peer: &str, lines: &[&str], hop_skips: usize, rejects: (bool, bool)) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, line.parse().unwrap());
        }
        let options = ForwardedFor {
            authorized: Cidr::parse("10.0.0.0/8").into_iter().collect(),
            hop_skips,
            reject_not_present: rejects.0,
            reject_not_authorized: rejects.1,
        };
        let peer = Client { address: peer.into(), port: 9, ..Client::default() };
        client(peer, &headers, &options).map(|client| format!("{}:{}", client.address, client.port))
    }

    #[test]
    fn the_chain_is_read_from_its_end() {
        let strict = (true, true);
        for (lines, hop_skips, expected) in [
            (&["192.0.2.1"][..], 0, "192.0.2.1:9"),
            (&["192.0.2.1, 192.0.2.2"], 0, "192.0.2.2:9"),
            (&["192.0.2.1,192.0.2.2"], 1, "192.0.2.1:9"),
            (&["192.0.2.1", "192.0.2.2"], 1, "192.0.2.1:9"),
            (&["nonsense, 192.0.2.1"], 0, "192.0.2.1:9"),
            (&["192.0.2.1:4711"], 0, "192.0.2.1:9"),
            (&["::ffff:192.0.2.1"], 0, "192.0.2.1:9"),
            (&["[2001:db8::1]:443"], 0, "2001:db8::1:9"),
            (&["[2001:db8::1]"], 0, "2001:db8::1:9"),
        ] {
            assert_eq!(named("10.0.0.1", lines, hop_skips, strict).as_deref(), Ok(expected), "{lines:?}");
        }
        for (lines, hop_skips, part) in [
            (&["192.0.2.1"][..], 1, "hops to skip (1) would skip before earliest chain link (chain length 1)"),
            (&["192.0.2.1, nonsense"], 0, "no address"),
            (&[""], 0, "no address"),
        ] {
            let refused = named("10.0.0.1", lines, hop_skips, strict).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn only_whom_the_listener_trusts_is_believed() {
        assert_eq!(named("10.0.0.1", &[], 0, (false, true)).as_deref(), Ok("10.0.0.1:9"));
        assert!(named("10.0.0.1", &[], 0, (true, false)).unwrap_err().starts_with("missing x-forwarded-for header"));
        for peer in ["192.0.2.9", ""] {
            assert_eq!(named(peer, &["192.0.2.1"], 0, (true, false)).unwrap(), format!("{peer}:9"));
            assert!(named(peer, &["192.0.2.1"], 0, (false, true)).unwrap_err().contains("not authorized"));
        }
    }
}
