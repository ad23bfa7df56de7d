//! The body of a request: whole, or in pieces as they become known.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Most pieces under way.
const PIECES: usize = 4;

/// What goes out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// All of it.
    Whole(Option<Bytes>),
    /// In pieces; `None` is the end, and without it the request is never complete.
    Pieces(mpsc::Receiver<Option<Bytes>>, bool),
}

/// Where the pieces go in.
pub(crate) type Pieces = mpsc::Sender<Option<Bytes>>;

impl Outgoing {
    /// A body that is known.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// A body that becomes known.
    pub(crate) fn pieces() -> (Pieces, Self) {
        let (sender, receiver) = mpsc::channel(PIECES);
        (sender, Self::Pieces(receiver, false))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(_, true) => Poll::Ready(None),
            Self::Pieces(receiver, over) => match receiver.poll_recv(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Some(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Poll::Ready(Some(None)) => {
                    *over = true;
                    Poll::Ready(None)
                }
                Poll::Ready(None) => {
                    *over = true;
                    Poll::Ready(Some(Err(io::Error::other("the request was given up"))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Pieces(_, over) => *over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(..) => SizeHint::default(),
        }
    }
}
