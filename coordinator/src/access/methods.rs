//! What each method takes. A method without a line is refused.

use super::Role;

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, without a token.
    Open,
    /// Holders of these roles.
    Of(&'static [Role]),
}

const WORK: Access = Access::Of(&[Role::Worker, Role::Admin]);
const READ: Access = Access::Of(&[Role::View, Role::Submit, Role::Admin]);
const FETCH: Access = Access::Of(&[Role::Worker, Role::View, Role::Submit, Role::Admin]);
const SUBMIT: Access = Access::Of(&[Role::Submit, Role::Admin]);
const ADMIN: Access = Access::Of(&[Role::Admin]);

/// Every method of every service.
const METHODS: [(&str, Access); 24] = [
    ("/cambrian.v1.WorkerService/Work", WORK),
    ("/cambrian.v1.CampaignService/ValidateCampaign", READ),
    ("/cambrian.v1.CampaignService/SubmitCampaign", SUBMIT),
    ("/cambrian.v1.CampaignService/ListCampaigns", READ),
    ("/cambrian.v1.CampaignService/GetCampaign", READ),
    ("/cambrian.v1.CampaignService/PauseCampaign", SUBMIT),
    ("/cambrian.v1.CampaignService/ResumeCampaign", SUBMIT),
    ("/cambrian.v1.CampaignService/CancelCampaign", SUBMIT),
    ("/cambrian.v1.CampaignService/WatchCampaign", READ),
    ("/cambrian.v1.CampaignService/GetFront", READ),
    ("/cambrian.v1.CampaignService/ListCandidates", READ),
    ("/cambrian.v1.CampaignService/Explain", READ),
    ("/cambrian.v1.CampaignService/ListWorkers", READ),
    ("/cambrian.v1.ArtifactService/PutArtifact", WORK),
    ("/cambrian.v1.ArtifactService/GetArtifact", FETCH),
    ("/cambrian.v1.FleetService/DrainWorker", ADMIN),
    ("/cambrian.v1.FleetService/ReleaseWorker", ADMIN),
    ("/cambrian.v1.TokenService/CreateToken", ADMIN),
    ("/cambrian.v1.TokenService/ListTokens", ADMIN),
    ("/cambrian.v1.TokenService/RevokeToken", ADMIN),
    // Probes carry no token, and the answer says no more than that a coordinator runs.
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", READ),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READ),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READ),
];

/// What a method takes, by its path; `None` if it has no line.
pub(super) fn access(method: &str) -> Option<Access> {
    METHODS.iter().find(|(path, _)| *path == method).map(|(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The paths of all methods of the services that the server adds.
    fn served() -> BTreeSet<String> {
        let sets = [
            cambrian_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut paths = BTreeSet::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                let package = file.package.unwrap_or_default();
                for service in file.service {
                    let name = service.name.unwrap_or_default();
                    for method in service.method {
                        let method = method.name.unwrap_or_default();
                        paths.insert(format!("/{package}.{name}/{method}"));
                    }
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_has_a_line_and_every_line_a_method() {
        let lines: BTreeSet<_> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(lines.len(), METHODS.len(), "a method has two lines");
        assert_eq!(lines, served());
    }

    #[test]
    fn a_method_without_a_line_has_no_access() {
        assert_eq!(access("/cambrian.v1.CampaignService/DropEverything"), None);
        assert_eq!(access(""), None);
        assert_eq!(access("/cambrian.v1.WorkerService/Work/"), None);
    }

    #[test]
    fn an_administrator_may_do_everything_and_a_worker_work_and_its_artifacts_only() {
        for (path, access) in METHODS {
            let Access::Of(roles) = access else { continue };
            assert!(roles.contains(&Role::Admin), "{path}");
            let of_workers = path.ends_with("/Work") || path.contains("ArtifactService");
            assert_eq!(roles.contains(&Role::Worker), of_workers, "{path}");
        }
    }
}
