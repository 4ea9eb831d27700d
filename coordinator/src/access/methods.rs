//! What each method takes. A method without a line is refused.
//!
//! Must not know how a call is counted, refused or served.

use cambrian_core::spec::MAX_SPEC_BYTES;
use cambrian_proto::convert::artifact::CHUNK_BYTES;

use super::Role;
use Kind::{Download, Question, Upload, Watch, Work};
use Sent::{Chunks, Inquiries, Reports, Text, Words};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, without a token.
    Open,
    /// Holders of these roles.
    Of(&'static [Role]),
}

/// What a call takes up, and so what it is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A question with one answer, over soon.
    Question,
    /// The stream of a worker, open for as long as the worker lives.
    Work,
    /// An artifact on its way in.
    Upload,
    /// An artifact on its way out.
    Download,
    /// A stream that tells what changes.
    Watch,
}

/// What a caller sends with a call, and so how much it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// What it wants to know or to be done.
    Words,
    /// The text of a campaign.
    Text,
    /// What a worker has to say, one message after the other.
    Reports,
    /// An artifact, one part after the other.
    Chunks,
    /// One question after the other.
    Inquiries,
}

impl Sent {
    /// The largest message, bytes; `report` is that of a worker.
    pub(super) fn most_bytes(self, report: usize) -> usize {
        match self {
            Words | Inquiries => 64 << 10,
            // One that is somewhat too long is told so by whoever reads it.
            Text => report.min(2 * MAX_SPEC_BYTES),
            Reports => report,
            // A chunk and what the message adds to it.
            Chunks => 2 * CHUNK_BYTES,
        }
    }

    /// Whether it is one message, and no stream of them.
    pub(super) fn is_one(self) -> bool {
        matches!(self, Words | Text)
    }
}

const WORK: Access = Access::Of(&[Role::Worker, Role::Admin]);
const READ: Access = Access::Of(&[Role::View, Role::Submit, Role::Admin]);
const FETCH: Access = Access::Of(&[Role::Worker, Role::View, Role::Submit, Role::Admin]);
const SUBMIT: Access = Access::Of(&[Role::Submit, Role::Admin]);
const ADMIN: Access = Access::Of(&[Role::Admin]);

/// Every method of every service.
const METHODS: [(&str, Access, Kind, Sent); 24] = [
    ("/cambrian.v1.WorkerService/Work", WORK, Work, Reports),
    ("/cambrian.v1.CampaignService/ValidateCampaign", READ, Question, Text),
    ("/cambrian.v1.CampaignService/SubmitCampaign", SUBMIT, Question, Text),
    ("/cambrian.v1.CampaignService/ListCampaigns", READ, Question, Words),
    ("/cambrian.v1.CampaignService/GetCampaign", READ, Question, Words),
    ("/cambrian.v1.CampaignService/PauseCampaign", SUBMIT, Question, Words),
    ("/cambrian.v1.CampaignService/ResumeCampaign", SUBMIT, Question, Words),
    ("/cambrian.v1.CampaignService/CancelCampaign", SUBMIT, Question, Words),
    ("/cambrian.v1.CampaignService/WatchCampaign", READ, Watch, Words),
    ("/cambrian.v1.CampaignService/GetFront", READ, Question, Words),
    ("/cambrian.v1.CampaignService/ListCandidates", READ, Question, Words),
    ("/cambrian.v1.CampaignService/Explain", READ, Question, Words),
    ("/cambrian.v1.CampaignService/ListWorkers", READ, Question, Words),
    ("/cambrian.v1.ArtifactService/PutArtifact", WORK, Upload, Chunks),
    ("/cambrian.v1.ArtifactService/GetArtifact", FETCH, Download, Words),
    ("/cambrian.v1.FleetService/DrainWorker", ADMIN, Question, Words),
    ("/cambrian.v1.FleetService/ReleaseWorker", ADMIN, Question, Words),
    ("/cambrian.v1.TokenService/CreateToken", ADMIN, Question, Words),
    ("/cambrian.v1.TokenService/ListTokens", ADMIN, Question, Words),
    ("/cambrian.v1.TokenService/RevokeToken", ADMIN, Question, Words),
    // Probes carry no token, and the answer says no more than that a coordinator runs.
    ("/grpc.health.v1.Health/Check", Access::Open, Question, Words),
    ("/grpc.health.v1.Health/Watch", READ, Watch, Words),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READ, Watch, Inquiries),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READ, Watch, Inquiries),
];

/// Who may call a method, what it is and what is sent, by its path; `None` if it has no line.
pub(super) fn access(method: &str) -> Option<(Access, Kind, Sent)> {
    let found = METHODS.iter().find(|(path, ..)| *path == method);
    found.map(|(_, access, kind, sent)| (*access, *kind, *sent))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::{FileDescriptorSet, MethodDescriptorProto};

    use super::*;

    /// All methods of the services that the server adds, with their paths.
    fn methods() -> Vec<(String, MethodDescriptorProto)> {
        let sets = [
            cambrian_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut methods = Vec::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                let package = file.package.unwrap_or_default();
                for service in file.service {
                    let name = service.name.unwrap_or_default();
                    for method in service.method {
                        let path = format!("/{package}.{name}/{}", method.name());
                        methods.push((path, method));
                    }
                }
            }
        }
        methods
    }

    #[test]
    fn every_method_has_a_line_and_every_line_a_method() {
        let lines: BTreeSet<_> = METHODS.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(lines.len(), METHODS.len(), "a method has two lines");
        assert_eq!(lines, methods().into_iter().map(|(path, _)| path).collect());
    }

    #[test]
    fn a_method_without_a_line_has_no_access() {
        assert_eq!(access("/cambrian.v1.CampaignService/DropEverything"), None);
        assert_eq!(access(""), None);
        assert_eq!(access("/cambrian.v1.WorkerService/Work/"), None);
    }

    /// Whoever adds a stream has to say how many of it a token may have open.
    #[test]
    fn only_methods_without_a_stream_are_questions() {
        let streams: BTreeSet<_> = methods()
            .into_iter()
            .filter(|(_, method)| method.client_streaming() || method.server_streaming())
            .map(|(path, _)| path)
            .collect();
        let lasting = METHODS.iter().filter(|(_, _, kind, _)| *kind != Question);
        let lasting: BTreeSet<_> = lasting.map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(lasting, streams);
    }

    #[test]
    fn streams_of_a_caller_are_told_from_single_messages() {
        for (path, method) in methods() {
            let (.., sent) = access(&path).unwrap();
            assert_eq!(sent.is_one(), !method.client_streaming(), "{path}");
        }
    }

    #[test]
    fn an_administrator_may_do_everything_and_a_worker_work_and_its_artifacts_only() {
        for (path, access, ..) in METHODS {
            let Access::Of(roles) = access else { continue };
            assert!(roles.contains(&Role::Admin), "{path}");
            let of_workers = path.ends_with("/Work") || path.contains("ArtifactService");
            assert_eq!(roles.contains(&Role::Worker), of_workers, "{path}");
        }
    }
}
