//! Campaigns: requests as kci-bisect has them (`campaign-request/v1`, a draft), taken as jobs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version that is understood.
pub const VERSION: &str = "campaign-request/v1";

/// `POST /api/v1/campaigns`. What cannot be taken as a job is refused, naming the field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCampaign {
    /// [`VERSION`].
    pub contract_version: String,
    /// `boot`, `unit_test` or `performance`.
    pub regression_type: String,
    pub source_tree: SourceTree,
    pub boundaries: Boundaries,
    pub scope: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composition: Option<String>,
    pub expected_signal: ExpectedSignal,
    pub search_policy: SearchPolicy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceTree {
    /// Of a registered tree.
    pub url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Boundaries {
    pub good: Boundary,
    pub bad: Boundary,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    pub commit: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// `x86_64`.
    pub arch: Option<String>,
    /// None: that of the tree.
    pub kernel_config: Option<KernelConfig>,
    pub toolchain: Option<Toolchain>,
    /// `qemu`.
    pub sut: Option<String>,
    pub workload: Option<Workload>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KernelConfig {
    /// `tinyconfig`, `defconfig` or `x86_64_defconfig`.
    pub target: String,
    /// References to files elsewhere: none can be taken.
    #[serde(default)]
    pub fragments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// `gcc`.
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// `area/name` of a suite.
    pub name: String,
    /// `cases`: names of cases of the suite.
    #[serde(default)]
    pub configuration: Map<String, Value>,
}

/// What the regression is seen by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedSignal {
    /// `log_signature`, `test_failure` or `performance_change`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title of a crash, or the case that fails.
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default)]
    pub metric: Option<CampaignMetric>,
    /// Taken and not needed: the good end is measured here.
    #[serde(default)]
    pub baseline_value: Option<f64>,
    /// How large a change has to be: nothing but an empty one can be taken.
    #[serde(default)]
    pub threshold: Option<Map<String, Value>>,
}

/// Unit and direction are those that the suite tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CampaignMetric {
    pub name: String,
    #[serde(default)]
    pub unit: Option<String>,
    #[serde(default)]
    pub higher_is_better: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SearchPolicy {
    /// `bisect`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// Answer to [`NewCampaign`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Campaign {
    /// The number of the job.
    pub campaign_ref: String,
    /// False: it joined the job of an equal request.
    pub created: bool,
}
