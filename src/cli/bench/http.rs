//! Clients over HTTP: one kept-alive connection each, one request at a time.

use std::time::Instant;

use super::stats::Samples;
use super::stream::{Client, Stream, run as run_all};
use super::{Job, What, key, value};

pub(super) fn run(job: &Job) -> Result<Samples, String> {
    run_all(job, |job, number| -> Client { Box::pin(client(job, number)) })
}

async fn client(job: Job, number: usize) -> Result<Samples, String> {
    let mut stream = Stream::connect(&job.target.target).await?;
    let (mut samples, mut buf) = (Samples::default(), vec![0; 16 << 10]);
    // The value of Host, and the header behind it.
    let host = format!("{}\r\n{}", job.target.target.host(), job.target.authorization());
    let host = host.trim_end();
    let mut have = Vec::new();
    for n in 0.. {
        let begin = Instant::now();
        if begin >= job.end {
            break;
        }
        stream.send(request(&job, host, number, n).as_bytes()).await?;
        have.clear();
        while !whole(&have)? {
            let more = stream.receive(&mut buf).await?;
            have.extend_from_slice(more);
        }
        samples.add(begin.elapsed());
    }
    Ok(samples)
}

fn request(job: &Job, host: &str, number: usize, n: usize) -> String {
    let url = key(number, n).to_url();
    match job.what {
        What::Get => format!("GET {url}?tega_id=bench HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        What::Put => {
            let body = value(n);
            let length = body.len();
            format!(
                "PUT {url}?tega_id=bench HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        }
    }
}

/// Whether an answer is here whole. Anything but success ends the measurement: it would be of something else.
fn whole(bytes: &[u8]) -> Result<bool, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|error| error.to_string())? else {
        return Ok(false);
    };
    let status = response.code.unwrap_or(0);
    if !(200..300).contains(&status) {
        return Err(format!("status {status}"));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    Ok(bytes.len() - head >= length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_until_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..answer.len() {
            assert_eq!(whole(&answer[..cut]), Ok(false), "{cut}");
        }
        assert_eq!(whole(answer), Ok(true));
        assert!(whole(b"HTTP/1.1 507 x\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
