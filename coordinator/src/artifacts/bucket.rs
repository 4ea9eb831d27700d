//! Artifacts in a bucket of S3, or of whatever speaks its protocol: where it is, how it is reached, and what
//! its refusals mean. Must not know what an artifact holds.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectStore, RetryConfig};
use thiserror::Error as ThisError;

/// A request is repeated for so long; a worker waits longer for an answer.
const RETRY_TIME: Duration = Duration::from_secs(20);
const RETRIES: usize = 4;
const SCHEME: &str = "s3://";

/// Why a bucket cannot be used.
#[derive(Debug, ThisError)]
pub enum BucketError {
    /// The address is none.
    #[error(
        "artifacts.url is `{url}`, which {problem}; write s3://BUCKET/PREFIX, the prefix may be absent"
    )]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The settings do not make a client.
    #[error("the bucket {url} cannot be reached with these settings: {source}")]
    Settings {
        /// Its address.
        url: String,
        /// Why.
        source: Error,
    },
    /// There is no such bucket.
    #[error(
        "there is no bucket for {url}; make it, or correct artifacts.url, artifacts.endpoint and artifacts.region"
    )]
    Missing {
        /// Its address.
        url: Arc<str>,
    },
    /// The credentials do not suffice.
    #[error(
        "{url} refuses the coordinator's credentials; they come from AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, a web identity or the machine's role, and have to allow listing, reading, \
         writing and deleting there: {source}"
    )]
    Refused {
        /// Its address.
        url: Arc<str>,
        /// What it says.
        source: Error,
    },
    /// It does not answer, or answers with an error of its own.
    #[error("{url} fails: {source}")]
    Fails {
        /// Its address.
        url: Arc<str>,
        /// What it says.
        source: Error,
    },
}

impl BucketError {
    /// Whether it will be the same until somebody changes something.
    pub(crate) fn stays(&self) -> bool {
        !matches!(self, Self::Fails { .. })
    }
}

/// A bucket, or what lies in it below a prefix. Copies are cheap.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) url: Arc<str>,
}

impl Bucket {
    /// The bucket at `url`; credentials and whatever is not given come from the usual variables, unless
    /// `adjust` says otherwise.
    pub(super) fn open(
        url: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        adjust: &dyn Fn(AmazonS3Builder) -> AmazonS3Builder,
    ) -> Result<Self, BucketError> {
        let (name, prefix) = parse(url)?;
        // The signatures' and the connections' cryptography; whoever was first has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: RETRY_TIME,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = endpoint {
            builder =
                builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http:"));
        }
        if let Some(region) = region {
            builder = builder.with_region(region);
        }
        let built = adjust(builder).build();
        let store =
            built.map_err(|source| BucketError::Settings { url: url.to_owned(), source })?;
        Ok(Self { store: Arc::new(PrefixStore::new(store, prefix)), url: url.into() })
    }

    /// Whether it is there and may be listed.
    pub(super) async fn check(&self) -> Result<(), BucketError> {
        match self.store.list(None).next().await {
            Some(Err(error)) => Err(self.explain(error)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// What an error of the store means.
    pub(super) fn explain(&self, source: Error) -> BucketError {
        let url = Arc::clone(&self.url);
        match source {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                BucketError::Refused { url, source }
            }
            source if is_missing(&source) => BucketError::Missing { url },
            source if is_refused(&source) => BucketError::Refused { url, source },
            source => BucketError::Fails { url, source },
        }
    }
}

/// Whether the bucket itself is not there: a store says so with the same code as for an object.
pub(super) fn is_missing(error: &Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

/// Whether a listing was refused, for which the store has no kind of error of its own.
fn is_refused(error: &Error) -> bool {
    let words = error.to_string();
    ["status code: 401", "status code: 403"].iter().any(|status| words.contains(status))
}

/// The bucket and the prefix that an address names.
pub(crate) fn parse(url: &str) -> Result<(&str, Path), BucketError> {
    let wrong = |problem| BucketError::Url { url: url.to_owned(), problem };
    let rest = url.strip_prefix(SCHEME).ok_or_else(|| wrong("is no address of S3"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(fits) {
        return Err(wrong("names no bucket: 3 to 63 of a-z, 0-9, `.` and `-`"));
    }
    let unfit = || wrong("has an empty or an unfit part in its prefix");
    if prefix.starts_with('/') {
        return Err(unfit());
    }
    let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|_| unfit())?;
    Ok((bucket, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_buckets_with_or_without_a_prefix() {
        let read = |url| parse(url).map(|(bucket, prefix)| (bucket.to_owned(), prefix.to_string()));
        let found = |url| read(url).unwrap();
        assert_eq!(found("s3://states"), ("states".to_owned(), String::new()));
        assert_eq!(found("s3://states/"), ("states".to_owned(), String::new()));
        assert_eq!(found("s3://a.b-3/x/y/"), ("a.b-3".to_owned(), "x/y".to_owned()));
        for url in [
            "states",
            "https://states",
            "s3://",
            "s3://ab",
            "s3://Upper",
            "s3://abc//x",
            "s3://a b c",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("s3://BUCKET/PREFIX"), "{error}");
        }
    }
}
