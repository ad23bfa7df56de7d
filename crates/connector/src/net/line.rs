//! Reading lines from a server that may send anything.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Reads one line without its CR LF (a lone LF is accepted too). What exceeds `max` bytes is read and dropped, so
/// that memory stays bounded and the conversation stays in step.
///
/// # Errors
/// `UnexpectedEof` when the server closed before the end of the line; any error of the socket.
pub async fn read_line<R: AsyncBufRead + Unpin>(reader: &mut R, max: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        let end = available.iter().position(|b| *b == b'\n');
        let taken = end.unwrap_or(available.len());
        let room = (max + 1).saturating_sub(line.len());
        line.extend_from_slice(&available[..taken.min(room)]);
        let consumed = end.map_or(taken, |at| at + 1);
        reader.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line.truncate(max);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_any_shape() {
        let mut input = &b"+OK hello\r\nbare\n\r\n0123456789abcdef\r\nlast"[..];
        assert_eq!(read_line(&mut input, 10).await.ok(), Some(b"+OK hello".to_vec()));
        assert_eq!(read_line(&mut input, 10).await.ok(), Some(b"bare".to_vec()));
        assert_eq!(read_line(&mut input, 10).await.ok(), Some(Vec::new()));
        assert_eq!(read_line(&mut input, 10).await.ok(), Some(b"0123456789".to_vec()), "cut, and still in step");
        assert_eq!(read_line(&mut input, 10).await.map_err(|e| e.kind()), Err(io::ErrorKind::UnexpectedEof));
    }
}
