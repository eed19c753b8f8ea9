//! Bytes of connections: the head and body of a request, frames of the cluster port.

use bytes::{Bytes, BytesMut};
use holdfast::core::Client;
use holdfast::http::{ForwardedRequest, body as bodies, forward, router};
use holdfast::policy::path::canonical;
use holdfast::raft::transport::frame as frames;

/// A request's head as text: a line `METHOD PATH`, then lines of headers.
pub fn head(data: &[u8]) {
    let Some((head, body)) = parse(data) else { return };
    if let Ok(head) = router::head(&head) {
        assert_eq!(canonical(&head.path).as_ref(), Ok(&head.path), "a path that is routed and would be refused");
        let _ = head.request("id".into(), &http::HeaderMap::new(), &body, Client::default());
    }
}

/// A body as JSON and as a form.
pub fn body(data: &[u8]) {
    for is_form in [false, true] {
        let _ = bodies::parse(data, is_form);
    }
}

/// A stream of frames, and what the bodies of the frames may be.
pub fn frame(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = frames::take(&mut buffer, 1 << 20) {
        let _ = ForwardedRequest::decode(&frame.body);
        let _ = forward::served(&frame.body);
        let _ = holdfast::raft::join::decode::<holdfast::core::join::JoinReply>(&frame.body);
        let _ = holdfast::raft::command::Command::decode(&command(frame.body));
    }
}

fn command(bytes: Bytes) -> holdfast::raft::command::Command {
    holdfast::raft::command::Command(bytes)
}

/// Head and body of a request in a corpus file: as HTTP/1.1 writes them, with bare line ends.
pub fn parse(data: &[u8]) -> Option<(http::request::Parts, Bytes)> {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, uri) = first.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some((request.body(()).ok()?.into_parts().0, Bytes::copy_from_slice(body)))
}
