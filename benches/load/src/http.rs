//! The least HTTP/1.1 client that can measure a server without getting in its way: one request at a time over one
//! connection that is kept, no header but the length looked at.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

/// An answer. The body is valid until the next request.
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// All of the body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, input: Vec::with_capacity(4096) })
    }

    /// Sends a whole request and reads a whole answer.
    ///
    /// # Errors
    /// The system's, and an answer without a length.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.input.clear();
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, start, length)) = head(&self.input)? {
                while self.input.len() < start + length {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                return Ok(Answer { status, body: &self.input[start..start + length] });
            }
        }
    }
}

/// A request in the form that goes over the wire.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let token = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
    let length = body.len();
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Status, where the body begins, and its length, once the whole head is there.
fn head(input: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let text = std::str::from_utf8(&input[..end]).map_err(|_| invalid("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid("no status"))?;
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    match length {
        Some(length) => Ok(Some((status, end + 4, length))),
        None if status == 204 => Ok(Some((status, end + 4, 0))),
        None => Err(invalid("an answer without a length")),
    }
}
