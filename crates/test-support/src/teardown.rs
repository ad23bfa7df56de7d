//! Cleaning up from `Drop`, where nothing can be awaited and the test's runtime may be going down.

use std::{future::Future, thread, time::Duration};

/// A test must not hang because something cannot be cleaned up.
const LONGEST: Duration = Duration::from_secs(10);

/// Runs `work` to its end on a thread and runtime of its own, bounded in time; problems are ignored, since whatever
/// stays behind is swept by a later run.
pub(crate) fn finish(work: impl Future<Output = ()> + Send + 'static) {
    let runner = thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(async {
                let _ = tokio::time::timeout(LONGEST, work).await;
            });
        }
    });
    let _ = runner.join();
}
