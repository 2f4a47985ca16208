//! Reads of more than one call: lists by the page, and descriptions by the batch.

use std::error::Error;
use std::fmt::Debug;

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::error::AwsError;
use crate::pace::{Pace, Pacer};

/// A page's items, and the token of the page after it.
type Page<T> = (Vec<T>, Option<String>);

/// Reads a whole list, page by page.
///
/// # Errors
/// If a page cannot be read, or there are more than `pages_max`: a list that does not end is a
/// mistake, and one that was read in part must not pass as the whole.
pub(crate) async fn list<T, E, R, Call>(
    operation: &str,
    pages_max: usize,
    pacer: &Pacer,
    read_page: impl Fn(Option<String>) -> Call,
) -> Result<Vec<T>, AwsError>
where
    Call: Future<Output = Result<Page<T>, SdkError<E, R>>>,
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let items = list_up_to(operation, pages_max, pacer, read_page).await?;
    items
        .ok_or_else(|| AwsError::unusable_answer(operation, format!("more than {pages_max} pages")))
}

/// Reads a list of up to `pages_max` pages. `None` if there are more.
///
/// Not the SDK's paginator: that one can only be asked whether a list goes on by reading on.
///
/// # Errors
/// If a page cannot be read.
pub(crate) async fn list_up_to<T, E, R, Call>(
    operation: &str,
    pages_max: usize,
    pacer: &Pacer,
    read_page: impl Fn(Option<String>) -> Call,
) -> Result<Option<Vec<T>>, AwsError>
where
    Call: Future<Output = Result<Page<T>, SdkError<E, R>>>,
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let (mut items, mut token) = (Vec::new(), None);
    // A page may hold fewer items than asked for and the list go on all the same: only a missing
    // token ends it.
    for _ in 0..pages_max {
        pacer.turn().await;
        let (page, next_token) =
            read_page(token).await.map_err(|error| AwsError::new(operation, error))?;
        items.extend(page);
        // An empty token ends a list as well: with it, the next call would read the first page.
        token = next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(Some(items));
        }
    }
    Ok(None)
}

/// Reads batches, as many at once as the pace allows, and puts them together in their order.
///
/// # Errors
/// If a batch cannot be read: those after it are not waited for.
pub(crate) async fn join_batches<T, Batch>(
    pace: &Pace,
    batches: Vec<Batch>,
) -> Result<Vec<T>, AwsError>
where
    Batch: Future<Output = Result<Vec<T>, AwsError>>,
{
    let items: Vec<_> =
        stream::iter(batches).buffered(pace.concurrent_reads_max).try_collect().await?;
    Ok(items.into_iter().flatten().collect())
}
