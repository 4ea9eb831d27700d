//! A server that speaks as much of the protocol of S3 as artifacts need, over HTTP on loopback. It looks at
//! who signs, not at what the signature says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

pub(super) const KEY_ID: &str = "AKIDTEST";
pub(super) const BUCKET: &str = "states";
const MODIFIED: &str = "2001-02-03T04:05:06.000Z";
const MODIFIED_HEADER: &str = "Sat, 03 Feb 2001 04:05:06 GMT";

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    begun: u32,
    /// How many requests fail before others are answered.
    failing: u32,
}

/// A server that is there as long as this.
#[derive(Debug, Clone, Default)]
pub(super) struct S3Server(Arc<Mutex<Content>>);

impl S3Server {
    /// Starts one; its address.
    pub(super) async fn start() -> (Self, String) {
        let server = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
        let router = router.with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, address)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// The keys of whole objects.
    pub(super) fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// How many uploads are neither complete nor given up, and how many were ever begun.
    pub(super) fn uploads(&self) -> (usize, u32) {
        let content = self.lock();
        (content.uploads.len(), content.begun)
    }

    /// Puts an object there by another way.
    pub(super) fn put(&self, key: &str, bytes: &'static [u8]) {
        self.lock().objects.insert(key.to_owned(), Bytes::from_static(bytes));
    }

    /// Fails so many of the next requests as an overloaded server does.
    pub(super) fn fail_next(&self, requests: u32) {
        self.lock().failing = requests;
    }
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>")).into_response()
}

/// The parameters of a query, with slashes as they were meant.
fn parameters(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| text.replace("%2F", "/");
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

async fn answer(
    State(server): State<S3Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok());
    let by = format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/");
    if !signed.is_some_and(|signed| signed.starts_with(&by) && signed.contains("Signature=")) {
        return refusal(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    let path = uri.path().trim_start_matches('/').to_owned();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if bucket != BUCKET {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let mut content = server.lock();
    if content.failing > 0 {
        content.failing -= 1;
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    let query = parameters(&uri);
    if key.is_empty() {
        return list(&content, query.get("prefix").map_or("", String::as_str));
    }
    match (method, query.get("uploadId")) {
        (Method::POST, None) if query.contains_key("uploads") => begin(&mut content, key),
        (Method::PUT, Some(id)) => {
            let number = query.get("partNumber").and_then(|number| number.parse().ok());
            let upload = content.uploads.get_mut(id);
            let (Some(number), Some((_, parts))) = (number, upload) else {
                return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
            };
            parts.insert(number, body);
            tagged(StatusCode::OK)
        }
        (Method::POST, Some(id)) => match content.uploads.remove(id) {
            Some((key, parts)) => {
                let whole: Vec<u8> = parts.into_values().flatten().collect();
                content.objects.insert(key.clone(), whole.into());
                format!(
                    "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
                     <ETag>\"tag\"</ETag></CompleteMultipartUploadResult>"
                )
                .into_response()
            }
            None => refusal(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        (Method::DELETE, Some(id)) => {
            content.uploads.remove(id);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::PUT, None) => {
            content.objects.insert(key.to_owned(), body);
            tagged(StatusCode::OK)
        }
        (Method::DELETE, None) => {
            content.objects.remove(key);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET | Method::HEAD, None) => match content.objects.get(key) {
            Some(bytes) => {
                let headers = [("etag", "\"tag\""), ("last-modified", MODIFIED_HEADER)];
                (headers, bytes.clone()).into_response()
            }
            None => refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn tagged(status: StatusCode) -> Response {
    (status, [("etag", "\"tag\"")]).into_response()
}

fn begin(content: &mut Content, key: &str) -> Response {
    content.begun += 1;
    let id = format!("upload-{}", content.begun);
    content.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
    format!(
        "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
         <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    )
    .into_response()
}

fn list(content: &Content, prefix: &str) -> Response {
    let found = content.objects.iter().filter(|(key, _)| key.starts_with(prefix));
    let entry = |(key, bytes): (&String, &Bytes)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>{MODIFIED}</LastModified><ETag>\"tag\"</ETag>\
             <Size>{}</Size></Contents>",
            bytes.len()
        )
    };
    let entries: String = found.map(entry).collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
        .into_response()
}
