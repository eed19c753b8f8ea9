//! The PROXY protocol, versions 1 and 2: a balancer at layer 4 hides the client's address, and tells it in a header
//! before the first byte (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::config::listener::{ProxyBehavior, ProxyProtocol};
use crate::runtime::Stream;
use crate::runtime::net::Peer;

/// Takes the header off a new connection and tells who the client is. A connection without one is its peer's own. The
/// caller sets the deadline.
///
/// # Errors
/// If the peer is not authorised, or its header is broken: the connection is to be closed.
pub async fn accept(mut stream: Stream, peer: Peer, options: &ProxyProtocol) -> io::Result<(Stream, Peer)> {
    let authorized = match &peer {
        Peer::Tcp(address) => options.authorized.iter().any(|block| block.contains(address.ip())),
        Peer::Unix => true,
    };
    if options.behavior == ProxyBehavior::DenyUnauthorized && !authorized {
        return Err(invalid("the peer is not in proxy_protocol_authorized_addrs"));
    }
    let mut read = BytesMut::new();
    let header = loop {
        match parse(&read)? {
            Parsed::Header { len, client } => break Some((len, client)),
            Parsed::NoHeader => break None,
            Parsed::More => {
                if stream.read_buf(&mut read).await? == 0 {
                    break None;
                }
            }
        }
    };
    let believed = options.behavior == ProxyBehavior::UseAlways || authorized;
    let mut told = None;
    if let Some((len, client)) = header {
        read.advance(len);
        told = client.filter(|_| believed);
    }
    let peer = told.map_or(peer, Peer::Tcp);
    if read.is_empty() {
        return Ok((stream, peer));
    }
    Ok((Box::new(Prefixed { prefix: read, stream }), peer))
}

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// A header of this length; `client` is `None` if it names none (health checks of the balancer).
    Header { len: usize, client: Option<SocketAddr> },
    /// Something else.
    NoHeader,
    /// Not enough to tell.
    More,
}

fn parse(bytes: &[u8]) -> io::Result<Parsed> {
    let begins = |signature: &[u8]| {
        let common = bytes.len().min(signature.len());
        bytes[..common] == signature[..common]
    };
    if begins(V2) && !bytes.is_empty() {
        return if bytes.len() < V2.len() + 4 { Ok(Parsed::More) } else { parse_v2(bytes) };
    }
    if begins(V1) {
        return if bytes.len() < V1.len() { Ok(Parsed::More) } else { parse_v1(bytes) };
    }
    Ok(Parsed::NoHeader)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n`, at most 107 bytes.
fn parse_v1(bytes: &[u8]) -> io::Result<Parsed> {
    let Some(end) = bytes.iter().take(V1_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_MAX { Ok(Parsed::More) } else { Err(invalid("a PROXY header without an end")) };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("a PROXY header that is no text"))?;
    let words: Vec<&str> = line.trim_end_matches('\r').split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4" | "TCP6", source, _, port, _] => {
            let (Ok(address), Ok(port)) = (source.parse::<IpAddr>(), port.parse::<u16>()) else {
                return Err(invalid("a PROXY header without an address"));
            };
            Some(SocketAddr::new(address, port))
        }
        _ => return Err(invalid("a PROXY header that is none")),
    };
    Ok(Parsed::Header { len: end + 1, client })
}

/// Twelve bytes of signature, version and command, family, length, addresses, then fields that we skip.
fn parse_v2(bytes: &[u8]) -> io::Result<Parsed> {
    let (kind, family) = (bytes[12], bytes[13]);
    let len = 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if kind >> 4 != 2 || kind & 0xf > 1 {
        return Err(invalid("a PROXY header of an unknown version"));
    }
    if len > V2_MAX {
        return Err(invalid("a PROXY header that is too long"));
    }
    let Some(mut rest) = bytes.get(16..len) else { return Ok(Parsed::More) };
    let is_local = kind & 0xf == 0;
    let client = match family >> 4 {
        1 if !is_local && rest.len() >= 12 => {
            let address = Ipv4Addr::from_bits(rest.get_u32());
            rest.advance(4);
            Some(SocketAddr::new(address.into(), rest.get_u16()))
        }
        2 if !is_local && rest.len() >= 36 => {
            let address = Ipv6Addr::from_bits(rest.get_u128());
            rest.advance(16);
            Some(SocketAddr::new(address.into(), rest.get_u16()))
        }
        1 | 2 if !is_local => return Err(invalid("a PROXY header without an address")),
        _ => None,
    };
    Ok(Parsed::Header { len, client })
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A stream with bytes that were read too early.
struct Prefixed {
    prefix: BytesMut,
    stream: Stream,
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const V1: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// No balancer sends more.
const V2_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::config::Cidr;

    async fn accepted(sent: &[u8], behavior: ProxyBehavior, authorized: &str) -> io::Result<(String, Vec<u8>)> {
        let (mut near, far) = tokio::io::duplex(8192);
        near.write_all(sent).await?;
        drop(near);
        let options = ProxyProtocol { behavior, authorized: Cidr::parse(authorized).into_iter().collect() };
        let peer = Peer::Tcp("10.0.0.9:5".parse().unwrap());
        let (mut stream, peer) = accept(Box::new(far), peer, &options).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok((format!("{peer:?}"), rest))
    }

    fn v2(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2.to_vec();
        bytes.extend([kind, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[tokio::test]
    async fn both_versions_name_the_client() {
        let told = ("Tcp(192.0.2.1:1000)".to_string(), b"GET".to_vec());
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\nGET";
        let mut second = v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0x03, 0xe8, 0x01, 0xbb, 9, 9]);
        second.extend(b"GET");
        for sent in [&v1[..], &second] {
            assert_eq!(accepted(sent, ProxyBehavior::UseAlways, "").await.unwrap(), told);
            assert_eq!(accepted(sent, ProxyBehavior::AllowAuthorized, "10.0.0.0/8").await.unwrap(), told);
            assert_eq!(accepted(sent, ProxyBehavior::DenyUnauthorized, "10.0.0.9").await.unwrap(), told);
            let ignored = accepted(sent, ProxyBehavior::AllowAuthorized, "10.1.0.0/16").await.unwrap();
            assert_eq!(ignored, ("Tcp(10.0.0.9:5)".to_string(), b"GET".to_vec()));
            assert!(accepted(sent, ProxyBehavior::DenyUnauthorized, "10.1.0.0/16").await.is_err());
        }
        for plain in [&b"GET / HTTP/1.1\r\n"[..], b"P", b"", b"\x16\x03", &v2(0x20, 0, b""), b"PROXY UNKNOWN\r\n"] {
            assert_eq!(accepted(plain, ProxyBehavior::UseAlways, "").await.unwrap().0, "Tcp(10.0.0.9:5)");
        }
        for broken in [
            &b"PROXY TCP4 x y 1 2\r\n"[..],
            b"PROXY \r\n",
            &[b"PROXY "[..].to_vec(), vec![b'a'; 200]].concat(),
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 4]),
        ] {
            assert!(accepted(broken, ProxyBehavior::UseAlways, "").await.is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..150), signature in 0..3_usize) {
            let bytes = [[b"", V1, V2][signature], &tail].concat();
            let _ = parse(&bytes);
        }
    }
}
