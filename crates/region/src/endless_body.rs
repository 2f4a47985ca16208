//! The body of a response that never ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

/// What is sent at a time: 1 MiB.
static SPACES: [u8; 1024 * 1024] = [b' '; 1024 * 1024];

/// Between two of them, which makes 100 MiB a second. It must not be zero, or whoever reads the body
/// would never be interrupted.
const PAUSE: Duration = Duration::from_millis(10);

/// A body that begins with an answer, and goes on with spaces for ever.
#[derive(Debug)]
pub(crate) struct EndlessBody {
    answer: Option<Bytes>,
    pause: Pin<Box<Sleep>>,
}

impl EndlessBody {
    pub(crate) fn new(answer: String) -> Self {
        Self { answer: Some(answer.into()), pause: Box::pin(sleep(PAUSE)) }
    }
}

impl Body for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(answer) = self.answer.take() {
            return Poll::Ready(Some(Ok(Frame::data(answer))));
        }
        ready!(self.pause.as_mut().poll(context));
        self.pause.as_mut().reset(Instant::now() + PAUSE);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES)))))
    }
}
