//! As much of HTTP/1.1 as the control socket speaks: one request, one answer.

use std::fmt::Write as _;

use serde::Serialize;

/// Most bytes of the lines of a request.
const MOST_HEAD_BYTES: usize = 8 << 10;
/// Most lines of a request.
const MOST_HEADERS: usize = 32;
/// Most bytes behind these lines. What is asked for here needs few.
const MOST_BODY_BYTES: usize = 4 << 10;

/// A request that is there as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what is behind a question mark.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// Why a request is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Not HTTP.
    Malformed,
    /// Too many or too long lines.
    HeadTooLong,
    /// Too much behind them.
    BodyTooLong,
    /// A body in pieces.
    Encoded,
}

/// A request if it is there as a whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() >= MOST_HEAD_BYTES => {
            return Err(Refusal::HeadTooLong);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(path)) = (request.method, request.path) else {
        return Err(Refusal::Malformed);
    };
    let body = body(request.headers)?;
    // What is too long has been refused, so the sum is small.
    if bytes.len() < head + body {
        return Ok(None);
    }
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        body: bytes.get(head..head + body).unwrap_or_default().to_vec(),
    }))
}

/// How many bytes follow the lines.
fn body(headers: &[httparse::Header<'_>]) -> Result<usize, Refusal> {
    let mut body = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Refusal::Encoded);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Refusal::Malformed)?;
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || body.is_some() {
                return Err(Refusal::Malformed);
            }
            // More digits than a number has are too long in any case.
            body = Some(text.parse().unwrap_or(usize::MAX));
        }
    }
    match body.unwrap_or(0) {
        bytes if bytes > MOST_BODY_BYTES => Err(Refusal::BodyTooLong),
        bytes => Ok(bytes),
    }
}

/// What a client gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    /// Methods that are possible, with status 405.
    pub(super) allow: Option<&'static str>,
    pub(super) body: String,
}

#[derive(Serialize)]
struct Complaint<'a> {
    error: &'a str,
}

impl Response {
    /// JSON.
    pub(super) fn json(status: u16, value: &impl Serialize) -> Self {
        // What is shown here can be written as JSON.
        let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
        body.push('\n');
        Self {
            status,
            kind: "application/json",
            allow: None,
            body,
        }
    }

    /// An error.
    pub(super) fn error(status: u16, error: &str) -> Self {
        Self::json(status, &Complaint { error })
    }

    /// As it goes over the socket; without the body for those who ask for the lines alone.
    pub(super) fn to_bytes(&self, head_only: bool) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            self.kind,
            self.body.len()
        );
        if let Some(allow) = self.allow {
            // Writing to a string does not fail.
            let _ = write!(text, "Allow: {allow}\r\n");
        }
        text.push_str("\r\n");
        if !head_only {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

/// The answer to a request that is not looked at.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let (status, error) = match refusal {
        Refusal::Malformed => (400, "not a request of HTTP/1.1"),
        Refusal::HeadTooLong => (431, "too many lines, or too long ones"),
        Refusal::BodyTooLong => (413, "too many bytes behind the lines of the request"),
        Refusal::Encoded => (411, "bytes behind the lines need a Content-Length"),
    };
    Response::error(status, error).to_bytes(false)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_in_any_pieces() {
        let text = b"POST /shutdown?now HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabc";
        for length in 0..text.len() {
            assert_eq!(parse(&text[..length]), Ok(None), "{length}");
        }
        let request = Request {
            method: "POST".into(),
            path: "/shutdown".into(),
            body: b"abc".into(),
        };
        assert_eq!(parse(text), Ok(Some(request)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MOST_HEAD_BYTES));
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(MOST_HEADERS + 1)
        );
        for (text, expected) in [
            ("\x00\x01", Refusal::Malformed),
            ("GET / HTTP/2.0\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n",
                Refusal::BodyTooLong,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
                Refusal::BodyTooLong,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::Encoded,
            ),
            (&long, Refusal::HeadTooLong),
            (&many, Refusal::HeadTooLong),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(expected), "{text}");
        }
    }

    #[test]
    fn answers_have_their_length() {
        let bytes = Response::error(404, "no").to_bytes(false);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
        assert_eq!(body, "{\n  \"error\": \"no\"\n}\n");
        let head_alone = Response::error(404, "no").to_bytes(true);
        assert_eq!(head_alone, format!("{head}\r\n\r\n").into_bytes());
    }
}
