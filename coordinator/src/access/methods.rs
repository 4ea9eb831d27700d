//! What each method takes. A method without a line is refused.

use super::Role;
use Kind::{Download, Question, Upload, Watch, Work};

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

const WORK: Access = Access::Of(&[Role::Worker, Role::Admin]);
const READ: Access = Access::Of(&[Role::View, Role::Submit, Role::Admin]);
const FETCH: Access = Access::Of(&[Role::Worker, Role::View, Role::Submit, Role::Admin]);
const SUBMIT: Access = Access::Of(&[Role::Submit, Role::Admin]);
const ADMIN: Access = Access::Of(&[Role::Admin]);

/// Every method of every service.
const METHODS: [(&str, Access, Kind); 24] = [
    ("/cambrian.v1.WorkerService/Work", WORK, Work),
    ("/cambrian.v1.CampaignService/ValidateCampaign", READ, Question),
    ("/cambrian.v1.CampaignService/SubmitCampaign", SUBMIT, Question),
    ("/cambrian.v1.CampaignService/ListCampaigns", READ, Question),
    ("/cambrian.v1.CampaignService/GetCampaign", READ, Question),
    ("/cambrian.v1.CampaignService/PauseCampaign", SUBMIT, Question),
    ("/cambrian.v1.CampaignService/ResumeCampaign", SUBMIT, Question),
    ("/cambrian.v1.CampaignService/CancelCampaign", SUBMIT, Question),
    ("/cambrian.v1.CampaignService/WatchCampaign", READ, Watch),
    ("/cambrian.v1.CampaignService/GetFront", READ, Question),
    ("/cambrian.v1.CampaignService/ListCandidates", READ, Question),
    ("/cambrian.v1.CampaignService/Explain", READ, Question),
    ("/cambrian.v1.CampaignService/ListWorkers", READ, Question),
    ("/cambrian.v1.ArtifactService/PutArtifact", WORK, Upload),
    ("/cambrian.v1.ArtifactService/GetArtifact", FETCH, Download),
    ("/cambrian.v1.FleetService/DrainWorker", ADMIN, Question),
    ("/cambrian.v1.FleetService/ReleaseWorker", ADMIN, Question),
    ("/cambrian.v1.TokenService/CreateToken", ADMIN, Question),
    ("/cambrian.v1.TokenService/ListTokens", ADMIN, Question),
    ("/cambrian.v1.TokenService/RevokeToken", ADMIN, Question),
    // Probes carry no token, and the answer says no more than that a coordinator runs.
    ("/grpc.health.v1.Health/Check", Access::Open, Question),
    ("/grpc.health.v1.Health/Watch", READ, Watch),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READ, Watch),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READ, Watch),
];

/// What a method takes and what it is, by its path; `None` if it has no line.
pub(super) fn access(method: &str) -> Option<(Access, Kind)> {
    let found = METHODS.iter().find(|(path, ..)| *path == method);
    found.map(|(_, access, kind)| (*access, *kind))
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
        let lasting = METHODS.iter().filter(|(.., kind)| *kind != Question);
        let lasting: BTreeSet<_> = lasting.map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(lasting, streams);
    }

    #[test]
    fn an_administrator_may_do_everything_and_a_worker_work_and_its_artifacts_only() {
        for (path, access, _) in METHODS {
            let Access::Of(roles) = access else { continue };
            assert!(roles.contains(&Role::Admin), "{path}");
            let of_workers = path.ends_with("/Work") || path.contains("ArtifactService");
            assert_eq!(roles.contains(&Role::Worker), of_workers, "{path}");
        }
    }
}
